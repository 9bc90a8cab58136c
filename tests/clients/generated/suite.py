"""Writes the protos out by `kumo proto`, generates a client with protoc, and lets a node made of it work."""

import os
import pathlib
import subprocess
import sys

from cluster import Cluster
from report import Failed, Report, expect

HERE = pathlib.Path(__file__).resolve().parent
PICTURES = ("objects/red-on-white.png", "objects/blue-on-white.png", "gradients/pink.jpg", "scenes/green.jpg")
WAIT_SECONDS = 180


class Generated:
    """The suite of the generated client."""

    def __init__(self, cluster: Cluster, report: Report) -> None:
        self._cluster = cluster
        self._report = report
        self._protos = cluster.folder / "protos"
        self._stubs = cluster.folder / "stubs"

    def run(self) -> None:
        """Writes out, generates, starts a cluster, and runs the node against it."""
        self._report.section("by generated code: a node of our own does a whole round")
        steps = (
            ("`kumo proto --out DIR` writes the contract out", self._write_out),
            ("protoc generates a Python client of every file", self._generate),
            ("`kumo up` starts, catalogues, tags and embeds", self._start),
            ("the node's round (its steps are above)", self._round),
        )
        for what, step in steps:
            if not self._report.run(what, step):
                return

    def _write_out(self) -> None:
        kumo = self._cluster.programs / "kumo"
        run([str(kumo), "proto", "--out", str(self._protos)])
        expect(sorted(self._protos.rglob("*.proto")), "no file was written")

    def _generate(self) -> None:
        self._stubs.mkdir()
        files = [str(path.relative_to(self._protos)) for path in sorted(self._protos.rglob("*.proto"))]
        run([sys.executable, "-m", "grpc_tools.protoc", f"-I{self._protos}", f"--python_out={self._stubs}",
             f"--grpc_python_out={self._stubs}", *files])
        expect(len(list(self._stubs.rglob("*_pb2_grpc.py"))) == len(files), "a file made no client")

    def _start(self) -> None:
        for name in PICTURES:
            self._cluster.place(name)
        self._cluster.up()
        self._cluster.settle_posts(len(PICTURES))

    def _round(self) -> None:
        environment = os.environ | {"PYTHONPATH": f"{self._stubs}:{HERE.parent}"}
        done = subprocess.run([sys.executable, str(HERE / "node.py"), self._cluster.address("store"),
                               str(self._cluster.data / "local.token")], env=environment, timeout=WAIT_SECONDS)
        expect(done.returncode == 0, f"the node ended with {done.returncode}")


def run(command: list[str]) -> None:
    """Runs a command that must succeed; its complaint becomes ours."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command[:3])}… ended with {done.returncode}: {done.stderr[-1500:]}")
