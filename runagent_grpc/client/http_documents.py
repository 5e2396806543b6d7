"""What a server's JSON documents describe: its agent, and what has run (docs/wire.md, history)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from runagent_grpc.client.descriptions import (
    STREAM_SUFFIX,
    AgentDescription,
    EntrypointDescription,
    InvocationDescription,
)
from runagent_grpc.client.http_wire import text_in
from runagent_grpc.errors import Reason, RunAgentError, error_of

__all__ = ["agent_from_documents", "agent_id_in", "invocation_from_document", "listed"]


def agent_id_in(home: Mapping[str, Any]) -> str:
    """Returns the id of the agent that a server's description of itself names, or the alias that stands for it."""
    for document in (home, home.get("config")):
        if isinstance(document, dict) and (agent_id := text_in(document, "agent_id")):
            return agent_id
    return "default"


def agent_from_documents(home: Mapping[str, Any], architecture: Mapping[str, Any]) -> AgentDescription:
    """Reads what a server says of itself, and of its agent's entrypoints. Published servers tell no schemas."""
    # Published servers hand out their configuration.
    config = home.get("config")
    facts = config if isinstance(config, dict) else home
    data = architecture.get("data")
    data = data if isinstance(data, dict) else architecture
    entrypoints = data.get("entrypoints")
    return AgentDescription(
        agent_id=text_in(data, "agent_id") or agent_id_in(home),
        agent_name=text_in(facts, "agent_name"),
        description=text_in(facts, "description"),
        version=text_in(facts, "version"),
        framework=text_in(facts, "framework"),
        entrypoints=tuple(_entrypoints(entrypoints if isinstance(entrypoints, list) else ())),
    )


def listed(agent: AgentDescription) -> AgentDescription:
    """Returns the description as a list of agents has it: without the schemas."""
    return replace(agent, entrypoints=tuple(replace(entrypoint, input_schema={}) for entrypoint in agent.entrypoints))


def invocation_from_document(document: Mapping[str, Any]) -> InvocationDescription:
    """Reads an entry of the history. Published servers tell three states."""
    state = text_in(document, "state") or _STATES.get(text_in(document, "status"), "")
    tag, count = text_in(document, "entrypoint_tag"), document.get("chunk_count")
    return InvocationDescription(
        invocation_id=text_in(document, "invocation_id"),
        agent_id=text_in(document, "agent_id"),
        entrypoint_tag=tag,
        state=state,
        cause=text_in(document, "error_detail"),
        start_time=_moment_in(document, "request_timestamp"),
        end_time=_moment_in(document, "response_timestamp"),
        chunk_count=count if isinstance(count, int) else 0,
        result=None if tag.endswith(STREAM_SUFFIX) else _whole(document.get("output_data")),
        error=_error_in(document, state),
    )


_STATES = {"pending": "RUNNING", "completed": "COMPLETED", "failed": "FAILED"}

_REASONS = {
    "FAILED": Reason.EXECUTION_FAILED,
    "CANCELLED": Reason.CANCELLED,
    "TIMED_OUT": Reason.TIMEOUT,
    "LOST": Reason.INVOCATION_LOST,
}
"""Why an invocation of a state did not complete: history over HTTP names no reason."""


def _error_in(document: Mapping[str, Any], state: str) -> RunAgentError | None:
    reason = _REASONS.get(state)
    if reason is None:
        return None
    return error_of(reason, text_in(document, "error_detail"), invocation_id=text_in(document, "invocation_id"))


def _whole(output: Any) -> Any:
    """Returns a result, unless only its beginning was kept."""
    return None if isinstance(output, dict) and output.keys() == {"excerpt", "size"} else output


def _moment_in(document: Mapping[str, Any], name: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text_in(document, name))
    except ValueError:
        return None


def _entrypoints(documents: Iterable[Any]) -> Iterable[EntrypointDescription]:
    for document in documents:
        if isinstance(document, dict) and (tag := text_in(document, "tag")):
            schema = document.get("input_schema")
            yield EntrypointDescription(
                tag=tag,
                streaming=tag.endswith(STREAM_SUFFIX),
                description=text_in(document, "description"),
                input_schema=schema if isinstance(schema, dict) else {},
            )
