"""Inference: what a node costs beside the model itself (P3, P4).

Models of real shape with random weights (tests/bench/models/make.py) run in a real cluster. P3 takes
turns: a block of pictures is registered while the queue is paused; the time counts from the queue's
start until the last result is on disk. Then the same number of ready tensors goes through ONNX
Runtime's own `run`, with its defaults, the same library, model, batch and threads. P4 takes turns
between one TagImage RPC and raw preprocessing and run of that picture's sample; the RPC's own figure
for rendering, which includes receiving the picture, is taken off.
"""

import hashlib
import json
import os
import statistics
import subprocess

from .rig import report
from .rig.cluster import Cluster, pictures, virtual_environment
from .rig.machine import BENCH, REPOSITORY

LIBRARY = next((REPOSITORY / ".runtime/onnxruntime").glob("libonnxruntime.so*"), None)
MODELS = {"tagger": "vit-b-448", "embedder": "siglip-b-384"}


class Raw:
    """The bare loop, in a process of its own."""

    def __init__(self, programs, model, threads, batch):
        command = [programs / "examples/raw", LIBRARY, model, threads, batch]
        self.child = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        self._answer()

    def ask(self, command):
        self.child.stdin.write(command + "\n")
        self.child.stdin.flush()
        return self._answer()

    def stop(self):
        self.child.stdin.close()
        self.child.wait()

    def _answer(self):
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit("the raw loop ended; its error stands above")
        return json.loads(line)


def main():
    flags = report.flags(__doc__, block=(32, 4, "pictures in a turn"), turns=(4, 2, "turns"),
                         batch=(4, 4, "most pictures in a run"), singles=(20, 4, "single pictures"),
                         threads=(os.cpu_count(), os.cpu_count(), "threads of a run"))
    if not LIBRARY:
        raise SystemExit("ONNX Runtime is missing: make runtime")
    small = not flags.full
    make = REPOSITORY / "tests/bench/models/make.py"
    code = hashlib.sha256(make.read_bytes()).hexdigest()[:8]
    models = BENCH / f"models-{'small' if small else 'full'}-{code}"
    python = virtual_environment(*(line for line in (make.parent / "requirements.txt").read_text().split("\n")
                                   if line and not line.startswith("#")))
    if not (models / "siglip-b-384/model.toml").is_file():
        subprocess.run([python, make, models, *(["--small"] if small else [])], check=True)
    table = report.Report("infer", flags, block=flags.block, turns=flags.turns, batch=flags.batch,
                          threads=flags.threads, models="two thin layers" if small else "full",
                          library=LIBRARY.name)
    for role, model in MODELS.items():
        measure(table, flags, role, models / model)
    palette(table, flags)
    table.finish()


def measure(table, flags, role, model):
    """P3 of one model; P4 too if it tags."""
    files = sorted(pictures(flags.programs, flags.block * flags.turns).iterdir())
    raw = Raw(flags.programs, model, flags.threads, flags.batch)
    with Cluster(flags.programs) as cluster:
        library = cluster.folder / "library"
        library.mkdir()
        cluster.start("store")
        cluster.start("watcher", library)
        node = cluster.start(role, "--model", model, "--device", "cpu", "--intra-threads", flags.threads,
                             "--max-batch", flags.batch, seconds=600)
        # One block first, not counted: the node has to find its batch size, and both to warm up.
        ours, theirs = [], []
        for turn in range(flags.turns):
            block = files[turn * flags.block:(turn + 1) * flags.block]
            cluster.kumo("pause")
            for path in block:
                os.link(path, cluster.folder / path.name)
                os.rename(cluster.folder / path.name, library / path.name)
            cluster.load("drain", "--posts", (turn + 1) * flags.block)
            seen = cluster.load("drain", "--resume", "--done", "--seconds", 3_000)
            if seen["failed"]:
                raise SystemExit(f"{seen['failed']} tasks failed")
            bare = raw.ask(f"loop {flags.block}")["seconds"]
            if turn > 0:
                ours.append(flags.block / seen["seconds"])
                theirs.append(flags.block / bare)
        name = "P3" if role == "tagger" else "P3-embed"
        table.median(f"{name}-node", f"{model.name}: {role}, from the queue to the disk", ours, "pictures/s")
        table.median(f"{name}-raw", f"{model.name}: session.run on ready tensors", theirs, "pictures/s")
        table.median(name, "node over raw, by turns", [a / b for a, b in zip(ours, theirs)], "ratio",
                     least=0.95, ratio=True)
        table.row(f"{name}-memory", f"peak memory of the {role}", node.memory()["peak"], "MiB")
        sample = samples_of(cluster, files[:1])[files[0].name]
        table.row(f"{name}-prepare", "decode, resize and normalise one sample, one thread",
                  raw.ask(f"prepare {sample}")["per_s"], "samples/s")
        if role == "tagger":
            single(table, flags, cluster, raw, files, "P4", model.name)
    raw.stop()


def single(table, flags, cluster, raw, files, name, model):
    """P4: one picture by RPC, and bare, by turns."""
    samples = samples_of(cluster, files)
    added, whole = [], []
    for number in range(flags.singles + 1):
        path = files[number % len(files)]
        seen = cluster.load("single", path)
        bare = raw.ask(f"one {samples[path.name]}")["whole_ms"]
        if number > 0:
            whole.append(seen["whole_ms"][0])
            added.append(seen["whole_ms"][0] - seen["render_ms"][0] - bare)
    table.median(name, f"{model}: TagImage, less rendering, over raw preprocessing and run", added, "ms",
                 most=5)
    table.row(f"{name}-whole", f"{model}: TagImage as the caller sees it, p50",
              statistics.median(whole), "ms")


def samples_of(cluster, files):
    """File name → its sample, which is named after the SHA-256 of the original."""
    samples = [path for path in cluster.data.rglob("*") if path.is_file() and "samples" in path.parts]
    found = {}
    for path in files:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        found[path.name] = next(sample for sample in samples if sha256 in str(sample).replace("/", ""))
    return found


def palette(table, flags):
    """P4 once more with the built-in tagger, whose own run takes next to nothing."""
    model = REPOSITORY / "services/inference/models/palette-tagger"
    files = sorted(pictures(flags.programs, flags.block * flags.turns).iterdir())[:flags.block]
    raw = Raw(flags.programs, model, flags.threads, 1)
    with Cluster(flags.programs) as cluster:
        library = cluster.folder / "library"
        library.mkdir()
        cluster.start("store")
        cluster.start("watcher", library)
        cluster.start("tagger", "--device", "cpu", "--intra-threads", flags.threads)
        for path in files:
            os.link(path, cluster.folder / path.name)
            os.rename(cluster.folder / path.name, library / path.name)
        cluster.load("drain", "--posts", len(files), "--done")
        single(table, flags, cluster, raw, files, "P4-palette", "palette-tagger")
    raw.stop()


if __name__ == "__main__":
    main()
