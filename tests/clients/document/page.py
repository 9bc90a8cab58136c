"""Reads docs/API.md: fenced grpcurl commands, each followed by its fenced answer."""

import pathlib
from dataclasses import dataclass, replace

from report import Failed

FENCE = "```"


@dataclass(frozen=True)
class Example:
    """One command and its answer as they stand in the page."""

    line: int
    command: str
    # `json` if only messages are expected, `text` for lists and for errors.
    language: str
    answer: str
    # Lines of the page between the fences of the answer, first and past the last.
    answer_begin: int
    answer_end: int


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and its lines in the page without the fences."""

    language: str
    text: str
    begin: int
    end: int


class Page:
    """The page with its examples in order."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self._lines = path.read_text().split("\n")
        self.examples = list(self._pair())

    def write(self, answers: dict[int, str]) -> None:
        """Writes the page with new answers, given by the line of their command."""
        lines = list(self._lines)
        for example in reversed(self.examples):
            if example.line in answers:
                lines[example.answer_begin:example.answer_end] = answers[example.line].split("\n")
        self.path.write_text("\n".join(lines))

    def _pair(self):
        blocks = list(self._blocks())
        for index, block in enumerate(blocks):
            if block.language != "sh" or not block.text.startswith("grpcurl "):
                if "grpcurl -" in block.text:
                    raise Failed(f"{self.path.name}:{block.begin}: a grpcurl line must begin its own block")
                continue
            following = blocks[index + 1] if index + 1 < len(blocks) else None
            if following is None or following.language not in ("json", "text") or not self._adjoin(block, following):
                raise Failed(f"{self.path.name}:{block.begin}: no answer follows: add a ```json block")
            yield Example(block.begin + 1, block.text, following.language, following.text, following.begin,
                          following.end)

    def _adjoin(self, block: Block, following: Block) -> bool:
        """Whether only empty lines lie between two blocks."""
        return not any(line.strip() for line in self._lines[block.end + 1:following.begin - 1])

    def _blocks(self):
        opened = None
        for number, line in enumerate(self._lines):
            if not line.startswith(FENCE):
                continue
            if opened is None:
                opened = Block(line.removeprefix(FENCE).strip(), "", number + 1, number + 1)
                continue
            text = "\n".join(self._lines[opened.begin:number])
            yield replace(opened, text=text, end=number)
            opened = None
        if opened is not None:
            raise Failed(f"{self.path.name}:{opened.begin}: this block is never closed")
