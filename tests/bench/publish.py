"""Writes docs/BENCHMARKS.md from what the benches measured last (target/bench/*.json)."""

import datetime
import json

from .rig.machine import BENCH, REPOSITORY

PAGE = REPOSITORY / "docs/BENCHMARKS.md"
BENCHES = {
    "ingest": "What a picture costs from the file to the search",
    "idle": "What the always-on programs hold when nothing happens",
    "infer": "What a node costs beside the model itself",
    "search": "Searching, and starting",
    "queue": "Leasing and completing tasks",
    "similar": "Look-alikes and near-duplicates",
}
INTRODUCTION = """# What was measured

Written by `make bench-docs` from the last run of each bench; `make bench NAME=…` runs one, and the
comment at the head of `tests/bench/NAME.py` says how it measures. Machines differ: compare ratios and
memory before seconds. *Core speed* is zlib at level 6 on one core, in the same run; rows without a
target are there to explain those with one.
"""


def main():
    parts = [INTRODUCTION]
    for name, title in BENCHES.items():
        path = BENCH / f"{name}.json"
        if path.is_file():
            parts.append(section(name, title, json.loads(path.read_text()),
                                 datetime.date.fromtimestamp(path.stat().st_mtime)))
    PAGE.write_text("\n".join(parts))
    print(PAGE.relative_to(REPOSITORY))


def section(name, title, rows, day):
    """One bench as Markdown."""
    facts = rows[0]["facts"]
    sizes = ", ".join(f"{key} {plain(value)}" for key, value in facts["sizes"].items())
    lines = [f"## {title}", "",
             f"`make bench NAME={name}`, {day}, {facts['processor']}, {facts['cores']} cores, "
             f"{facts['memory_gib']} GiB, Linux {facts['kernel'].partition('-')[0]}; {sizes}.", "",
             "| id | what | value | unit | target | met |", "|---|---|---|---|---|---|"]
    for row in rows[1:]:
        value = "–" if row["value"] is None else plain(row["value"])
        target = "" if row["target"] is None else plain(row["target"])
        met = {True: "yes", False: "**no**", None: ""}[row["met"]]
        lines.append(f"| {row['id']} | {row['what']} | {value} | {row['unit']} | {target} | {met} |")
    return "\n".join(lines) + "\n"


def plain(value):
    """A number or a word as people read it."""
    if isinstance(value, dict):
        return "(" + ", ".join(f"{plain(part)} {key}" for key, part in value.items()) + ")"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
