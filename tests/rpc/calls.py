"""Calls as somebody makes them who has nothing but the contract: plain stubs, plain messages, plain statuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, call_pb2, payload_pb2
from runagent_grpc.testing import RunningServer

__all__ = [
    "Failure",
    "announced_id",
    "bearer",
    "call_of",
    "connected",
    "connected_async",
    "connected_for_health",
    "connected_for_reflection",
    "failing",
    "failure_of",
    "keep",
    "payload_of",
    "run_request",
    "stream_request",
    "value_of",
]

LARGE_MESSAGES = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
)


@contextmanager
def connected(server: RunningServer) -> Iterator[agent_service_pb2_grpc.AgentServiceStub]:
    """A stub on a channel of its own."""
    # A subchannel pool of its own, too: a channel that is closed must cut its connection.
    options = [("grpc.use_local_subchannel_pool", 1), *LARGE_MESSAGES]
    with grpc.insecure_channel(server.target, options) as channel:
        yield agent_service_pb2_grpc.AgentServiceStub(channel)


@asynccontextmanager
async def connected_async(server: RunningServer) -> AsyncIterator[Any]:
    """A stub for asyncio, on a channel of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), *LARGE_MESSAGES]
    async with grpc.aio.insecure_channel(server.target, options) as channel:
        yield agent_service_pb2_grpc.AgentServiceStub(channel)


@contextmanager
def connected_for_health(server: RunningServer) -> Iterator[Any]:
    """A stub of the health service, whose types are not told."""
    with grpc.insecure_channel(server.target) as channel:
        yield health_pb2_grpc.HealthStub(channel)


@contextmanager
def connected_for_reflection(server: RunningServer, version: str = "v1alpha") -> Iterator[Any]:
    """A function that asks one version of the reflection service questions, and returns the call."""
    with grpc.insecure_channel(server.target) as channel:
        # The versions have the same messages.
        request: Any = reflection_pb2.ServerReflectionRequest
        method: Any = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=request.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )

        def ask(*questions: dict[str, str], **options: Any) -> Any:
            return method(iter([request(**question) for question in questions]), **options)

        yield ask


def payload_of(value: Any) -> payload_pb2.Payload:
    """Strings as text, bytes as binary, everything else as JSON."""
    if isinstance(value, str):
        return payload_pb2.Payload(text=value)
    if isinstance(value, bytes):
        return payload_pb2.Payload(binary=value)
    return payload_pb2.Payload(json=json.dumps(value))


def value_of(payload: payload_pb2.Payload) -> Any:
    kind = payload.WhichOneof("kind")
    assert kind is not None
    return json.loads(payload.json) if kind == "json" else getattr(payload, kind)


def call_of(tag: str, *args: Any, fields: dict[str, Any] | None = None, **kwargs: Any) -> call_pb2.Call:
    """A call of `tag` with these arguments, and with these fields of the message."""
    return call_pb2.Call(
        entrypoint_tag=tag,
        args=[payload_of(value) for value in args],
        kwargs={name: payload_of(value) for name, value in kwargs.items()},
        **(fields or {}),
    )


def run_request(tag: str, *args: Any, **kwargs: Any) -> pb.RunRequest:
    return pb.RunRequest(call=call_of(tag, *args, **kwargs))


def stream_request(tag: str, *args: Any, **kwargs: Any) -> pb.RunStreamRequest:
    return pb.RunStreamRequest(call=call_of(tag, *args, **kwargs))


def announced_id(call: Any) -> str:
    """The invocation's id, from the initial metadata of a blocking call. Waits for a call of one value to end."""
    value = dict(call.initial_metadata())["x-invocation-id"]
    assert isinstance(value, str)
    return value


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    """The metadata that carries a key."""
    return (("authorization", f"Bearer {key}"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a failed call's status says."""

    code: grpc.StatusCode
    text: str
    reason: str
    suggestion: str
    violations: dict[str, str]
    """Descriptions by field."""
    retry_after: float | None


def failure_of(error: Any) -> Failure:
    """Reads a status, which must carry one ErrorInfo of ours, and nothing beyond what docs/design.md lists."""
    status = rpc_status.from_call(error)
    assert status is not None, f"{error.code()} carries no details: {error.details()}"
    infos, bad_requests, retries = (
        [_unpacked(detail, kind) for detail in status.details if detail.Is(kind.DESCRIPTOR)]
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)
    )
    assert len(infos) == 1
    assert infos[0].domain == "runagent.dev"
    assert len(bad_requests) <= 1
    assert len(retries) <= 1
    assert len(status.details) == len(infos) + len(bad_requests) + len(retries)
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    return Failure(
        code=error.code(),
        text=error.details(),
        reason=infos[0].reason,
        suggestion=infos[0].metadata.get("suggestion", ""),
        violations={
            violation.field: violation.description for bad in bad_requests for violation in bad.field_violations
        },
        retry_after=retries[0].retry_delay.ToTimedelta().total_seconds() if retries else None,
    )


def failing(method: Callable[..., Any], request: Any, **options: Any) -> Failure:
    """Makes a call, of one value or of a stream, that must fail, and returns its status."""

    def make() -> None:
        answer = method(request, **options)
        for _ in answer if isinstance(answer, Iterator) else ():
            pass

    with pytest.raises(grpc.RpcError) as caught:
        make()
    return failure_of(caught.value)


def keep(call: Any, events: list[pb.RunStreamResponse]) -> None:
    """Reads a stream to its end, and keeps what came before a failure."""
    for event in call:
        events.append(event)  # noqa: PERF402 - what came is wanted even where the loop raises


def _unpacked(detail: Any, kind: Callable[[], Any]) -> Any:
    message = kind()
    detail.Unpack(message)
    return message
