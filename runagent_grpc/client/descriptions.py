"""What a server says about its agents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.errors import InternalError

__all__ = ["AgentDescription", "EntrypointDescription", "agent_from"]


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


def _schema_from(text: str) -> Mapping[str, Any]:
    try:
        schema = json.loads(text or "{}")
    except (ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        raise InternalError("The server describes an entrypoint's input by what is no JSON Schema.")
    return schema
