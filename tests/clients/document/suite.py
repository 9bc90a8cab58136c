"""Sends the examples of docs/API.md in order and compares, or writes, their answers."""

import base64
import pathlib
import re

from calls import Answer, Client
from cluster import ROLES, Cluster, wait_until
from document import answer, command
from document.answer import Printed
from document.compare import differences
from document.page import Example, Page
from document.redact import redact
from report import Failed, Report

PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs/API.md"
# The library of the page: the first post is the first of these, and so on. The copy is the same picture in
# a file with a few bytes behind its end.
PICTURES = (
    "objects/red-on-white.png", "objects/blue-on-white.png", "objects/black-and-white.png",
    "gradients/blue.jpg", "copies/red-on-white.png", "scenes/blue.jpg", "scenes/green.jpg", "scenes/night.jpg",
)
# Nodes that run only while somebody wants them.
KINDS = {"tagger": "MODEL_KIND_TAG", "embedder": "MODEL_KIND_EMBED"}
FOLLOW_SECONDS = 30
METHOD = re.compile(r"(kumo|grpc)\.[\w.]+/\w+|\blist\b.*")


class Document:
    """The page, run against a cluster."""

    def __init__(self, cluster: Cluster, report: Report, write: bool) -> None:
        self._cluster = cluster
        self._report = report
        self._write = write
        self._names: dict[str, str] = {}
        self._answers: dict[int, str] = {}
        self._shown: set[str] = set()

    def run(self) -> None:
        """Prepares the library of the page, then goes through it from top to bottom."""
        self._report.section("docs/API.md: every example is sent and its answer compared")
        page = Page(PAGE)
        self._prepare()
        for example in page.examples:
            self._report.run(self._title(example), lambda example=example: self._send(example))
        self._report.run("every method of every service has an example", self._complete)
        if self._write:
            page.write(self._answers)

    def _prepare(self) -> None:
        for role in KINDS:
            if self._cluster.has(role):
                self._cluster.introduce(role)
        self._cluster.up()
        for name in PICTURES:
            original = name.replace("copies/", "objects/")
            ending = b"copy" if original != name else b""
            self._cluster.add(name, self._cluster.picture(original) + ending)
        self._cluster.place_bytes(b"this is no picture", "notes/broken.jpg")
        wait_until("the broken file is reported", lambda: self._cluster.stats().get("ingestFailures"), FOLLOW_SECONDS)
        self._names = self._values()
        for role in self._cluster.roles:
            awake = self._cluster.wake(role, KINDS[role]) if role in KINDS else self._cluster.address(role)
            self._names[role.upper()] = awake

    def _values(self) -> dict[str, str]:
        """What the names of the page's introduction stand for."""
        token = self._cluster.token
        picture = self._cluster.picture("objects/green-on-white.png")
        half = len(picture) // 2
        return {
            "TOKEN": token,
            "AUTH": f"authorization: Bearer {token}",
            "LIBRARY": str(self._cluster.library),
            "DATA": str(self._cluster.data),
            "PICTURE": base64.b64encode(picture).decode(),
            "FIRST_HALF": base64.b64encode(picture[:half]).decode(),
            "SECOND_HALF": base64.b64encode(picture[half:]).decode(),
        }

    @staticmethod
    def _title(example: Example) -> str:
        asked = METHOD.search(example.command)
        return f"line {example.line}: {asked.group() if asked else example.command}"

    def _send(self, example: Example) -> None:
        asked = command.parse(example.command)
        self._catch_up(asked)
        if asked.words[0] == "list":
            self._compare_text(example, self._list(asked))
            return
        real = answer.from_call(self._call(asked))
        documented = answer.parse(example.answer)
        if real.error is not None and example.language == "json":
            raise Failed(f"documented as answered, but refused: {answer.render_error(real.error)}")
        if self._write:
            documented = self._redacted(real, documented)
            self._answers[example.line] = answer.render(documented)
        found = differences(documented.messages, real.messages, self._names)
        found += differences(documented.error, real.error, self._names, "error")
        if found:
            raise Failed("\n".join(found[:20]))
        if real.messages:
            self._shown.add(asked.method)

    def _redacted(self, real: Printed, documented: Printed) -> Printed:
        """The real answer as the page is to show it."""
        messages = redact(real.messages, documented.messages, self._names)
        error = real.error and redact(real.error, documented.error, self._names)
        return Printed(messages, error)

    def _call(self, asked: command.Command) -> Answer:
        client = self._client(asked)
        requests = asked.requests(self._names)
        streaming = client.reflection.method(asked.method).client_streaming
        if not streaming and len(requests) != 1:
            raise Failed(f"{asked.method} takes one message, the line sends {len(requests)}")
        return client.ask(asked.method, requests if streaming else requests[0], seconds=asked.max_seconds,
                          headers=asked.header_pairs(self._names))

    def _list(self, asked: command.Command) -> str:
        reflection = self._client(asked).reflection
        if len(asked.words) == 1:
            return "\n".join(sorted(reflection.service_names()))
        methods = reflection.service(asked.words[1]).methods
        return "\n".join(sorted(f"{asked.words[1]}.{method.name}" for method in methods))

    def _compare_text(self, example: Example, real: str) -> None:
        if self._write:
            self._answers[example.line] = real
        elif real != example.answer:
            raise Failed(f"documented {example.answer}\ngot {real}")

    def _client(self, asked: command.Command) -> Client:
        address = command.replace_names(asked.address, self._names)
        for role in ROLES:
            if self._names.get(role.upper()) == address:
                return self._cluster.client(role)
        raise Failed(f"{asked.address} is no address of this cluster")

    def _catch_up(self, asked: command.Command) -> None:
        """Waits until the look-alike index has seen what the examples before changed."""
        if asked.address != "$SIMILARITY":
            return
        def caught_up() -> bool:
            index = self._cluster.client("similarity").get("kumo.similarity.v1.SimilarityService/GetIndex")
            return index["cursor"]["seq"] == self._cluster.stats()["seq"]
        wait_until("the look-alike index caught up", caught_up, FOLLOW_SECONDS)

    def _complete(self) -> None:
        """Every method that some server lists must have an example that was answered."""
        missing = set()
        for role in ROLES:
            if not self._cluster.has(role):
                missing.add(f"everything of kumo-{role}, which is not built")
                continue
            methods = self._cluster.client(role).reflection.methods()
            missing.update(path for path in methods if path not in self._shown and ".reflection." not in path)
        if missing:
            raise Failed("no example is answered of: " + ", ".join(sorted(missing)))
