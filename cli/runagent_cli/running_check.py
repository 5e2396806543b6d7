"""Whether an agent is served on this machine already, for `runagent serve` to ask before it is in the way."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from runagent_cli.failures import CommandFailedError
from runagent_cli.probe import answers

if TYPE_CHECKING:
    from runagent_grpc.local.registry import Registry
    from runagent_grpc.worker import Agent

__all__ = ["check_not_served"]


def check_not_served(agent: Agent, registry: Registry) -> None:
    """Raises CommandFailedError where a server of the agent runs. One that was killed does not count."""
    from runagent_cli.banner import addresses
    from runagent_grpc.addresses import joined
    from runagent_grpc.errors import InternalError

    try:
        living = registry.living(agent.agent_id)
        row = registry.find(agent.agent_id)
    except InternalError:
        # Whoever cannot use the registry is told so when the server starts, and serves all the same.
        return
    if living:
        server = living[0]
        where = addresses(server.host, http_port=server.http_port, grpc_port=server.grpc_port)
        leased = server.agent(agent.agent_id)
        folder, stop = leased.agent_path if leased else "", f"Stop that one with Ctrl-C or `kill {server.pid}`"
        by = f", by process {server.pid}"
    elif row is not None and row.status not in ("stopped", "gone") and answers(row):
        # A published server, of which the registry knows no more.
        where, folder, stop, by = [joined(row.host, row.port)], row.agent_path, "Stop that one", ""
    else:
        return
    here = str(agent.folder or "")
    from_there = f" from another folder, {folder}," if folder and folder != here else ""
    own_id = ", or give one of the two an agent_id of its own" if from_there else ""
    raise CommandFailedError(
        f"Agent `{agent.agent_id}` is served already,{from_there} at {' and '.join(where)}{by}.",
        suggestion=f"{stop}{own_id}, or serve a second copy with `runagent serve {shlex.quote(here)} --another`.",
    )
