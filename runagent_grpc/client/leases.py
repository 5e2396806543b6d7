"""Chooses among the servers of an agent on this machine: the newest that lives, as asking it by its lease shows.

Nothing is sent to a server, the key least of all, before it has named the instance that its lease names.
"""

from __future__ import annotations

from runagent_grpc.client.address import Address, LocalServers, TransportName
from runagent_grpc.errors import InvalidRequestError, RunAgentError, UnavailableError
from runagent_grpc.local import Lease, LeaseState, probe

__all__ = ["living_server"]

_PROBE_SECONDS = 3.0


def living_server(servers: LocalServers, transport: TransportName, *, timeout: float | None = None) -> Address:
    """Returns the address of the newest server that lives, and what to speak there; else that of a published server.

    Raises UnavailableError where none lives, and InvalidRequestError where the newest that does lacks the transport.
    """
    states: list[LeaseState] = []
    for lease in servers.leases:
        state = probe(lease, min(_PROBE_SECONDS, timeout or _PROBE_SECONDS))
        if state is LeaseState.LIVES:
            return _address_of(lease, transport)
        states.append(state)
    if servers.published is not None:
        return servers.published
    # A server that hangs may be helped; it goes before those that ended.
    silent = LeaseState.SILENT in states
    lease = servers.leases[states.index(LeaseState.SILENT) if silent else 0]
    raise _unavailable(servers.agent_id, lease, silent=silent)


def _address_of(lease: Lease, transport: TransportName) -> Address:
    port = {"auto": lease.grpc_port or lease.http_port, "grpc": lease.grpc_port, "http": lease.http_port}[transport]
    if port is None:
        raise InvalidRequestError.of_field(
            "transport", f"The server, process {lease.pid}, does not speak {transport!r}; leave the transport out."
        )
    speaks: TransportName = "grpc" if port == lease.grpc_port else "http"
    return Address(host=lease.host, port=port, tls=lease.tls, transport=speaks, resumable=True)


def _unavailable(agent_id: str, lease: Lease, *, silent: bool) -> RunAgentError:
    agent = lease.agent(agent_id)
    where = f" {agent.agent_path}" if agent is not None and agent.agent_path else ""
    if silent:
        return UnavailableError(
            f"The server of agent `{agent_id}` (process {lease.pid}) does not answer.",
            suggestion=f"Wait until it does, or stop it and start it again with `runagent serve{where}`.",
        )
    return UnavailableError(
        f"The server of agent `{agent_id}` (process {lease.pid}) has ended without an orderly stop.",
        suggestion=f"Start it again with `runagent serve{where}`.",
    )
