"""Compares a documented answer with a real one.

`"…"` stands for any value; as the last item of a list, for any further items; as a key, for any
further fields. `"$NAME"` gives a value its name where it comes first, and must be that value later.
"""

import math

from document.command import NAME

ANY = "…"
TOLERANCE = 1e-3


def differences(documented, real, names: dict[str, str], where: str = "answer") -> list[str]:
    """What differs, one line each; learns the names that come for the first time."""
    if documented == ANY:
        return []
    if isinstance(documented, dict) and isinstance(real, dict):
        return fields_differ(documented, real, names, where)
    if isinstance(documented, list) and isinstance(real, list):
        return items_differ(documented, real, names, where)
    if isinstance(documented, str) and "$" in documented:
        return name_differs(documented, real, names, where)
    if is_number(documented) and is_number(real):
        close = math.isclose(documented, real, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        same = close if isinstance(documented, float) or isinstance(real, float) else documented == real
        return [] if same else [f"{where}: documented {documented}, got {real}"]
    if documented != real:
        return [f"{where}: documented {shorten(documented)}, got {shorten(real)}"]
    return []


def is_number(value) -> bool:
    """Whether a JSON value is a number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def fields_differ(documented: dict, real: dict, names: dict[str, str], where: str) -> list[str]:
    """What differs between two objects."""
    absent = [key for key in documented if key not in real and key != ANY]
    found = [f"{where}.{key}: documented, but not in the answer" for key in absent]
    if ANY not in documented:
        found += [f"{where}.{key}: not documented: {shorten(real[key])}" for key in real if key not in documented]
    for key, value in documented.items():
        if key in real:
            found += differences(value, real[key], names, f"{where}.{key}")
    return found


def items_differ(documented: list, real: list, names: dict[str, str], where: str) -> list[str]:
    """What differs between two lists."""
    open_end = bool(documented) and documented[-1] == ANY
    items = documented[:-1] if open_end else documented
    if len(real) < len(items) or (not open_end and len(real) > len(items)):
        return [f"{where}: documented {len(items)} items, got {len(real)}: {shorten(real)}"]
    found = []
    for index, (one, other) in enumerate(zip(items, real, strict=False)):
        found += differences(one, other, names, f"{where}[{index}]")
    return found


def name_differs(documented: str, real, names: dict[str, str], where: str) -> list[str]:
    """Compares a text with names in it."""
    whole = NAME.fullmatch(documented)
    if whole and whole.group(1) not in names:
        names[whole.group(1)] = str(real)
        return []
    # A colour layout may hold a dollar sign by chance: only names that are known are replaced.
    wanted = NAME.sub(lambda found: names.get(found.group(1), found.group()), documented)
    return [] if wanted == str(real) else [f"{where}: documented {documented} = {wanted}, got {shorten(real)}"]


def shorten(value) -> str:
    """A value for one line of a report."""
    text = repr(value)
    return text if len(text) < 300 else text[:300] + "…"
