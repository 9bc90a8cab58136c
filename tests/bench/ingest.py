"""Ingest: what a picture costs from the file to the search (M4, P1, P2), beside vipsthumbnail.

P1 takes turns: a block of pictures goes into the watched folder by renames, then vipsthumbnail makes
one 800-pixel JPEG of each picture of the same block, then the other way round. CPU is that of watcher,
renderers and store together, children that have ended included. P2 brings pictures one by one, by
turns renamed into place and written there, until a search finds each; the time to decode that picture
on one thread is subtracted. At last `kumo up` catalogues and tags the whole folder by one command,
which is where the peaks of M4 come from. Peaks are the kernel's own (VmHWM).
"""

import json
import os
import shutil
import subprocess
import time

from .rig import process, report
from .rig.cluster import Cluster, pictures
from .rig.machine import said

# What a renderer child may hold (services/renderer: Limits).
RENDERER_LIMIT_MIB = 640
FAR = 1_000_000


def main():
    flags = report.flags(__doc__, count=(1_000, 60, "pictures"), block=(100, 20, "pictures in a turn"),
                         arrivals=(100, 10, "pictures brought one by one"))
    if not shutil.which("vipsthumbnail"):
        raise SystemExit("vipsthumbnail is needed to compare with: apt-get install libvips-tools")
    table = report.Report("ingest", flags, pictures=flags.count, block=flags.block,
                          arrivals=flags.arrivals, vips=said("vipsthumbnail", "--vips-version"))
    folder = pictures(flags.programs, flags.count)
    sizes = [path.stat().st_size for path in folder.iterdir()]
    table.median("input", "size of a picture, 3 Mpx JPEG", [size / 1e6 for size in sizes], "MB")
    with Cluster(flags.programs) as cluster:
        library = cluster.folder / "library"
        library.mkdir()
        services = [cluster.start("store"), cluster.start("watcher", library)]
        with process.Peaks(services[1].pid) as peaks:
            turns(table, flags, cluster, services, folder, library)
        arrivals(table, flags, cluster, library)
    one_command(table, flags, folder, peaks)
    table.finish()


def turns(table, flags, cluster, services, folder, library):
    """P1: blocks of the same files, ours and theirs by turns."""
    files = sorted(folder.iterdir())
    blocks = [files[first:first + flags.block] for first in range(0, len(files), flags.block)]
    ours, theirs, rates = [], [], []
    for number, block in enumerate(blocks):
        if number % 2:
            theirs.append(vipsthumbnail(cluster.folder / "vips", block))
        before = sum(service.cpu() for service in services)
        seconds = bring(cluster, block, library, number * flags.block + len(block))
        ours.append(1000 * (sum(service.cpu() for service in services) - before) / len(block))
        rates.append(len(block) / seconds)
        if not number % 2:
            theirs.append(vipsthumbnail(cluster.folder / "vips", block))
    table.median("P1-ours", "CPU a file: watcher, renderers, store", ours, "ms")
    table.median("P1-vips", "CPU a file: vipsthumbnail --size 800", theirs, "ms")
    table.median("P1", "ours over theirs, same files, by turns",
                 [mine / other for mine, other in zip(ours, theirs)], "ratio", most=1.0, ratio=True)
    table.median("P1-wall", "files ingested", rates, "files/s")


def bring(cluster, block, library, posts):
    """Renames a block into the library and waits until all are posts."""
    staging = cluster.folder / "staging"
    staging.mkdir(exist_ok=True)
    for path in block:
        os.link(path, staging / path.name)
    begun = time.monotonic()
    for path in block:
        os.rename(staging / path.name, library / path.name)
    seen = cluster.load("drain", "--posts", posts)
    if seen["failed"]:
        raise SystemExit(f"{seen['failed']} files failed: {cluster.kumo('tasks', '--failed')}")
    return time.monotonic() - begun


def vipsthumbnail(folder, block):
    """Milliseconds of CPU a file."""
    folder.mkdir(exist_ok=True)
    command = ["vipsthumbnail", "--size", "800", "-o", f"{folder}/%s.jpg", *map(str, block)]
    child = subprocess.Popen(command)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"vipsthumbnail ended with {child.returncode}")
    return 1000 * (used.ru_utime + used.ru_stime) / len(block)


def arrivals(table, flags, cluster, library):
    """P2: one file at a time."""
    fresh = sorted(pictures(flags.programs, flags.arrivals, first=FAR).iterdir())
    seen = cluster.load("arrival", "--library", library, *fresh)
    table.median("P2", "closed or renamed to searchable, less decoding", seen["times_ms"], "ms", most=150)
    table.row("P2-closed", "written in place, p50", seen["closed"]["p50_ms"], "ms")
    table.row("P2-renamed", "renamed into place, p50", seen["renamed"]["p50_ms"], "ms")
    table.row("P2-p95", "both, p95", seen["searchable"]["p95_ms"], "ms")
    table.row("P2-decode", "decoding that was subtracted, p50", seen["decode"]["p50_ms"], "ms")


def one_command(table, flags, folder, peaks):
    """M4, and the whole way to tags, by `kumo up DIR --until-idle`."""
    with Cluster(flags.programs) as cluster:
        command = [flags.programs / "kumo", "up", folder, "--data", cluster.data, "--ports", "any",
                   "--until-idle", "--json"]
        begun = time.monotonic()
        with open(cluster.folder / "up.log", "w") as log:
            child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=log)
            with process.Peaks(child.pid) as seen:
                said_last = child.stdout.read().decode().splitlines()
                child.wait()
        seconds = time.monotonic() - begun
        if child.returncode != 0:
            raise SystemExit(f"kumo up ended with {child.returncode}: {process.read(log.name)[-3000:]}")
    done = json.loads(said_last[-1])
    if done["tagged"] != flags.count or done["failed"]:
        raise SystemExit(f"kumo up did not tag everything: {done}")
    def highest(name):
        found = [each.programs[name]["peak"] for each in (peaks, seen) if name in each.programs]
        return max(found) if found else None
    table.row("M4", "peak memory of the watcher", highest("kumo-watcher"), "MiB", most=32)
    table.row("M4-child", "peak memory of a renderer child", highest("kumo-renderer"), "MiB",
              most=RENDERER_LIMIT_MIB)
    for name, program in sorted(seen.programs.items()):
        table.row(f"up-{name}", f"kumo up: peak memory of {name}", program["peak"], "MiB")
        table.row(f"up-cpu-{name}", f"kumo up: CPU of {name} a file",
                  1000 * program["cpu"] / flags.count, "ms")
        if program["ml"] and name in ("kumo-store", "kumo-watcher", "kumo-renderer", "kumo"):
            raise SystemExit(f"{name} maps {', '.join(sorted(program['ml']))}")
    table.row("up", "kumo up: files catalogued and tagged", flags.count / seconds, "files/s")


if __name__ == "__main__":
    main()
