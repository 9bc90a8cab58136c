"""Memory and CPU of processes, by the kernel's word."""

import os
import pathlib
import threading

ML_LIBRARIES = ("onnxruntime", "torch", "mkl", "openvino", "cudart", "cublas")
TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


def read(path):
    """A file of /proc; empty if the process is gone."""
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""


def memory(pid):
    """Resident memory in MiB: `rss`, its `anonymous` and `file` parts, `pss`, and the `peak`."""
    wanted = {"VmRSS": "rss", "VmHWM": "peak", "RssAnon": "anonymous", "RssFile": "file", "Pss": "pss"}
    found = dict.fromkeys(wanted.values(), 0.0)
    for line in (read(f"/proc/{pid}/status") + read(f"/proc/{pid}/smaps_rollup")).splitlines():
        key, _, value = line.partition(":")
        if key in wanted:
            found[wanted[key]] = int(value.split()[0]) / 1024
    return found


def ml_libraries(pid):
    """Libraries for machine learning that the process maps."""
    maps = read(f"/proc/{pid}/maps")
    return {name for name in ML_LIBRARIES if name in maps}


def cpu_seconds(pid):
    """User and system time of a process, of all children it has buried, and of those alive."""
    return sum(own_cpu(each) for each in descendants(pid))


def own_cpu(pid):
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS if len(fields) > 14 else 0.0


def descendants(root):
    """A process and all below it: ids with program names."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            head, _, rest = read(f"/proc/{entry}/stat").rpartition(")")
            fields = rest.split()
            if len(fields) > 1:
                parents[int(entry)] = (int(fields[1]), head.partition("(")[2])
    found, grown = {root}, True
    while grown:
        below = {pid for pid, (parent, _) in parents.items() if parent in found} - found
        found |= below
        grown = bool(below)
    return {pid: parents[pid][1] for pid in found if pid in parents}


class Peaks:
    """Looks at processes and all below them while the `with` block runs, and keeps the highest."""

    def __init__(self, *roots, every=0.05):
        self.roots, self.every = roots, every
        self.programs, self.processes = {}, {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def _watch(self):
        while not self.over.wait(self.every):
            for root in self.roots:
                for pid, name in descendants(root).items():
                    self._look(pid, name)

    def _look(self, pid, name):
        program = self.programs.setdefault(name, {"count": 0, "peak": 0.0, "cpu": 0.0, "ml": set()})
        if pid not in self.processes:
            program["count"] += 1
        fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        own = sum(map(int, fields[11:13])) / TICKS if len(fields) > 12 else 0.0
        program["cpu"] += max(0.0, own - self.processes.get(pid, 0.0))
        self.processes[pid] = max(own, self.processes.get(pid, 0.0))
        for line in read(f"/proc/{pid}/status").splitlines():
            if line.startswith("VmHWM:"):
                program["peak"] = max(program["peak"], int(line.split()[1]) / 1024)
        program["ml"] |= ml_libraries(pid)
