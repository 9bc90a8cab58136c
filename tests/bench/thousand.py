#!/usr/bin/env python3
"""Catalogue and tag a folder of generated pictures by one command, and watch what it costs.

    make bench NAME=thousand [COUNT=1000]

Starts `kumo up DIR --until-idle --json` on the release programs with an empty data folder, reads
/proc of it and of every descendant ten times a second, and prints a table. Rows are also written to
target/bench/thousand.json. Peak figures are the kernel's own (VmHWM), CPU seconds are user + system.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import tempfile
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
ML_LIBRARIES = ("onnxruntime", "torch", "mkl", "openvino", "cudart", "cublas")
TICKS = os.sysconf("SC_CLK_TCK")


def read(path):
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""


class Process:
    """What one process was seen to hold."""

    def __init__(self, name):
        self.name = name
        self.peak = self.anonymous = self.file = 0
        self.cpu = 0.0
        self.libraries = set()

    def look(self, pid):
        for line in read(f"/proc/{pid}/status").splitlines():
            key, _, value = line.partition(":")
            kib = int(value.split()[0]) if key in ("VmHWM", "RssAnon", "RssFile") else 0
            if key == "VmHWM":
                self.peak = max(self.peak, kib)
            elif key == "RssAnon":
                self.anonymous = max(self.anonymous, kib)
            elif key == "RssFile":
                self.file = max(self.file, kib)
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if len(fields) > 12:
            self.cpu = max(self.cpu, (int(fields[11]) + int(fields[12])) / TICKS)
        maps = read(f"/proc/{pid}/maps")
        self.libraries.update(name for name in ML_LIBRARIES if name in maps)


def descendants(root):
    """Process ids of a process and all below it, with their program names."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            head, _, rest = read(f"/proc/{entry}/stat").rpartition(")")
            fields = rest.split()
            if len(fields) > 1:
                parents[int(entry)] = (int(fields[1]), head.partition("(")[2])
    found, grown = {root}, True
    while grown:
        grown = False
        for pid, (parent, _) in parents.items():
            if parent in found and pid not in found:
                found.add(pid)
                grown = True
    return {pid: parents[pid][1] for pid in found if pid in parents}


def run(kumo, pictures, data):
    command = [kumo, "up", pictures, "--data", data, "--ports", "any", "--until-idle", "--json"]
    begun = time.monotonic()
    with open(pathlib.Path(data).parent / "up.log", "w") as log:
        child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=log)
        seen = {}
        while child.poll() is None:
            for pid, name in descendants(child.pid).items():
                seen.setdefault(pid, Process(name)).look(pid)
            time.sleep(0.1)
    seconds = time.monotonic() - begun
    lines = child.stdout.read().decode().splitlines()
    if child.returncode != 0 or not lines:
        raise SystemExit(f"kumo up ended with {child.returncode}; {read(log.name)[-3000:]}")
    return json.loads(lines[-1]), seconds, seen


def by_program(seen):
    """One line a program: how many there were, the highest of each figure, CPU of all together."""
    programs = {}
    for process in seen.values():
        total = programs.setdefault(process.name, Process(process.name))
        total.count = getattr(total, "count", 0) + 1
        total.peak = max(total.peak, process.peak)
        total.anonymous = max(total.anonymous, process.anonymous)
        total.file = max(total.file, process.file)
        total.cpu += process.cpu
        total.libraries |= process.libraries
    return sorted(programs.values(), key=lambda process: process.name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--programs", type=pathlib.Path, default=REPOSITORY / "target/release")
    flags = parser.parse_args()

    bench = REPOSITORY / "target/bench"
    pictures = bench / f"pictures-{flags.count}"
    if not pictures.is_dir():
        subprocess.run([flags.programs / "pictures", pictures, "--count", str(flags.count)], check=True)
    with tempfile.TemporaryDirectory(dir=bench) as folder:
        done, seconds, seen = run(flags.programs / "kumo", pictures, pathlib.Path(folder) / "data")

    print(f"\n{platform.machine()}, {os.cpu_count()} cores; {flags.count} JPEGs of 3 Mpx, {seconds:.1f} s, "
          f"{flags.count / seconds:.1f} files/s\n{json.dumps(done)}\n")
    print(f"{'program':16}{'count':>6}{'peak RSS MiB':>14}{'anon MiB':>10}{'file MiB':>10}"
          f"{'CPU s':>8}{'ms/file':>9}  ML libraries mapped")
    rows = []
    for process in by_program(seen):
        print(f"{process.name:16}{process.count:>6}{process.peak / 1024:>14.1f}{process.anonymous / 1024:>10.1f}"
              f"{process.file / 1024:>10.1f}{process.cpu:>8.1f}{1000 * process.cpu / flags.count:>9.1f}"
              f"  {', '.join(sorted(process.libraries)) or 'none'}")
        rows.append({"id": "M4" if process.name == "kumo-watcher" else process.name,
                     "what": f"peak RSS of {process.name}", "value": round(process.peak / 1024, 1),
                     "unit": "MiB"})
        if process.name == "kumo-watcher":
            rows[-1] |= {"target": 32, "met": process.peak <= 32 * 1024}
    rows.append({"id": "up", "what": "files tagged by one command", "value": round(flags.count / seconds, 2),
                 "unit": "files/s", "met": done["tagged"] == flags.count and done["failed"] == 0})
    (bench / "thousand.json").write_text(json.dumps(rows, indent=1))
    always_on = [process for process in by_program(seen) if process.name in ("kumo-store", "kumo-watcher")]
    if any(process.libraries for process in always_on) or done["tagged"] != flags.count:
        raise SystemExit("not as promised: see the table")


if __name__ == "__main__":
    main()
