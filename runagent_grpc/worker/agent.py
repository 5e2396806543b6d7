"""An agent: entrypoints that are served under one id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from runagent_grpc.core.manifest import AgentManifest
from runagent_grpc.worker.entrypoint import Entrypoint
from runagent_grpc.worker.problems import InvalidAgentError, Problem, ProblemKind
from runagent_grpc.worker.wording import describe

__all__ = ["Agent"]


def _nothing() -> None:
    """There is nothing to take away."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Agent:
    """Entrypoints and what the configuration says of them. As a context manager it unloads itself at the end."""

    agent_id: str
    agent_name: str
    description: str = ""
    version: str = ""
    framework: str = "custom"
    auth_type: str = "none"
    """"none" or "api_key"."""
    folder: Path | None = None
    """Where it was loaded from, if it was."""
    entrypoints: Mapping[str, Entrypoint]
    """By tag, in the order of the configuration."""
    _unload: Callable[[], None] = field(default=_nothing, repr=False)

    @property
    def manifest(self) -> AgentManifest:
        """What everybody but the worker knows of the agent."""
        return AgentManifest(
            agent_id=self.agent_id,
            agent_name=self.agent_name,
            description=self.description,
            version=self.version,
            framework=self.framework,
            auth_type=self.auth_type,
            folder=str(self.folder or ""),
            entrypoints={tag: entrypoint.manifest for tag, entrypoint in self.entrypoints.items()},
        )

    @classmethod
    def from_functions(
        cls,
        functions: Mapping[str, Callable[..., Any]],
        *,
        agent_id: str = "test-agent",
        agent_name: str = "",
        description: str = "",
        version: str = "",
        framework: str = "custom",
        auth_type: str = "none",
    ) -> Agent:
        """Makes an agent of functions by tag, without a folder or a configuration."""
        if not functions:
            text = "An agent needs at least one entrypoint."
            raise InvalidAgentError([Problem(kind=ProblemKind.ENTRYPOINT, text=text)])
        problems = [
            Problem(
                kind=ProblemKind.ENTRYPOINT,
                text=f"The entrypoint `{tag}` is {describe(function)}. Give it something that can be called.",
            )
            for tag, function in functions.items()
            if not callable(function)
        ]
        if problems:
            raise InvalidAgentError(problems)
        return cls(
            agent_id=agent_id,
            agent_name=agent_name or agent_id,
            description=description,
            version=version,
            framework=framework,
            auth_type=auth_type,
            entrypoints=MappingProxyType({tag: Entrypoint.of(tag, function) for tag, function in functions.items()}),
        )

    def unload(self) -> None:
        """Takes the agent's modules, its entry in `sys.path` and its environment out of the process again.

        Its functions remain callable, as far as they import nothing more.
        """
        self._unload()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.unload()
