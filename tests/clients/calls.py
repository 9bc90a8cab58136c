"""Calls any method by its path with JSON, as grpcurl does, and gives back JSON and the error."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import grpc
from google.protobuf import json_format, message_factory

from reflection import Reflection
from report import Failed

WAIT_SECONDS = 60
DETAILS_KEY = "grpc-status-details-bin"


@dataclass
class Error:
    """Why a call failed, as the server said it."""

    code: str
    message: str
    details: list[dict] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """The reason code of google.rpc.ErrorInfo."""
        for detail in self.details:
            if detail.get("@type", "").endswith("google.rpc.ErrorInfo"):
                return detail.get("reason", "")
        return ""

    @property
    def metadata(self) -> dict[str, str]:
        """The variables of google.rpc.ErrorInfo."""
        for detail in self.details:
            if detail.get("@type", "").endswith("google.rpc.ErrorInfo"):
                return detail.get("metadata", {})
        return {}


@dataclass
class Answer:
    """What came back: one message of a unary call, any number of a stream, and perhaps an error."""

    messages: list[dict]
    error: Error | None


class Client:
    """One server, called by what its reflection says."""

    def __init__(self, address: str, token: str | None, version: str = "v1") -> None:
        self.address = address
        self.headers = [("authorization", f"Bearer {token}")] if token is not None else []
        # Big answers (a stream's pages) stay below what the servers send: 4 MiB is grpcurl's limit too.
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 8 << 20)])
        self.reflection = Reflection(self.channel, self.headers, version)
        self.answered: Counter[str] = Counter()

    def close(self) -> None:
        """Ends the connection."""
        self.channel.close()

    def ask(self, path: str, request: dict | list[dict] | None = None, *, seconds: float = WAIT_SECONDS,
            headers: list[tuple[str, str]] | None = None, most: int | None = None) -> Answer:
        """Calls `package.Service/Method`; a list of requests is a stream of them.

        With `most`, a stream is left after that many messages.
        """
        method = self.reflection.method(path)
        requests = request if isinstance(request, list) else [request or {}]
        call = self._stub(path, method)
        sent = [self._message(method.input_type, item) for item in requests]
        given = self.headers if headers is None else headers
        received: list[dict] = []
        try:
            argument = iter(sent) if method.client_streaming else sent[0]
            answer = call(argument, timeout=seconds, metadata=given)
            for message in answer if method.server_streaming else [answer]:
                received.append(self._json(message))
                if most is not None and len(received) >= most:
                    answer.cancel()
                    break
        except grpc.RpcError as failure:
            return Answer(received, self._error(failure))
        self.answered[path] += 1
        return Answer(received, None)

    def get(self, path: str, request: dict | list[dict] | None = None, **options) -> dict:
        """The only message of an answer; raises if the call failed."""
        messages = self.stream(path, request, **options)
        if len(messages) != 1:
            raise Failed(f"{path} answered with {len(messages)} messages instead of one")
        return messages[0]

    def stream(self, path: str, request: dict | list[dict] | None = None, **options) -> list[dict]:
        """The messages of an answer; raises if the call failed."""
        answer = self.ask(path, request, **options)
        if answer.error is not None:
            raise Failed(f"{path} answered {answer.error.code} ({answer.error.reason}): {answer.error.message}")
        return answer.messages

    def follow(self, path: str, request: dict, *, seconds: float) -> Iterator[dict]:
        """The messages of a stream as they come; ends with the deadline, or when the caller stops."""
        method = self.reflection.method(path)
        call = self._stub(path, method)(self._message(method.input_type, request), timeout=seconds,
                                        metadata=self.headers)
        try:
            for message in call:
                yield self._json(message)
        except grpc.RpcError as failure:
            if failure.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
                raise Failed(f"{path}: {self._error(failure)}") from failure
        finally:
            call.cancel()

    def refused(self, path: str, request: dict | list[dict] | None = None, **options) -> Error:
        """The error of a call that must fail; raises if it did not."""
        answer = self.ask(path, request, **options)
        if answer.error is None:
            raise Failed(f"{path} answered {str(answer.messages)[:500]} instead of refusing")
        return answer.error

    def _stub(self, path: str, method):
        kinds = {(False, False): self.channel.unary_unary, (False, True): self.channel.unary_stream,
                 (True, False): self.channel.stream_unary, (True, True): self.channel.stream_stream}
        make = kinds[method.client_streaming, method.server_streaming]
        answer = message_factory.GetMessageClass(method.output_type)
        return make("/" + path, request_serializer=lambda message: message.SerializeToString(),
                    response_deserializer=answer.FromString)

    def _message(self, kind, request: dict):
        message = message_factory.GetMessageClass(kind)()
        return json_format.ParseDict(request, message, descriptor_pool=self.reflection.pool)

    def _json(self, message) -> dict:
        return json_format.MessageToDict(message, descriptor_pool=self.reflection.pool)

    def _error(self, failure) -> Error:
        error = Error(failure.code().name, failure.details() or "")
        trailing = dict(failure.trailing_metadata() or ())
        if DETAILS_KEY in trailing:
            kind = self.reflection.message("google.rpc.Status")
            status = message_factory.GetMessageClass(kind).FromString(trailing[DETAILS_KEY])
            for detail in status.details:
                self.reflection.message(detail.type_url.rpartition("/")[2])
                error.details.append(self._json(detail))
        return error
