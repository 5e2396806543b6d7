"""The reflection service, which tells tools such as grpcurl, ghz and buf the contract, in both of its versions.

grpcio-reflection has v1alpha alone, and finds no method by its name. Version 1 has the same messages in another package
(https://github.com/grpc/grpc/blob/master/doc/server-reflection.md), so that one servicer answers for both.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2

__all__ = ["add_reflection"]

_METHOD = "ServerReflectionInfo"
_V1_FILE = "grpc/reflection/v1/reflection.proto"
_V1_SERVICE = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.aio.Server, services: Iterable[str]) -> None:
    """Tells callers of `server` of these services, and of reflection itself. Their stubs must be imported."""
    names = (*services, reflection.SERVICE_NAME, _V1_SERVICE)
    # A pool of its own: an author's package may bring the file of version 1, and could not be imported beside ours.
    pool = descriptor_pool.DescriptorPool()
    for name in names[:-1]:
        _add_file(pool, descriptor_pool.Default().FindFileContainingSymbol(name))
    pool.Add(_file_of_v1())
    handler = grpc.stream_stream_rpc_method_handler(
        _Servicer(names, pool).answers,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    versions = (reflection.SERVICE_NAME, _V1_SERVICE)
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(version, {_METHOD: handler}) for version in versions)
    )


class _Servicer:
    """Answers as grpcio-reflection's servicer does, which finds no methods."""

    def __init__(self, names: Iterable[str], pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool
        # Its stubs take the generator for a coroutine.
        self._servicer: Any = reflection.aio.ReflectionServicer(names, pool)

    async def answers(self, requests: AsyncIterable[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            async for response in self._servicer.ServerReflectionInfo(_alone(self._findable(request)), context):
                response.original_request.CopyFrom(request)
                yield response

    def _findable(self, request: Any) -> Any:
        """Returns a request whose method is replaced by its service, which is in the same file."""
        service, _, method = request.file_containing_symbol.rpartition(".")
        try:
            self._pool.FindServiceByName(service).methods_by_name[method]
        except KeyError:
            return request
        return reflection_pb2.ServerReflectionRequest(host=request.host, file_containing_symbol=service)


async def _alone(request: Any) -> AsyncIterator[Any]:
    yield request


def _add_file(pool: descriptor_pool.DescriptorPool, file: FileDescriptor) -> None:
    """Adds a file, after those that it imports. One that is there already is left as it is."""
    for dependency in file.dependencies:
        _add_file(pool, dependency)
    pool.AddSerializedFile(file.serialized_pb)


def _file_of_v1() -> descriptor_pb2.FileDescriptorProto:
    """Returns the file of version 1: that of v1alpha, under the other names."""
    alpha = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
    text = text_format.MessageToString(alpha)
    file = text_format.Parse(text.replace("reflection.v1alpha", "reflection.v1"), descriptor_pb2.FileDescriptorProto())
    file.name = _V1_FILE
    file.options.go_package = "google.golang.org/grpc/reflection/grpc_reflection_v1"
    file.options.ClearField("deprecated")
    return file
