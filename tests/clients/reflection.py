"""Descriptors by server reflection alone, as grpcurl gets them: nothing here knows the protos."""

from collections.abc import Iterator

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_reflection.v1alpha import reflection_pb2

from report import Failed

# The messages of both versions are the same on the wire; only the name of the service differs.
VERSIONS = ("v1", "v1alpha")
WAIT_SECONDS = 20


class Reflection:
    """Everything that one server says of its services."""

    def __init__(self, channel: grpc.Channel, headers: list[tuple[str, str]], version: str = "v1") -> None:
        self._call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        self._headers = headers
        self._seen: set[str] = set()
        self.pool = descriptor_pool.DescriptorPool()

    def service_names(self) -> list[str]:
        """Names of the services, as listed."""
        answer = self._ask(reflection_pb2.ServerReflectionRequest(list_services="*"))
        return [service.name for service in answer.list_services_response.service]

    def service(self, name: str) -> ServiceDescriptor:
        """Descriptor of a service with all that it needs."""
        self._add(self._files(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)))
        return self.pool.FindServiceByName(name)

    def method(self, path: str) -> MethodDescriptor:
        """Descriptor of `package.Service/Method`."""
        service, _, name = path.partition("/")
        found = self.service(service).methods_by_name.get(name)
        if found is None:
            raise Failed(f"{service} has no method {name}")
        return found

    def message(self, name: str):
        """Descriptor of a message, such as one inside an Any."""
        self._add(self._files(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)))
        return self.pool.FindMessageTypeByName(name)

    def methods(self) -> Iterator[str]:
        """Every method of every service, as `package.Service/Method`."""
        for name in self.service_names():
            for method in self.service(name).methods:
                yield f"{name}/{method.name}"

    def _ask(self, request):
        try:
            answer = next(iter(self._call(iter([request]), metadata=self._headers, timeout=WAIT_SECONDS)))
        except grpc.RpcError as error:
            raise Failed(f"reflection: {error.code().name}: {error.details()}") from error
        if answer.HasField("error_response"):
            raise Failed(f"reflection: {answer.error_response.error_message}")
        return answer

    def _files(self, request) -> list[descriptor_pb2.FileDescriptorProto]:
        answer = self._ask(request).file_descriptor_response
        return [descriptor_pb2.FileDescriptorProto.FromString(file) for file in answer.file_descriptor_proto]

    def _add(self, files: list[descriptor_pb2.FileDescriptorProto]) -> None:
        """Adds files to the pool, what they import first."""
        for file in files:
            if file.name in self._seen:
                continue
            self._seen.add(file.name)
            for name in file.dependency:
                if name not in self._seen:
                    self._add(self._files(reflection_pb2.ServerReflectionRequest(file_by_filename=name)))
            self.pool.Add(file)
