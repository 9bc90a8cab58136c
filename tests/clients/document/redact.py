"""Writes a real answer as the page shows it: what differs from run to run becomes `"…"`."""

import re

from document.command import NAME
from document.compare import ANY

# Fields whose values differ from run to run, or from machine to machine.
VOLATILE = frozenset({
    "createTime", "updateTime", "lastSeenTime", "fetchTime", "ratingTime", "time", "purgeTime", "trashTime",
    "rejectTime", "uptime", "renderTime", "runTime", "pid", "version", "incarnation", "rssBytes", "anonymousBytes",
    "fileBytes", "sharedBytes", "peakRssBytes", "databaseBytes", "walBytes", "counter",
})
# Fields that later requests need.
NAMED = {"epoch": "$EPOCH"}
# Longer lists of numbers, and longer texts, are cut.
MOST_NUMBERS = 6
SHOWN_NUMBERS = 3
MOST_LETTERS = 300


def redact(real, documented, names: dict[str, str], field: str = ""):
    """The value to show. What the page already marks as changing stays marked."""
    if documented == ANY or field in VOLATILE and not is_name(documented):
        return ANY
    if is_name(documented):
        return documented
    if field in NAMED:
        return NAMED[field]
    if isinstance(real, dict):
        # The variables of an error come in any order.
        real = dict(sorted(real.items())) if field == "metadata" else real
        known = documented if isinstance(documented, dict) else {}
        shown = {key: value for key, value in real.items() if ANY not in known or key in known}
        written = {key: redact(value, known.get(key), names, key) for key, value in shown.items()}
        return written | ({ANY: ANY} if ANY in known else {})
    if isinstance(real, list):
        return redact_list(real, documented if isinstance(documented, list) else [], names)
    if isinstance(real, str):
        return ANY if len(real) > MOST_LETTERS else hide(real, names)
    return real


def redact_list(real: list, documented: list, names: dict[str, str]) -> list:
    """The items to show."""
    open_end = bool(documented) and documented[-1] == ANY
    shown = len(documented) - 1 if open_end else len(real)
    if real and isinstance(real[0], (int, float)) and len(real) > MOST_NUMBERS and not open_end:
        shown, open_end = SHOWN_NUMBERS, True
    known = documented + [None] * len(real)
    items = [redact(item, known[index], names) for index, item in enumerate(real[:shown])]
    return items + ([ANY] if open_end else [])


def hide(text: str, names: dict[str, str]) -> str:
    """A text with names in the place of folders and addresses of this run."""
    for name in ("STORE", "WATCHER", "TAGGER", "EMBEDDER", "SIMILARITY", "LIBRARY", "DATA", "EPOCH"):
        if names.get(name):
            text = text.replace(names[name], f"${name}")
    return re.sub(r"/tmp/kumo-clients-[^/\"]+", ANY, text)


def is_name(value) -> bool:
    """Whether a documented value is a name."""
    return isinstance(value, str) and bool(NAME.fullmatch(value))
