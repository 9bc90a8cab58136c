"""A cluster on an empty folder: the real programs, started, asked and stopped."""

import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from . import machine, process


class Program:
    """One running service."""

    def __init__(self, role, popen, log):
        self.role, self.popen, self.pid, self.log = role, popen, popen.pid, log

    def memory(self):
        return process.memory(self.pid)

    def forget_peak(self):
        """Makes the peak what it holds now."""
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def cpu(self):
        return process.cpu_seconds(self.pid)

    def stop(self, seconds=60):
        """Asks it to leave, and waits."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


class Cluster:
    """Programs that share a data folder; all of them end with the `with` block."""

    def __init__(self, programs, data=None):
        machine.BENCH.mkdir(parents=True, exist_ok=True)
        self.programs = pathlib.Path(programs)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="cluster-", dir=machine.BENCH))
        self.data = pathlib.Path(data) if data else self.folder / "data"
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in reversed(self.running):
            program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, role, *flags, seconds=120):
        """Starts `kumo-ROLE` and waits until it has announced itself."""
        self.data.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{role}.log"
        command = [self.programs / f"kumo-{role}", "--data", self.data, "--instance", "bench",
                   "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log", "warn"]
        if role != "store":
            command += ["--store", self.address("store")]
        with open(log, "a") as file:
            popen = subprocess.Popen(list(map(str, [*command, *flags])), stdout=file, stderr=file)
        program = Program(role, popen, log)
        self.running.append(program)
        deadline = time.monotonic() + seconds
        while self._announced(role).get("pid") != popen.pid:
            if popen.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the {role} does not run: {process.read(log)[-3000:]}")
            time.sleep(0.01)
        return program

    def address(self, role):
        return self._announced(role)["address"]

    def load(self, *words):
        """Runs the load generator on this cluster and gives what it saw."""
        command = [self.programs / "load", "--data", self.data, *words]
        done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True)
        if done.returncode != 0:
            logs = "\n".join(process.read(program.log)[-1500:] for program in self.running)
            raise SystemExit(f"load {' '.join(map(str, words[:1]))}: {done.stderr[-2000:]}\n{logs}")
        return json.loads(done.stdout)

    def kumo(self, *words):
        """Runs a `kumo` command on this cluster."""
        command = [self.programs / "kumo", *words, "--data", self.data]
        return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout

    def _announced(self, role):
        try:
            return json.loads((self.data / "run" / f"{role}.json").read_text())
        except (OSError, ValueError):
            return {}


def pictures(programs, count, first=0, tiny=False):
    """A folder of generated pictures, made once."""
    folder = machine.BENCH / f"{'tiny' if tiny else 'pictures'}-{first}-{count}"
    if not folder.is_dir():
        machine.BENCH.mkdir(parents=True, exist_ok=True)
        draft = folder.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        command = [pathlib.Path(programs) / "pictures", draft, "--count", count, "--seed", first]
        subprocess.run(list(map(str, command + (["--tiny"] if tiny else []))), check=True,
                       stdout=subprocess.DEVNULL)
        draft.rename(folder)
    return folder


def virtual_environment(*packages):
    """The Python of an environment with these packages from PyPI, made once."""
    name = "-".join(sorted(package.partition("=")[0] for package in packages))
    python = machine.BENCH / f"venv-{name}" / "bin/python"
    done = python.parent / "packages"
    if not done.is_file() or done.read_text().split() != list(packages):
        subprocess.run(["python3", "-m", "venv", str(python.parent.parent)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        done.write_text("\n".join(packages))
    return python
