"""A grpcurl command line as a shell reads it, taken apart."""

import json
import re
import shlex
from dataclasses import dataclass, field

from report import Failed

NAME = re.compile(r"\$([A-Z][A-Z0-9_]*)")
HERE = re.compile(r"\s*<<EOF\n(.*)\nEOF\s*$", re.DOTALL)
WAIT_SECONDS = 60.0


@dataclass
class Command:
    """What a grpcurl line asks for. Names such as `$STORE` are not yet replaced."""

    address: str = ""
    # A method `package.Service/Method`, or `list` with perhaps the name of a service.
    words: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    data: str = ""
    max_seconds: float = WAIT_SECONDS

    @property
    def method(self) -> str:
        """The path of the method, or nothing if the line lists."""
        return self.words[0] if "/" in self.words[0] else ""

    def requests(self, names: dict[str, str]) -> list[dict]:
        """The messages to send: JSON values one after the other."""
        return parse_messages(replace_names(self.data, names)) or [{}]

    def header_pairs(self, names: dict[str, str]) -> list[tuple[str, str]]:
        """The headers as gRPC metadata."""
        pairs = (replace_names(header, names).split(":", 1) for header in self.headers)
        return [(key.strip().lower(), value.strip()) for key, value in pairs]


def parse(text: str) -> Command:
    """Takes a line apart; raises for what grpcurl, or a shell, would not take so."""
    command, here = Command(), HERE.search(text)
    line = text[:here.start()] if here else text
    check_quotes(line)
    words = shlex.split(line.replace("\\\n", " "))[1:]
    plain = False
    while words:
        word = words.pop(0)
        if word == "-plaintext":
            plain = True
        elif word == "-H":
            command.headers.append(words.pop(0))
        elif word == "-d":
            command.data = words.pop(0)
        elif word == "-max-time":
            command.max_seconds = float(words.pop(0))
        elif word.startswith("-"):
            raise Failed(f"this suite does not know the flag {word}")
        elif not command.address:
            command.address = word
        else:
            command.words.append(word)
    if not plain or not command.words:
        raise Failed("a line must be `grpcurl -plaintext … ADDRESS METHOD`")
    if (command.data == "@") != bool(here):
        raise Failed("`-d @` needs a here-document <<EOF, and the other way round")
    if here:
        command.data = here.group(1)
    return command


def check_quotes(line: str) -> None:
    """Raises if a name stands in single quotes, where no shell would replace it."""
    single = double = False
    for position, letter in enumerate(line):
        if letter == "'" and not double:
            single = not single
        elif letter == '"' and not single:
            double = not double
        elif single and (name := NAME.match(line, position)):
            raise Failed(f"a shell does not replace {name.group()} in single quotes")


def replace_names(text: str, names: dict[str, str]) -> str:
    """Puts values in the place of names; raises for a name that has none."""
    def value(found: re.Match) -> str:
        if found.group(1) not in names:
            raise Failed(f"{found.group()} is not known here; known: {', '.join(sorted(names))}")
        return names[found.group(1)]
    return NAME.sub(value, text)


def parse_messages(text: str) -> list:
    """JSON values one after the other, as grpcurl reads and prints them."""
    decoder, values, position = json.JSONDecoder(), [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        value, position = decoder.raw_decode(text, position)
        values.append(value)
    return values
