"""The bodies and frames of the dialect that older clients speak (docs/wire.md, REST and WebSocket)."""

from __future__ import annotations

from typing import Any

from runagent_grpc.bridge.texts import (
    RAISED_IN_RUN,
    RAISED_IN_STREAM,
    dumps,
    json_text,
    message_to_callers,
    now,
    quoted,
)
from runagent_grpc.errors import RunAgentError
from runagent_grpc.values.payload import Payload

__all__ = ["chunk_frame", "error_frame", "failure_body", "pong_frame", "run_body", "status_frame"]


def run_body(payload: Payload, *, agent_id: str, elapsed: float) -> str:
    return (
        f'{{"success":true,"output_data":{quoted(json_text(payload))},"error":null,'
        f'"execution_time":{round(elapsed, 6)},"agent_id":{quoted(agent_id)}}}'
    )


def failure_body(error: RunAgentError, *, agent_id: str, elapsed: float) -> str:
    return dumps(
        {
            "success": False,
            "output_data": None,
            "error": message_to_callers(error, RAISED_IN_RUN),
            "execution_time": round(elapsed, 6),
            "agent_id": agent_id,
        }
    )


def status_frame(frame_id: str, **data: Any) -> str:
    return _frame(frame_id, "status", dumps(data))


def pong_frame(frame_id: str) -> str:
    return _frame(frame_id, "status", f'{{"pong":true,"timestamp":"{now()}"}}')


def chunk_frame(frame_id: str, payload: Payload) -> str:
    return _frame(frame_id, "raw_data", json_text(payload))


def error_frame(frame_id: str, error: RunAgentError) -> str:
    return _frame(frame_id, "error", "null", quoted(message_to_callers(error, RAISED_IN_STREAM)))


def _frame(frame_id: str, kind: str, data: str, error: str = "null") -> str:
    return (
        f'{{"id":{quoted(frame_id)},"type":"{kind}","timestamp":"{now()}","data":{data},"metadata":null,'
        f'"error":{error}}}'
    )
