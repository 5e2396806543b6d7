"""The frames of today's WebSocket dialect (docs/wire.md, REST and WebSocket)."""

from __future__ import annotations

from runagent_grpc.bridge.texts import (
    RAISED_IN_STREAM,
    dumps,
    error_members,
    message_to_callers,
    quoted,
    structured,
)
from runagent_grpc.errors import RunAgentError
from runagent_grpc.values.payload import Payload

__all__ = [
    "chunk_frame",
    "completed_frame",
    "draining_frame",
    "error_frame",
    "heartbeat_frame",
    "started_frame",
]


def started_frame(invocation_id: str, *, heartbeat_interval: float) -> str:
    return (
        f'{{"type":"status","status":"stream_started","invocation_id":{quoted(invocation_id)},'
        f'"heartbeat_interval":{heartbeat_interval:g}}}'
    )


def chunk_frame(payload: Payload, sequence: int) -> str:
    return f'{{"type":"data","content":{quoted(structured(payload))},"sequence":{sequence}}}'


def heartbeat_frame() -> str:
    return '{"type":"status","status":"heartbeat"}'


def completed_frame(invocation_id: str, *, chunk_count: int, elapsed: float) -> str:
    return (
        f'{{"type":"status","status":"stream_completed","total_chunks":{chunk_count},'
        f'"execution_time":{round(elapsed, 6)},"invocation_id":{quoted(invocation_id)}}}'
    )


def draining_frame(invocation_id: str) -> str:
    return f'{{"type":"status","status":"server_draining","invocation_id":{quoted(invocation_id)}}}'


def error_frame(error: RunAgentError) -> str:
    message = message_to_callers(error, RAISED_IN_STREAM)
    told = error_members(error, message)
    data = {**told, "field": error.field, "reason": error.reason}
    return dumps({"type": "error", "error": message, "detail": message, **told, "data": data})
