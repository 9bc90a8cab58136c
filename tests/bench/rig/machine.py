"""Facts about the machine that a figure needs beside it to mean anything."""

import os
import pathlib
import platform
import random
import subprocess
import time
import zlib

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
BENCH = REPOSITORY / "target/bench"


def facts(programs):
    """Hardware, system, and what was measured."""
    return {
        "machine": platform.machine(),
        "processor": field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "memory_gib": round(int(field("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        "kernel": platform.release(),
        "commit": said("git", "-C", REPOSITORY, "describe", "--always", "--dirty"),
        "programs": pathlib.Path(programs).name,
        "version": said(pathlib.Path(programs) / "kumo", "--version"),
        "load_average": os.getloadavg()[0],
    }


def is_reference(known):
    """Whether absolute targets hold here: they were set for 2 cores and 24 GB."""
    return known["cores"] == 2 and 20 <= known["memory_gib"] <= 28


def core_speed():
    """MB/s of one core at packing 4 MB of seeded bytes with zlib, the best of five."""
    dice = random.Random(1)
    block = bytes(dice.choices(range(64), k=1 << 20)) * 4
    best = min(timed(lambda: zlib.compress(block, 6)) for _ in range(5))
    return len(block) / 1e6 / best


def fdatasync_ms(folder, count=200):
    """Milliseconds of appending 4 KiB and fdatasync, `count` times in this folder."""
    path = pathlib.Path(folder) / f"fdatasync-{os.getpid()}"
    block, times = os.urandom(4096), []
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(count):
            os.write(file, block)
            times.append(1000 * timed(lambda: os.fdatasync(file)))
    finally:
        os.close(file)
        path.unlink()
    return times


def timed(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def field(path, key):
    for line in pathlib.Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "0"


def said(*command):
    """What a command prints; empty if it cannot be run."""
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()
