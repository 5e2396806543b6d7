"""Calls, events, manifests and records as messages of `runagent.v1`, and calls back."""

from __future__ import annotations

import json
from typing import Literal

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2, invocation_pb2
from runagent_grpc.contract.messages import (
    argument_from,
    chunks_to,
    duration_to,
    payload_to,
    seconds_from,
    timestamp_to,
)
from runagent_grpc.core.call import Call, OnDisconnect
from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamEvent, StreamHeartbeat, StreamStarted
from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.manifest import AgentManifest, EntrypointManifest
from runagent_grpc.core.principal import Principal
from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.values.payload import Payload, TruncatedPayload

__all__ = ["agent_to", "call_from", "event_to", "invocation_to"]

_ON_DISCONNECT = {
    call_pb2.ON_DISCONNECT_UNSPECIFIED: OnDisconnect.CANCEL,
    call_pb2.ON_DISCONNECT_CANCEL: OnDisconnect.CANCEL,
    call_pb2.ON_DISCONNECT_LINGER: OnDisconnect.LINGER,
    call_pb2.ON_DISCONNECT_DETACH: OnDisconnect.DETACH,
}


def call_from(message: call_pb2.Call, *, deadline: float | None, principal: Principal) -> Call:
    """Returns what a caller asks for. Raises InvalidRequestError, naming the field, for what cannot be read."""
    on_disconnect = _ON_DISCONNECT.get(message.on_disconnect)
    if on_disconnect is None:
        raise InvalidRequestError.of_field("on_disconnect", f"{message.on_disconnect} is not a value of OnDisconnect.")
    return Call(
        entrypoint_tag=message.entrypoint_tag,
        agent_id=message.agent_id,
        args=[argument_from(payload, f"args[{index}]") for index, payload in enumerate(message.args)],
        kwargs=_kwargs_from(message),
        request_id=message.request_id,
        user_id=message.user_id,
        persistent_memory=message.persistent_memory,
        on_disconnect=on_disconnect,
        resume_window=_positive(message, "resume_window"),
        run_timeout=_positive(message, "run_timeout"),
        deadline=deadline,
        transport="grpc",
        principal=principal,
    )


def event_to(event: StreamEvent) -> pb.RunStreamResponse:
    """Returns the message of one event of a stream."""
    match event:
        case StreamChunks(first_sequence, payloads):
            return chunks_to(first_sequence, payloads)
        case StreamStarted(invocation_id, start_time, heartbeat_interval):
            started = pb.StreamStarted(
                invocation_id=invocation_id,
                start_time=timestamp_to(start_time),
                heartbeat_interval=duration_to(heartbeat_interval),
            )
            return pb.RunStreamResponse(started=started)
        case StreamHeartbeat():
            return pb.RunStreamResponse(heartbeat=pb.StreamHeartbeat())
        case StreamCompleted(chunk_count, elapsed):
            completed = pb.StreamCompleted(chunk_count=chunk_count, elapsed=duration_to(elapsed))
            return pb.RunStreamResponse(completed=completed)


def invocation_to(record: InvocationRecord) -> invocation_pb2.Invocation:
    """Returns the message of an invocation's record, with its result where that is whole."""
    message = invocation_pb2.Invocation(
        invocation_id=record.invocation_id,
        agent_id=record.agent_id,
        entrypoint_tag=record.entrypoint_tag,
        state=invocation_pb2.InvocationState.Value(f"INVOCATION_STATE_{record.state.name}"),
        cause=record.cause,
        start_time=timestamp_to(record.start_time),
        chunk_count=record.chunk_count,
    )
    if record.end_time is not None:
        message.end_time.CopyFrom(timestamp_to(record.end_time))
    if record.error is not None:
        message.failure.CopyFrom(invocation_pb2.Failure(reason=record.error.reason, message=record.error.message))
    if record.result is not None and not isinstance(record.result, TruncatedPayload):
        message.result.CopyFrom(payload_to(record.result))
    return message


def agent_to(agent: AgentManifest, *, schemas: bool) -> pb.Agent:
    """Returns the message of an agent, with its entrypoints' input schemas or without."""
    return pb.Agent(
        agent_id=agent.agent_id,
        agent_name=agent.agent_name,
        description=agent.description,
        version=agent.version,
        framework=agent.framework,
        entrypoints=[_entrypoint_to(entrypoint, schemas) for entrypoint in agent.entrypoints.values()],
    )


def _entrypoint_to(entrypoint: EntrypointManifest, schemas: bool) -> pb.Entrypoint:
    return pb.Entrypoint(
        tag=entrypoint.tag,
        streaming=entrypoint.streaming,
        description=entrypoint.description,
        input_schema=json.dumps(entrypoint.input_schema) if schemas else "",
    )


def _kwargs_from(message: call_pb2.Call) -> dict[str, Payload]:
    """Returns the keyword arguments by name, those of `keywords` first and in their order."""
    kwargs: dict[str, Payload] = {}
    pairs = ((keyword.name, keyword.value) for keyword in message.keywords)
    for name, payload in (*pairs, *message.kwargs.items()):
        if name in kwargs:
            raise InvalidRequestError.of_argument(name, "Given twice by name.")
        kwargs[name] = argument_from(payload, name)
    return kwargs


def _positive(message: call_pb2.Call, field: Literal["resume_window", "run_timeout"]) -> float | None:
    """Returns a duration field's seconds, or None where it is not set."""
    if not message.HasField(field):
        return None
    seconds = seconds_from(getattr(message, field))
    if seconds <= 0:
        raise InvalidRequestError.of_field(field, "A duration must be longer than 0.")
    return seconds
