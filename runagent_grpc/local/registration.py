"""A server's entry in the address book, from when it serves until it stops.

An agent has one row, and may have several servers. The first of them has the row; when that one leaves, it goes to
another that lives.
"""

from __future__ import annotations

import os
from dataclasses import replace

from runagent_grpc.addresses import connectable
from runagent_grpc.errors import InternalError
from runagent_grpc.local.presence import Presence, ServerRecord, forget_dead_servers, servers_beside
from runagent_grpc.local.registry import RegisteredAgent, Registry

__all__ = ["Registration"]


class Registration:
    """One server's entry. Its methods raise InternalError where the address book cannot be used."""

    def __init__(
        self, registry: Registry, agent: RegisteredAgent, *, http_port: int | None, grpc_port: int | None
    ) -> None:
        self._registry = registry
        self._agent = replace(agent, host=connectable(agent.host))
        self._record = ServerRecord(
            agent_id=agent.agent_id,
            agent_path=agent.agent_path,
            host=self._agent.host,
            http_port=http_port,
            grpc_port=grpc_port,
            pid=os.getpid(),
        )
        self._presence: Presence | None = None

    def enter(self) -> None:
        """Writes the server down. Takes the agent's row, unless it leads to another server that lives."""
        others, _ = servers_beside(self._registry.path, self._agent.agent_id)
        try:
            self._presence = Presence(self._registry.path, self._record)
        except OSError as error:
            raise InternalError(
                "The registry of local agents, in RUNAGENT_CACHE_DIR (by default ~/.runagent), cannot be written to.",
                suggestion="Make sure that it is a folder that this user can write to.",
                details=f"{type(error).__name__}: {error}",
            ) from None
        row = self._registry.written(self._agent.agent_id)
        if row is None or not any(_leads_to(row, other) for other in others):
            self._registry.register(self._agent)
        forget_dead_servers(self._registry.path, self._agent.agent_id)

    def leave(self) -> None:
        """Writes down that the server has stopped, and hands its row on to another that lives."""
        if self._presence is not None:
            self._presence.close()
        agent = self._agent
        others, _ = servers_beside(self._registry.path, agent.agent_id)
        row = self._registry.written(agent.agent_id)
        if others and row is not None and _leads_to(row, self._record):
            other = others[0]
            self._registry.register(replace(row, agent_path=other.agent_path, host=other.host, port=other.port))
        else:
            self._registry.mark_stopped(agent.agent_id, agent.host, agent.port)


def _leads_to(row: RegisteredAgent, server: ServerRecord) -> bool:
    return (row.host, row.port) == (server.host, server.port)
