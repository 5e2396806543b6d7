"""Where an agent comes from: functions, which may travel to another process as code. No call ever does so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from runagent_grpc.worker import Agent, Extractor
from runagent_grpc.worker.extractor import JsonPath
from runagent_grpc.worker.threads import Threads

__all__ = ["AgentSource"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSource:
    """What a worker makes an agent of, in its own process."""

    functions: Mapping[str, Callable[..., Any]]
    agent_id: str = "test-agent"
    paths: Mapping[str, str] | None = None
    """The extractor of every entrypoint; None: there is none."""
    max_payload_bytes: int
    idle_seconds: float = 1.0
    """How long a thread is kept for the next call."""

    def agent(self) -> Agent:
        agent = Agent.from_functions(self.functions, agent_id=self.agent_id)
        if self.paths is None:
            return agent
        extractor = Extractor({name: JsonPath.of(path) for name, path in self.paths.items()})
        entrypoints = {tag: dataclasses.replace(each, extractor=extractor) for tag, each in agent.entrypoints.items()}
        return dataclasses.replace(agent, entrypoints=entrypoints)

    def threads(self) -> Threads:
        return Threads(idle_seconds=self.idle_seconds)
