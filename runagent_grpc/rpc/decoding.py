"""Requests as they come off the wire: one that is no message of the contract is refused as any bad request is.

grpc.aio parses a request before the handler is called. Where that fails it logs a traceback, and ends the call with a
bare UNKNOWN, which would look like a failure of the entrypoint.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from runagent_grpc.errors import InvalidRequestError, Reason
from runagent_grpc.rpc.error_handlers import Context, failures_become_status

__all__ = ["DecodingServer"]

_Method = Callable[[Any, Context], Awaitable[Any]]


class DecodingServer:
    """A grpc.aio server as generated `add_..._to_server` functions see it, whose handlers parse requests with care."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Does nothing: the same handlers come by name, too."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Adds the handlers of a service, each of which takes one request."""
        careful = {name: _careful(handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, careful),))


def _careful(handler: Any) -> Any:
    kind = grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
    return kind(
        _refusing(handler.unary_stream if handler.response_streaming else handler.unary_unary),
        request_deserializer=_tolerant(handler.request_deserializer),
        response_serializer=handler.response_serializer,
    )


def _tolerant(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parse_or_tell(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError as error:
            return error

    return parse_or_tell


def _refusing(method: _Method) -> _Method:
    async def call(request: Any, context: Context) -> Any:
        if not isinstance(request, DecodeError):
            return await method(request, context)
        async with failures_become_status(context):
            raise InvalidRequestError(
                "The request is no message of this method. Generate the stubs from runagent/v1 anew.",
                reason=Reason.MALFORMED_REQUEST,
            )

    return call
