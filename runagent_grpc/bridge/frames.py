"""Every JSON text that the HTTP face sends, bodies and WebSocket frames alike (docs/wire.md, REST and WebSocket).

All of it is ASCII, for there are clients that decode UTF-8 in pieces. A result or a chunk was encoded once, by the
engine; its text is spliced in and never parsed again.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from json.encoder import encode_basestring as quoted_beyond_ascii
from json.encoder import encode_basestring_ascii as quoted
from typing import Any

from runagent_grpc.bridge.history import HistoryEntry, HistoryStatistics
from runagent_grpc.bridge.openapi import DescribedRoute, openapi_document
from runagent_grpc.core.invocation import Invocation, InvocationState
from runagent_grpc.errors import TABLE, Reason, RunAgentError
from runagent_grpc.values.payload import Json, Payload
from runagent_grpc.worker import Agent

__all__ = [
    "agent_body",
    "architecture_body",
    "cancelled_body",
    "chunk_frame",
    "completed_frame",
    "draining_frame",
    "error_body",
    "error_frame",
    "health_body",
    "heartbeat_frame",
    "history_body",
    "history_entry_body",
    "history_statistics_body",
    "json_text",
    "legacy_chunk_frame",
    "legacy_error_frame",
    "legacy_failure_body",
    "legacy_pong_frame",
    "legacy_run_body",
    "legacy_status_frame",
    "openapi_body",
    "run_body",
    "started_frame",
    "structured",
]

_dumps = json.JSONEncoder(separators=(",", ":")).encode

_RAISED_IN_RUN = "Agent execution failed: "
_RAISED_IN_STREAM = "Streaming error: "


def json_text(payload: Payload) -> str:
    """Returns a payload's JSON text, in ASCII."""
    text = _text_of(payload)
    return text if text.isascii() else _BEYOND_ASCII.sub(_escaped, text)


def structured(payload: Payload) -> str:
    """Returns the JSON text that tells a payload's type and holds its JSON text, as a string."""
    # Quoting makes it ASCII, once: escaped before, every other script would take twice the room.
    text = _text_of(payload)
    return f'{{"type":"{_type_of(text)}","payload":{quoted(text)}}}'


def run_body(payload: Payload, *, request_id: str) -> str:
    """The answer to a run that completed."""
    return (
        f'{{"success":true,"data":{quoted(structured(payload))},"message":"Agent execution completed successfully",'
        f'"error":null,"timestamp":"{_now()}","request_id":{quoted(request_id)}}}'
    )


def error_body(error: RunAgentError, *, request_id: str) -> str:
    """The answer to a request that failed."""
    message = _told(error, _RAISED_IN_RUN)
    return _dumps(
        {
            "success": False,
            "data": None,
            "message": message,
            "error": {**_error(error, message), "field": error.field, "reason": error.reason},
            "detail": message,
            "timestamp": _now(),
            "request_id": request_id,
        }
    )


def cancelled_body(invocation: Invocation, *, request_id: str) -> str:
    """The answer to a request to cancel: the invocation as it stands now."""
    return _dumps(
        {
            "success": True,
            "data": {
                "invocation_id": invocation.invocation_id,
                "status": _HISTORY_STATUS.get(invocation.state, "failed"),
                "state": invocation.state.name,
                "error_detail": invocation.cause or None,
            },
            "message": "The invocation has ended.",
            "error": None,
            "timestamp": _now(),
            "request_id": request_id,
        }
    )


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
    message = _told(error, _RAISED_IN_STREAM)
    told = _error(error, message)
    data = {**told, "field": error.field, "reason": error.reason}
    return _dumps({"type": "error", "error": message, "detail": message, **told, "data": data})


def architecture_body(agent: Agent, *, request_id: str) -> str:
    """The agent's entrypoints, twice: older clients look for them at the top."""
    entrypoints = [
        {
            "tag": entrypoint.tag,
            "file": entrypoint.file,
            "module": entrypoint.module,
            "extractor": entrypoint.extractor.paths if entrypoint.extractor else None,
            "description": entrypoint.description or None,
            "input_schema": entrypoint.signature.json_schema,
            "streaming": entrypoint.streaming,
        }
        for entrypoint in agent.entrypoints.values()
    ]
    return _dumps(
        {
            "success": True,
            "data": {"agent_id": agent.agent_id, "entrypoints": entrypoints},
            "message": "Agent architecture retrieved successfully",
            "error": None,
            "timestamp": _now(),
            "request_id": request_id,
            "agent_id": agent.agent_id,
            "entrypoints": entrypoints,
        }
    )


def agent_body(agent: Agent, *, grpc_port: int | None) -> str:
    """What is served here, and where gRPC is, on the host that the caller knows."""
    body: dict[str, Any] = {
        "message": f"RunAgent API - {agent.agent_name}",
        "agent_id": agent.agent_id,
        "agent_name": agent.agent_name,
        "description": agent.description,
        "version": agent.version,
        "framework": agent.framework,
        # What tells clients that a cut stream can be taken up here, and a call be repeated; published servers cannot.
        "resumable": True,
        "entrypoints": [
            {"tag": entrypoint.tag, "streaming": entrypoint.streaming} for entrypoint in agent.entrypoints.values()
        ],
    }
    if grpc_port is not None:
        body["grpc"] = {"port": grpc_port, "tls": False}
    return _dumps(body)


def openapi_body(agent: Agent, *, routes: Iterable[DescribedRoute], asks_for_key: bool) -> str:
    return _dumps(openapi_document(agent, routes, asks_for_key=asks_for_key))


def health_body(*, draining: bool) -> str:
    # Published clients ask no more of it than whether the server lives, and it does.
    more = ',"draining":true' if draining else ""
    return f'{{"status":"healthy","timestamp":"{_now()}"{more}}}'


def history_body(agent_id: str, entries: Iterable[HistoryEntry]) -> str:
    texts = [history_entry_body(entry) for entry in entries]
    return f'{{"agent_id":{quoted(agent_id)},"invocations":[{",".join(texts)}],"total_count":{len(texts)}}}'


def history_entry_body(entry: HistoryEntry) -> str:
    head = _dumps(
        {
            "invocation_id": entry.invocation_id,
            "agent_id": entry.agent_id,
            "entrypoint_tag": entry.entrypoint_tag,
            "status": _HISTORY_STATUS.get(entry.state, "failed"),
            "state": entry.state.name,
            "error_detail": entry.cause or None,
            "request_timestamp": _time(entry.start_time),
            "response_timestamp": _time(entry.end_time) if entry.end_time else None,
            "execution_time_ms": None if entry.elapsed is None else round(entry.elapsed * 1000, 3),
            "chunk_count": entry.chunk_count,
            "sdk_type": entry.transport,
            "client_info": {"user_id": entry.user_id, "request_id": entry.request_id},
        }
    )
    given, came = ("null" if text is None else json_text(Json(text)) for text in (entry.input, entry.output))
    return f'{head[:-1]},"input_data":{given},"output_data":{came}}}'


def history_statistics_body(agent_id: str, statistics: HistoryStatistics) -> str:
    average = statistics.average_seconds
    stats = {
        "total_invocations": statistics.total,
        "completed_invocations": statistics.completed,
        "failed_invocations": statistics.failed,
        "pending_invocations": statistics.pending,
        "success_rate": round(statistics.completed / statistics.total * 100, 2) if statistics.total else 0,
        "avg_execution_time_ms": None if average is None else round(average * 1000, 2),
        "agent_id": agent_id,
    }
    return _dumps({"agent_id": agent_id, "stats": stats})


def legacy_run_body(payload: Payload, *, agent_id: str, elapsed: float) -> str:
    return (
        f'{{"success":true,"output_data":{quoted(json_text(payload))},"error":null,'
        f'"execution_time":{round(elapsed, 6)},"agent_id":{quoted(agent_id)}}}'
    )


def legacy_failure_body(error: RunAgentError, *, agent_id: str, elapsed: float) -> str:
    return _dumps(
        {
            "success": False,
            "output_data": None,
            "error": _told(error, _RAISED_IN_RUN),
            "execution_time": round(elapsed, 6),
            "agent_id": agent_id,
        }
    )


def legacy_status_frame(frame_id: str, **data: Any) -> str:
    return _legacy_frame(frame_id, "status", _dumps(data))


def legacy_pong_frame(frame_id: str) -> str:
    return _legacy_frame(frame_id, "status", f'{{"pong":true,"timestamp":"{_now()}"}}')


def legacy_chunk_frame(frame_id: str, payload: Payload) -> str:
    return _legacy_frame(frame_id, "raw_data", json_text(payload))


def legacy_error_frame(frame_id: str, error: RunAgentError) -> str:
    return _legacy_frame(frame_id, "error", "null", quoted(_told(error, _RAISED_IN_STREAM)))


def _legacy_frame(frame_id: str, kind: str, data: str, error: str = "null") -> str:
    return (
        f'{{"id":{quoted(frame_id)},"type":"{kind}","timestamp":"{_now()}","data":{data},"metadata":null,'
        f'"error":{error}}}'
    )


_HISTORY_STATUS = {
    InvocationState.QUEUED: "pending",
    InvocationState.RUNNING: "pending",
    InvocationState.COMPLETED: "completed",
}

_TYPES = {'"': "string", "{": "object", "[": "array", "t": "boolean", "f": "boolean", "n": "null"}

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


def _text_of(payload: Payload) -> str:
    if type(payload) is Json:
        return payload
    return quoted_beyond_ascii(payload if isinstance(payload, str) else base64.b64encode(payload).decode())


def _type_of(text: str) -> str:
    kind = _TYPES.get(text[0])
    if kind is not None:
        return kind
    # An integer may have thousands of digits, so the search is for what makes it none.
    return "number" if any(sign in text for sign in ".eE") else "integer"


def _escaped(match: re.Match[str]) -> str:
    # Everything that is not ASCII is inside of strings.
    return quoted(match[0])[1:-1]


def _told(error: RunAgentError, prefix: str) -> str:
    """Returns the message, with the words that published clients expect before what the entrypoint raised."""
    return prefix + error.message if error.reason is Reason.EXECUTION_FAILED else error.message


def _error(error: RunAgentError, message: str) -> dict[str, str | None]:
    return {
        "code": TABLE[error.reason].code,
        "message": message,
        "suggestion": error.suggestion,
        "details": error.details,
    }


def _now() -> str:
    return _time(datetime.now(UTC))


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
