"""Idle: what the always-on programs hold when nothing happens (M1, M2, M3).

M1: a watcher on 13,028 files that it knows, and on a million. The files are JPEGs of 64×48 pixels; for
the million, 10,000 folders hold 100 hard links each to the same 100 pictures, so that the watcher
knows a million places while the disk holds 100 files. M2: the store with library L1 after 1,000 mixed
queries and some of each other kind. M3: that store and the watcher of 13,028 files together, each as it stands then (the watcher
with a store of its own, since L1's posts are invented), and beside them a similarity index of L1.
"""

import os
import shutil
import subprocess
import time

from .rig import process, report
from .rig.cluster import Cluster, pictures
from .rig.library import library
from .rig.machine import BENCH, REPOSITORY

L1 = 13_028
DISTINCT = 100
ALWAYS_ON = ("kumo-store", "kumo-watcher", "kumo-renderer", "kumo-similarity")


def main():
    flags = report.flags(__doc__, files=(L1, 200, "files watched"), posts=(L1, 500, "posts of L1"), folders=(10_000, 20, "folders of 100 files"),
                         queries=(1_000, 100, "queries"), quiet=(30, 3, "seconds without work before a look"))
    table = report.Report("idle", flags, files=flags.files, posts=flags.posts, folders=flags.folders, queries=flags.queries)
    watcher = watched(table, flags, pictures(flags.programs, flags.files, tiny=True), flags.files, "M1", 16)
    store = stored(table, flags)
    table.row("M3", "store with L1 and watcher together", store + watcher, "MiB", most=64)
    many = f"M1-{flags.folders * 100}"
    tree = folders(flags)
    watched(table, flags, tree, flags.folders * 100, many, 24)
    linked(table)
    table.finish()


def watched(table, flags, folder, files, name, most):
    """A watcher that knows all files of a folder, at rest. Gives its memory in MiB."""
    with Cluster(flags.programs) as cluster:
        services = [cluster.start("store"), cluster.start("watcher", folder)]
        begun = time.monotonic()
        seen = cluster.load("drain", "--locations", files, "--seconds", 3_600)
        seconds = time.monotonic() - begun
        table.row(f"{name}-scan", f"{files:,} files until all were known", seconds, "s")
        table.facts["sizes"][name] = {"files": seen["locations"], "posts": seen["posts"]}
        return at_rest(table, flags, services[1], name, f"watcher, {files:,} files known", most)


def stored(table, flags):
    """The store and the similarity index with L1. Gives the store's memory in MiB."""
    data = library(flags.programs, "L1" if flags.posts == L1 else str(flags.posts))
    queries = BENCH / "queries-idle.txt"
    command = [flags.programs / "examples/search_library", data, queries, flags.queries]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    # A snapshot of the run before would spare the store from giving all vectors out.
    shutil.rmtree(data / "similarity", ignore_errors=True)
    with Cluster(flags.programs, data) as cluster:
        store = cluster.start("store")
        seen = cluster.load("drain")
        table.facts["sizes"]["L1"] = seen
        cluster.load("questions", "--queries", queries, "--count", flags.queries, "--mixed")
        cluster.load("questions", "--queries", f"{queries}.kinds", "--mixed")
        resident = at_rest(table, flags, store, "M2", "store with L1, after mixed queries", 40)
        similarity = cluster.start("similarity")
        cluster.load("similar", "--into", cluster.folder, "--vectors", 0)
        at_rest(table, flags, similarity, "M3-similarity", "similarity with L1", 24)
        at_rest(table, flags, store, "M2-after", "store after it gave all vectors out", None)
        return resident


def at_rest(table, flags, program, name, what, most):
    """Memory of a program that has had nothing to do for a while, and what it did meanwhile."""
    time.sleep(flags.quiet)
    before = program.cpu()
    time.sleep(flags.quiet)
    used = program.cpu() - before
    memory, mapped = program.memory(), process.ml_libraries(program.pid)
    table.row(name, f"{what}: resident", memory["rss"], "MiB", most=most)
    table.row(f"{name}-anonymous", f"{what}: of it anonymous", memory["anonymous"], "MiB")
    table.row(f"{name}-pss", f"{what}: its share (PSS)", memory["pss"], "MiB")
    table.row(f"{name}-peak", f"{what}: peak before", memory["peak"], "MiB")
    table.row(f"{name}-cpu", f"{what}: CPU while idle", 1000 * used / flags.quiet, "ms/s")
    table.row(f"{name}-ml", f"{what}: ML libraries mapped", len(mapped), "libraries", most=0, ratio=True)
    return memory["rss"]


def folders(flags):
    """Folders of 100 hard links each."""
    few = sorted(pictures(flags.programs, DISTINCT, tiny=True).iterdir())
    tree = BENCH / f"folders-{flags.folders}"
    if not tree.is_dir():
        draft = BENCH / "folders.draft"
        shutil.rmtree(draft, ignore_errors=True)
        for number in range(flags.folders):
            place = draft / f"{number // 100:03}/{number:05}"
            place.mkdir(parents=True)
            for picture in few:
                os.link(picture, place / picture.name)
        draft.rename(tree)
    return tree


def linked(table):
    """No always-on program is built from ONNX Runtime's bindings."""
    command = ["cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}", "-p"]
    for package in ALWAYS_ON:
        done = subprocess.run([*command, package], cwd=REPOSITORY, check=True, capture_output=True, text=True)
        used = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
        table.row(f"M3-{package}", f"{package}: built from ort or ort-sys", len(used & {"ort", "ort-sys"}),
                  "crates", most=0, ratio=True)


if __name__ == "__main__":
    main()
