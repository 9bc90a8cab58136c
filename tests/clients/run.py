#!/usr/bin/env python3
"""Outside clients against a real cluster: `make clients`.

Starts the built programs on generated pictures, and asks them everything as other people's programs
would: by reflection alone, by code generated from the protos, and by the examples of docs/API.md.
Prints what was checked; ends with 1 if anything is not as it must be.
"""

import argparse
import pathlib
import sys

from checks.suite import Everything
from cluster import Cluster
from document.suite import Document
from generated.suite import Generated
from report import Report

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SUITES = ("reflection", "generated", "document")


def flags() -> argparse.Namespace:
    """What the person wants."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"only these: {', '.join(SUITES)}")
    parser.add_argument("--programs", type=pathlib.Path, default=REPOSITORY / "target/release",
                        help="folder of the programs; by default target/release")
    parser.add_argument("--write", action="store_true",
                        help="write the real answers into docs/API.md instead of comparing them")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folders, to look at")
    given = parser.parse_args()
    unknown = set(given.suites) - set(SUITES)
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    for program in ("kumo", "pictures"):
        if not (given.programs / program).exists():
            parser.error(f"{given.programs / program} is not built; `make clients` builds it")
    return given


def run_suite(name: str, cluster: Cluster, report: Report, write: bool) -> None:
    """Runs one suite on a cluster of its own."""
    if name == "document":
        Document(cluster, report, write).run()
    elif name == "generated":
        Generated(cluster, report).run()
    else:
        Everything(cluster, report).run()


def main() -> int:
    """Runs the suites and returns the exit code."""
    given = flags()
    report = Report()
    for name in given.suites or (["document"] if given.write else SUITES):
        with Cluster(given.programs.resolve(), given.keep) as cluster:
            ended = report.run(f"the suite `{name}` ran to its end",
                               lambda name=name, cluster=cluster: run_suite(name, cluster, report, given.write))
            if not ended:
                print(cluster.log())
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
