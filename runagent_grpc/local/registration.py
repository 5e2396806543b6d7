"""A server's entry in the local directory, from when it serves until it stops: its lease, and the row of its agent.

Our clients read leases, one a server. Published clients read the row, one an agent: the first server of the agent has
it, and when that one leaves, it goes to another that lives.
"""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from datetime import UTC, datetime

from runagent_grpc.addresses import connectable
from runagent_grpc.local import Lease, LeasedAgent, LeaseState, probe_all
from runagent_grpc.local.registry import RegisteredAgent, Registry

__all__ = ["Registration"]

_CLEANING_SECONDS = 1.0


class Registration:
    """One server's entry. Its methods raise InternalError where its files cannot be used."""

    def __init__(
        self,
        registry: Registry,
        agent: RegisteredAgent,
        *,
        instance_id: str,
        http_port: int | None,
        grpc_port: int | None,
    ) -> None:
        self._registry = registry
        self._agent = replace(agent, host=connectable(agent.host))
        self._has_lease = False
        self.lease = Lease(
            instance_id=instance_id,
            pid=os.getpid(),
            hostname=socket.gethostname(),
            started_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            host=self._agent.host.strip("[]"),
            http_port=http_port,
            grpc_port=grpc_port,
            agents=(
                LeasedAgent(
                    agent_id=agent.agent_id,
                    agent_name=agent.agent_name or "",
                    agent_path=agent.agent_path,
                    framework=agent.framework,
                    version=agent.version or "",
                ),
            ),
        )

    def write_lease(self) -> None:
        """Lets our clients find the server, which must answer already."""
        self._registry.leases.write(self.lease)
        self._has_lease = True

    def write_row(self) -> None:
        """Lets published clients find the server, unless the row leads to another one of the agent that lives."""
        row = self._registry.written(self._agent.agent_id)
        if row is None or not any(_leads_to(row, other) for other in self._others()):
            self._registry.register(self._agent)

    def clean(self) -> None:
        """Removes the leases of servers that ended without doing so, and marks their rows as stopped.

        Leases of another host name stay: their servers may live in another container, or on another machine that has
        the same home folder, where nobody can be reached from here.
        """
        folder = self._registry.leases
        here = [lease for lease in folder.read().leases if lease.hostname == self.lease.hostname]
        for lease, state in probe_all([lease for lease in here if not self._is_own(lease)], _CLEANING_SECONDS):
            if state is LeaseState.ENDED:
                folder.remove(lease.instance_id)
                for agent in lease.agents:
                    if not (agent.agent_id == self._agent.agent_id and _leads_to(self._agent, lease)):
                        self._registry.mark_stopped(agent.agent_id, lease.host, lease.port)

    def remove_lease(self) -> None:
        """Ends what `write_lease` began."""
        if self._has_lease:
            self._registry.leases.remove(self.lease.instance_id)

    def leave_row(self) -> None:
        """Hands the row on to another server of the agent that lives, or marks it as stopped."""
        agent = self._agent
        others = self._others()
        row = self._registry.written(agent.agent_id)
        if others and row is not None and _leads_to(row, self.lease):
            other = others[0]
            leased = other.agent(agent.agent_id)
            path = leased.agent_path if leased else row.agent_path
            self._registry.register(replace(row, agent_path=path, host=other.host, port=other.port))
        else:
            self._registry.mark_stopped(agent.agent_id, agent.host, agent.port)

    def _others(self) -> list[Lease]:
        return [lease for lease in self._registry.living(self._agent.agent_id) if not self._is_own(lease)]

    def _is_own(self, lease: Lease) -> bool:
        return lease.instance_id == self.lease.instance_id


def _leads_to(row: RegisteredAgent, server: Lease) -> bool:
    return (row.host.strip("[]"), row.port) == (server.host, server.port)
