"""An answer as grpcurl prints it: messages, then perhaps an error."""

import json
from dataclasses import dataclass

from calls import Answer, Error
from document.command import parse_messages

# grpcurl writes Go's names of the codes.
CODES = {
    "CANCELLED": "Canceled", "INVALID_ARGUMENT": "InvalidArgument", "NOT_FOUND": "NotFound",
    "FAILED_PRECONDITION": "FailedPrecondition", "OUT_OF_RANGE": "OutOfRange",
    "RESOURCE_EXHAUSTED": "ResourceExhausted", "UNAVAILABLE": "Unavailable",
    "DEADLINE_EXCEEDED": "DeadlineExceeded", "UNAUTHENTICATED": "Unauthenticated",
    "PERMISSION_DENIED": "PermissionDenied", "DATA_LOSS": "DataLoss", "INTERNAL": "Internal",
    "UNIMPLEMENTED": "Unimplemented",
}
ERROR = "ERROR:\n"
WIDTH = 110


@dataclass
class Printed:
    """Messages, and an error as `{code, message, details}`."""

    messages: list
    error: dict | None


def from_call(answer: Answer) -> Printed:
    """What a call brought."""
    # A round through JSON makes plain dictionaries of what the protobuf library gives.
    return Printed(json.loads(json.dumps(answer.messages)), error_value(answer.error) if answer.error else None)


def error_value(error: Error) -> dict:
    """An error as a value that can be compared."""
    if error.code == "DEADLINE_EXCEEDED":
        # Server and client look at the same clock, and whoever is first words it. This is grpcurl's wording.
        return {"code": CODES[error.code], "message": "context deadline exceeded"}
    value = {"code": CODES.get(error.code, error.code), "message": error.message}
    if error.details:
        value["details"] = json.loads(json.dumps(error.details))
    return value


def parse(text: str) -> Printed:
    """Reads a documented answer."""
    head, _, tail = ("\n" + text).partition("\n" + ERROR)
    return Printed(parse_messages(head), parse_error(tail) if tail else None)


def parse_error(text: str) -> dict:
    """Reads what stands behind `ERROR:`."""
    head, _, details = text.partition("\n  Details:\n")
    fields = dict(line.strip().split(": ", 1) for line in head.strip().split("\n"))
    value: dict = {"code": fields["Code"], "message": fields["Message"]}
    if details:
        numbered = (line.partition("\t") for line in details.split("\n"))
        value["details"] = parse_messages("\n".join(rest for _, _, rest in numbered))
    return value


def render(printed: Printed) -> str:
    """Writes an answer as grpcurl does, but closer."""
    parts = [layout(message) for message in printed.messages]
    if printed.error is not None:
        parts.append(render_error(printed.error))
    return "\n".join(parts)


def layout(value, indent: int = 0) -> str:
    """JSON with everything on one line that fits there."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + 2 * indent <= WIDTH or not isinstance(value, (dict, list)):
        return line
    pad, end = "  " * (indent + 1), "  " * indent
    if isinstance(value, list):
        items = [layout(item, indent + 1) for item in value]
    else:
        items = [f"{json.dumps(key, ensure_ascii=False)}: {layout(item, indent + 1)}" for key, item in value.items()]
    opening, closing = "[]" if isinstance(value, list) else "{}"
    return f"{opening}\n" + ",\n".join(pad + item for item in items) + f"\n{end}{closing}"


def render_error(error: dict) -> str:
    """Writes an error as grpcurl does."""
    lines = ["ERROR:", f"  Code: {error['code']}", f"  Message: {error['message']}"]
    if error.get("details"):
        lines.append("  Details:")
    for number, detail in enumerate(error.get("details", []), 1):
        first, *others = layout(detail).split("\n")
        prefix = f"  {number})"
        lines.append(f"{prefix}\t{first}")
        lines += [f"{' ' * len(prefix)}\t{line}" for line in others]
    return "\n".join(lines)
