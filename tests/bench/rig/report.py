"""What a bench says: a table for people, rows as JSON for programs."""

import argparse
import json
import pathlib
import statistics

from . import machine


def flags(description, **defaults):
    """The parser of a bench: `--quick` and `--programs`, and one flag for each size."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, only to see that it works")
    parser.add_argument("--programs", type=pathlib.Path, default=machine.REPOSITORY / "target/release",
                        help="folder of the programs")
    for name, (full, quick, text) in defaults.items():
        parser.add_argument(f"--{name}", type=type(full), help=f"{text}; {full}, or {quick} with --quick")
    given = parser.parse_args()
    given.full = not given.quick
    for name, (full, quick, _) in defaults.items():
        if getattr(given, name) is None:
            setattr(given, name, quick if given.quick else full)
        elif getattr(given, name) < full:
            given.full = False
    return given


def quantile(samples, share):
    """The sample below which this share of them lies."""
    ordered = sorted(samples)
    return ordered[round((len(ordered) - 1) * share)]


class Report:
    """Rows of a bench. Whether a target is met is computed, and only where it holds: ratios anywhere,
    absolute figures on the machine they were set for, and neither on a run that was made small."""

    def __init__(self, name, given, **sizes):
        self.name, self.full = name, given.full
        machine.BENCH.mkdir(parents=True, exist_ok=True)
        self.facts = machine.facts(given.programs) | {"sizes": sizes}
        syncs = machine.fdatasync_ms(machine.BENCH)
        self.rows = []
        self.row("core-speed", "zlib level 6 on one core, before", machine.core_speed(), "MB/s")
        self.row("fdatasync", "append 4 KiB and fdatasync, p50", quantile(syncs, 0.5), "ms", samples=syncs)
        self.row("fdatasync-p99", "append 4 KiB and fdatasync, p99", quantile(syncs, 0.99), "ms")

    def row(self, name, what, value, unit, most=None, least=None, ratio=False, samples=(), reason=""):
        """Adds a figure; `most` or `least` is its target. Without a value, `reason` says why."""
        target = least if most is None else most
        met = None
        if target is not None and self.full and (ratio or machine.is_reference(self.facts)):
            met = value is not None and (value <= target if least is None else value >= target)
        row = {"id": name, "what": what, "value": rounded(value), "unit": unit, "target": target,
               "met": met, "samples": [rounded(sample) for sample in samples]}
        if reason:
            row["reason"] = reason
        self.rows.append(row)
        return value

    def median(self, name, what, samples, unit, **rest):
        """Adds the median of samples."""
        return self.row(name, what, statistics.median(samples), unit, samples=samples, **rest)

    def finish(self):
        """Prints the table and writes target/bench/NAME.json."""
        self.row("core-speed-after", "zlib level 6 on one core, after", machine.core_speed(), "MB/s")
        about = {"id": "setting", "what": "machine, sizes, versions", "value": None, "unit": "",
                 "target": None, "met": None, "samples": [], "facts": self.facts}
        path = machine.BENCH / f"{self.name}.json"
        path.write_text(json.dumps([about, *self.rows], indent=1) + "\n")
        known = self.facts
        print(f"\n{self.name}: {known['processor']}, {known['cores']} cores, {known['memory_gib']} GiB, "
              f"Linux {known['kernel']}, load {known['load_average']:.1f}, {known['commit']}, "
              f"{known['programs']}\n{json.dumps(known['sizes'])}"
              f"{'' if self.full else '; too small for the targets'}\n")
        first, width = (2 + max(len(row[key]) for row in self.rows) for key in ("id", "what"))
        print(f"{'id':{first}}{'what':{width}}{'value':>12} {'unit':12}{'target':>9}  met")
        for row in self.rows:
            value = "–" if row["value"] is None else f"{row['value']:,.6g}"
            target = "" if row["target"] is None else f"{row['target']:g}"
            met = {True: "yes", False: "NO", None: ""}[row["met"]]
            print(f"{row['id']:{first}}{row['what']:{width}}{value:>12} {row['unit']:12}{target:>9}  "
                  f"{met} {row.get('reason', '')}".rstrip())
        print(f"\n{path.relative_to(machine.REPOSITORY)}")


def rounded(value):
    return float(f"{value:.6g}") if isinstance(value, float) else value
