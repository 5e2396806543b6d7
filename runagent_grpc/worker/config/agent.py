"""The values of a configuration: its fields, with the names and the places that they have in the file.

What a file holds, and what is wrong with it, is `validation.py`'s; the entrypoints are `entrypoint.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from runagent_grpc.worker.config.entrypoint import EntrypointConfig
from runagent_grpc.worker.config.source_values import as_text, as_word

__all__ = ["FRAMEWORKS", "AgentArchitecture", "AgentConfig", "AuthSettings", "TemplateSource"]

Framework = Literal[
    "default",
    "ag2",
    "agno",
    "autogen",
    "crewai",
    "langchain",
    "langgraph",
    "letta",
    "llamaindex",
    "openai",
    "n8n",
    "parlant",
    "custom",
]
FRAMEWORKS: tuple[str, ...] = get_args(Framework)

_Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentArchitecture:
    entrypoints: Annotated[tuple[EntrypointConfig, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    type: Annotated[Literal["none", "api_key"], BeforeValidator(as_word)] = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSource:
    """Where the agent's template came from. Read, and shown to nobody yet."""

    repo_url: str | None = None
    author: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """The configuration of one agent. Its fields have the names and the places that they have in the file."""

    agent_id: _Text
    """As in the file, or made of the folder's path where the file has none."""
    agent_name: _Text
    framework: Annotated[Framework, BeforeValidator(as_word)]
    agent_architecture: AgentArchitecture
    description: str = ""
    template: str = ""
    version: str = ""
    created_at: str = ""
    template_source: TemplateSource = TemplateSource()
    env_vars: dict[str, Annotated[str, BeforeValidator(as_text)]] = field(default_factory=dict)
    """As written: `${VAR}` is not expanded yet."""
    auth_settings: AuthSettings = AuthSettings()
    persistent_folders: tuple[str, ...] = ()

    @property
    def entrypoints(self) -> tuple[EntrypointConfig, ...]:
        return self.agent_architecture.entrypoints
