"""What a server says about its agents, and about what has run on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import history_service_pb2, invocation_pb2
from runagent_grpc.contract.messages import moment_from, value_from
from runagent_grpc.errors import InternalError, Reason, RunAgentError, error_of

__all__ = [
    "STREAM_SUFFIX",
    "AgentDescription",
    "EntrypointDescription",
    "InvocationDescription",
    "LogLine",
    "agent_from",
    "invocation_from",
    "log_line_from",
]

STREAM_SUFFIX = "_stream"
"""The end of every streaming entrypoint's tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrypointDescription:
    """A function that can be called by its tag."""

    tag: str
    streaming: bool
    description: str
    input_schema: Mapping[str, Any]
    """The JSON Schema of the keyword arguments. Empty where the agent was listed, not asked for by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDescription:
    """An agent that a server serves."""

    agent_id: str
    agent_name: str
    description: str
    version: str
    framework: str
    entrypoints: tuple[EntrypointDescription, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationDescription:
    """One run of an entrypoint, as the server has it on record."""

    invocation_id: str
    agent_id: str
    entrypoint_tag: str
    state: str
    """QUEUED, RUNNING, COMPLETED, FAILED, CANCELLED, TIMED_OUT or LOST."""
    cause: str
    """Why it ended as it did. Empty while it runs and when it completed."""
    start_time: datetime | None
    end_time: datetime | None
    """None while it runs."""
    chunk_count: int
    result: Any
    """What it returned. None for a stream, in a list, and where the server does not keep it."""
    error: RunAgentError | None
    """What its caller got. None unless it ended without completing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line that an entrypoint printed or logged."""

    invocation_id: str
    agent_id: str
    time: datetime
    level: str
    """The logging level's name; INFO for what was printed."""
    text: str


def agent_from(message: pb.Agent) -> AgentDescription:
    """Reads the message of an agent."""
    return AgentDescription(
        agent_id=message.agent_id,
        agent_name=message.agent_name,
        description=message.description,
        version=message.version,
        framework=message.framework,
        entrypoints=tuple(
            EntrypointDescription(
                tag=entrypoint.tag,
                streaming=entrypoint.streaming,
                description=entrypoint.description,
                input_schema=_schema_from(entrypoint.input_schema),
            )
            for entrypoint in message.entrypoints
        ),
    )


def invocation_from(message: invocation_pb2.Invocation) -> InvocationDescription:
    """Reads the message of an invocation."""
    error = None
    if message.HasField("failure"):
        known = message.failure.reason in Reason.__members__
        reason = Reason(message.failure.reason) if known else Reason.INTERNAL_ERROR
        error = error_of(reason, message.failure.message, invocation_id=message.invocation_id)
    return InvocationDescription(
        invocation_id=message.invocation_id,
        agent_id=message.agent_id,
        entrypoint_tag=message.entrypoint_tag,
        state=_state_of(message.state),
        cause=message.cause,
        start_time=moment_from(message.start_time) if message.HasField("start_time") else None,
        end_time=moment_from(message.end_time) if message.HasField("end_time") else None,
        chunk_count=message.chunk_count,
        result=value_from(message.result),
        error=error,
    )


def log_line_from(message: history_service_pb2.LogLine) -> LogLine:
    """Reads the message of a line."""
    return LogLine(
        invocation_id=message.invocation_id,
        agent_id=message.agent_id,
        time=moment_from(message.time),
        level=message.level,
        text=message.text,
    )


def _state_of(number: int) -> str:
    """Returns a state's name. An open enum: one of a later contract has none here."""
    descriptor = invocation_pb2.InvocationState.DESCRIPTOR.values_by_number.get(number)
    return descriptor.name.removeprefix("INVOCATION_STATE_") if descriptor else str(number)


def _schema_from(text: str) -> Mapping[str, Any]:
    try:
        schema = json.loads(text or "{}")
    except (ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        raise InternalError("The server describes an entrypoint's input by what is no JSON Schema.")
    return schema
