"""A real cluster of the built programs on a temporary folder, and everything asked of it as a whole."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

from calls import Client
from report import Failed

STORE = "kumo.store.v1"
# A fixed time for every picture, so that answers which show it are the same in every run.
PICTURE_TIME_NS = 1_750_000_000_000_000_000
ALWAYS_ON = ("store", "watcher", "similarity")
ROLES = ("store", "watcher", "tagger", "embedder", "similarity")
START_SECONDS = 90
SETTLE_SECONDS = 120
STOP_SECONDS = 40


Asked = TypeVar("Asked")


def wait_until(what: str, ask: Callable[[], Asked | None], seconds: float) -> Asked:
    """Asks until the answer is true and gives it back; raises with the last trouble after `seconds`."""
    end = time.monotonic() + seconds
    trouble = "it was not"
    while True:
        try:
            answer = ask()
            if answer:
                return answer
        except Exception as error:  # while things start, anything may be refused
            trouble = f"{type(error).__name__}: {error}"
        if time.monotonic() > end:
            raise Failed(f"waited {seconds:.0f} s until {what}; last: {trouble}")
        time.sleep(0.05)


class Cluster:
    """One machine: a library folder, a data folder, and `kumo up` on them. Use it with `with`."""

    def __init__(self, programs: pathlib.Path, keep: bool = False) -> None:
        self.programs = programs
        self._keep = keep
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kumo-clients-"))
        self.library = self.folder / "library"
        self.data = self.folder / "data"
        self._made = self.folder / "made"
        self.library.mkdir()
        self._children: list[subprocess.Popen] = []
        self._clients: dict[str, Client] = {}

    def __enter__(self) -> "Cluster":
        subprocess.run([self.programs / "pictures", self._made, "--demo"], check=True, stdout=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()
        for child in reversed(self._children):
            end(child)
        if self._keep:
            print(f"kept {self.folder}")
            return
        subprocess.run(["rm", "-rf", "--", self.folder], check=True)

    @property
    def token(self) -> str:
        """The local owner's token."""
        return (self.data / "local.token").read_text().strip()

    def up(self) -> None:
        """Starts `kumo up` and waits until store and watcher, and similarity if it is built, answer."""
        # On the processor, so that confidences and device proofs are those of docs/API.md on any machine.
        self._spawn("kumo", "up", str(self.library), "--ports", "any", "--idle-stop", "900", "--device", "cpu")
        for role in ALWAYS_ON:
            if self.has(role):
                self._await(role)

    def introduce(self, role: str) -> None:
        """Makes the model of a role known before `kumo up` starts, so that model numbers are the same in
        every run: nodes that start together register in any order."""
        store = self._spawn("kumo-store", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
        address = wait_until("the store listens", lambda: self._announced("store", store.pid), START_SECONDS)
        node = self._spawn(f"kumo-{role}", "--store", str(address), "--register-only")
        if node.wait(START_SECONDS) != 0:
            raise Failed(f"kumo-{role} --register-only ended with {node.returncode}")
        end(store)

    @property
    def roles(self) -> list[str]:
        """The roles whose programs are built."""
        return [role for role in ROLES if self.has(role)]

    def has(self, role: str) -> bool:
        """Whether the program of a role is built."""
        return (self.programs / f"kumo-{role}").exists()

    def address(self, role: str) -> str:
        """Where a role listens, as it announces itself."""
        return self.announcement(role)["address"]

    def client(self, role: str) -> Client:
        """A client of a role with the owner's token."""
        address = self.address(role)
        known = self._clients.get(role)
        if known is None or known.address != address:
            self._clients[role] = known = Client(address, self.token)
        return known

    def store(self, service: str, method: str, request: dict | None = None) -> dict:
        """Asks the store."""
        return self.client("store").get(f"{STORE}.{service}/{method}", request)

    def add(self, name: str, data: bytes) -> None:
        """Moves a picture that is new into the library and waits until everything of it is done."""
        posts = int(self.stats().get("posts", 0))
        self.place_bytes(data, name)
        self.settle_posts(posts + 1)

    def place(self, name: str, target: str | None = None) -> pathlib.Path:
        """Moves a copy of a generated picture into the library."""
        return self.place_bytes(self.picture(name), target or name)

    def place_bytes(self, data: bytes, target: str) -> pathlib.Path:
        """Moves a file into the library in one step, so that it is read at once."""
        path = self.library / target
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.folder / "draft"
        draft.write_bytes(data)
        os.utime(draft, ns=(PICTURE_TIME_NS, PICTURE_TIME_NS))
        draft.rename(path)
        return path

    def picture(self, name: str) -> bytes:
        """The bytes of a generated picture."""
        return (self._made / name).read_bytes()

    def sha256(self, name: str) -> str:
        """SHA-256 of a file of the library."""
        return hashlib.sha256((self.library / name).read_bytes()).hexdigest()

    def stats(self) -> dict:
        """The store's figures."""
        return self.store("AdminService", "GetStats")

    def settle(self) -> None:
        """Waits until nothing is left to do."""
        def done() -> bool:
            stats = self.stats()
            waiting = ("tasksQueued", "tasksLeased", "tasksParked", "backfillLeft")
            return all(key not in stats for key in waiting)
        wait_until("no task is left", done, SETTLE_SECONDS)

    def settle_posts(self, posts: int) -> None:
        """Waits until the library holds so many posts and nothing is left to do."""
        wait_until(f"{posts} posts are there", lambda: int(self.stats().get("posts", 0)) == posts, SETTLE_SECONDS)
        self.settle()

    def model_tasks(self, model: str, count: int) -> list[dict]:
        """Waits until a model has so many tasks; the tasks."""
        def tasks() -> list[list[dict]]:
            listed = self.store("TaskService", "ListTasks", {"pageSize": 1000}).get("tasks", [])
            mine = [task for task in listed if task.get("model") == model]
            # In a list of its own, so that no tasks are an answer too.
            return [mine] if len(mine) == count else []
        return wait_until(f"{model} has {count} tasks", tasks, 20)[0]

    def wake(self, role: str, kind: str) -> str:
        """Asks for a node of a kind and waits until one is online; its address."""
        def online() -> str | None:
            nodes = self.store("CapacityService", "RequestCapacity", {"kind": kind}).get("nodes", [])
            return nodes[0]["address"] if nodes else None
        wait_until(f"a {role} is online", online, START_SECONDS)
        self._await(role)
        return self.address(role)

    def log(self) -> str:
        """The end of what `kumo up` said, for reports."""
        path = self.folder / "kumo.log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen:
        command = [str(self.programs / program), *arguments, "--data", str(self.data), "--instance", "here"]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("KUMO_")}
        with open(self.folder / f"{program}.log", "a") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self._children.append(child)
        return child

    def announcement(self, role: str) -> dict:
        """What a role says of itself in the data folder."""
        return json.loads((self.data / "run" / f"{role}.json").read_text())

    def _announced(self, role: str, pid: int) -> str | None:
        said = self.announcement(role)
        return said["address"] if said["pid"] == pid else None

    def _await(self, role: str) -> None:
        wait_until(f"the {role} is ready", lambda: self._ready(role), START_SECONDS)

    def _ready(self, role: str) -> bool:
        if self._children and self._children[-1].poll() is not None:
            raise Failed(f"it ended: {self.log()}")
        return self.client(role).get("kumo.node.v1.ProcessService/GetProcess").get("ready", False)


def end(child: subprocess.Popen) -> None:
    """Ends a process that was started here: politely, and after a while not."""
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(STOP_SECONDS)
