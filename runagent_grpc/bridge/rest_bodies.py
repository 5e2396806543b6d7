"""The bodies of REST answers (docs/wire.md, REST and WebSocket)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from runagent_grpc.bridge.openapi import DescribedRoute, openapi_document
from runagent_grpc.bridge.texts import (
    RAISED_IN_RUN,
    dumps,
    error_members,
    json_text,
    message_to_callers,
    now,
    quoted,
    structured,
    time_text,
)
from runagent_grpc.core.history import InvocationStats
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.manifest import AgentManifest
from runagent_grpc.errors import RunAgentError
from runagent_grpc.values.payload import Json, Payload

__all__ = [
    "agent_body",
    "architecture_body",
    "cancelled_body",
    "error_body",
    "health_body",
    "history_body",
    "history_entry_body",
    "history_statistics_body",
    "openapi_body",
    "run_body",
]


def run_body(payload: Payload, *, request_id: str) -> str:
    """The answer to a run that completed."""
    return (
        f'{{"success":true,"data":{quoted(structured(payload))},"message":"Agent execution completed successfully",'
        f'"error":null,"timestamp":"{now()}","request_id":{quoted(request_id)}}}'
    )


def error_body(error: RunAgentError, *, request_id: str) -> str:
    """The answer to a request that failed."""
    message = message_to_callers(error, RAISED_IN_RUN)
    return dumps(
        {
            "success": False,
            "data": None,
            "message": message,
            "error": {**error_members(error, message), "field": error.field, "reason": error.reason},
            "detail": message,
            "timestamp": now(),
            "request_id": request_id,
        }
    )


def cancelled_body(invocation: InvocationRecord, *, request_id: str) -> str:
    """The answer to a request to cancel: the invocation as it stands now."""
    return dumps(
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
            "timestamp": now(),
            "request_id": request_id,
        }
    )


def architecture_body(agent: AgentManifest, *, request_id: str) -> str:
    """The agent's entrypoints, twice: older clients look for them at the top."""
    entrypoints = [
        {
            "tag": entrypoint.tag,
            "file": entrypoint.file,
            "module": entrypoint.module,
            "extractor": entrypoint.extractor,
            "description": entrypoint.description or None,
            "input_schema": entrypoint.input_schema,
            "streaming": entrypoint.streaming,
        }
        for entrypoint in agent.entrypoints.values()
    ]
    return dumps(
        {
            "success": True,
            "data": {"agent_id": agent.agent_id, "entrypoints": entrypoints},
            "message": "Agent architecture retrieved successfully",
            "error": None,
            "timestamp": now(),
            "request_id": request_id,
            "agent_id": agent.agent_id,
            "entrypoints": entrypoints,
        }
    )


def agent_body(agent: AgentManifest, *, grpc_port: int | None, instance_id: str) -> str:
    """What is served here, by which run of a server, and where gRPC is, on the host that the caller knows."""
    body: dict[str, Any] = {
        "message": f"RunAgent API - {agent.agent_name}",
        "agent_id": agent.agent_id,
        "agent_name": agent.agent_name,
        "description": agent.description,
        "version": agent.version,
        "framework": agent.framework,
        # What tells clients that a cut stream can be taken up here, and a call be repeated; published servers cannot.
        "resumable": True,
        "instance_id": instance_id,
        "entrypoints": [
            {"tag": entrypoint.tag, "streaming": entrypoint.streaming} for entrypoint in agent.entrypoints.values()
        ],
    }
    if grpc_port is not None:
        body["grpc"] = {"port": grpc_port, "tls": False}
    return dumps(body)


def openapi_body(agent: AgentManifest, *, routes: Iterable[DescribedRoute], asks_for_key: bool) -> str:
    return dumps(openapi_document(agent, routes, asks_for_key=asks_for_key))


def health_body(*, draining: bool, instance_id: str) -> str:
    # Published clients ask no more of it than whether the server lives, and it does.
    more = ',"draining":true' if draining else ""
    return f'{{"status":"healthy","timestamp":"{now()}","instance_id":{quoted(instance_id)}{more}}}'


def probe_body(status: str) -> str:
    return f'{{"status":{quoted(status)},"timestamp":"{now()}"}}'


def history_body(agent_id: str, entries: Sequence[InvocationRecord], *, total: int) -> str:
    texts = map(history_entry_body, entries)
    # A call that starts between the two questions is in the second answer alone.
    total = max(total, len(entries))
    return f'{{"agent_id":{quoted(agent_id)},"invocations":[{",".join(texts)}],"total_count":{total}}}'


def history_entry_body(entry: InvocationRecord) -> str:
    head = dumps(
        {
            "invocation_id": entry.invocation_id,
            "agent_id": entry.agent_id,
            "entrypoint_tag": entry.entrypoint_tag,
            "status": _HISTORY_STATUS.get(entry.state, "failed"),
            "state": entry.state.name,
            "error_detail": entry.cause or None,
            "request_timestamp": time_text(entry.start_time),
            "response_timestamp": time_text(entry.end_time) if entry.end_time else None,
            "execution_time_ms": None if entry.elapsed is None else round(entry.elapsed * 1000, 3),
            "chunk_count": entry.chunk_count,
            "sdk_type": entry.transport,
            "client_info": {"user_id": entry.user_id, "request_id": entry.request_id},
        }
    )
    given, came = ("null" if text is None else json_text(Json(text)) for text in (entry.input, entry.output))
    return f'{head[:-1]},"input_data":{given},"output_data":{came}}}'


def history_statistics_body(agent_id: str, statistics: InvocationStats) -> str:
    average = statistics.average_seconds
    completed = statistics.states.get(InvocationState.COMPLETED, 0)
    pending = sum(count for state, count in statistics.states.items() if not state.ended)
    stats = {
        "total_invocations": statistics.total,
        "completed_invocations": completed,
        # Cancelled, timed out and lost ones, too.
        "failed_invocations": statistics.total - completed - pending,
        "pending_invocations": pending,
        "success_rate": round(completed / statistics.total * 100, 2) if statistics.total else 0,
        "avg_execution_time_ms": None if average is None else round(average * 1000, 2),
        "agent_id": agent_id,
    }
    return dumps({"agent_id": agent_id, "stats": stats})


_HISTORY_STATUS = {
    InvocationState.QUEUED: "pending",
    InvocationState.RUNNING: "pending",
    InvocationState.COMPLETED: "completed",
}
