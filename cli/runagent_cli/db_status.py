"""`runagent db status`: the agents of this machine, whether each answers now, and how many calls it has had."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import click

from runagent_cli import output
from runagent_cli.db_view import agent_option, format_option, history, json_text, local_time, table
from runagent_cli.failures import CommandFailedError, failing_as
from runagent_cli.probe import answers

if TYPE_CHECKING:
    from runagent_grpc.local.registry import RegisteredAgent

__all__ = ["status"]

_AT_ONCE = 16
_ADDRESS_COLUMNS = len("255.255.255.255:65535")


@click.command(short_help="Show the agents, whether each answers, and counts.")
@agent_option
@format_option()
def status(agent_id: str, output_format: str) -> None:
    """Shows the agents that were served on this machine, whether each answers now, and how many calls it has had."""
    from runagent_grpc.local.registry import Registry

    with failing_as(), output.DataOutput() as data:
        agents = [agent for agent in Registry().agents() if agent_id in ("", agent.agent_id)]
        if agent_id and not agents:
            raise CommandFailedError(f"No agent {agent_id} has been served on this machine.")
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            told = list(threads.map(_told, agents))
        if output_format == "json":
            data.write_text(json_text(told))
        elif told:
            rows = [_row(agent) for agent in told]
            # Part of an address is of no use, unlike the beginning of an id.
            cut = (0,) if all(len(row[1]) <= _ADDRESS_COLUMNS for row in rows) else (0, 1)
            data.write_text(table(_HEAD, rows, elastic=cut))
        else:
            output.note("No agent has been served on this machine yet.")


_HEAD = ("AGENT", "ADDRESS", "ANSWERS", "CALLS", "FAILED", "RUNNING", "LAST CALL")


def _row(told: dict[str, Any]) -> tuple[str, ...]:
    counts = told["invocations"]
    return (
        told["agent_id"],
        f"{told['host']}:{told['port']}",
        "yes" if told["answers"] else "no",
        f"{counts['total']:,}",
        f"{counts['failed']:,}",
        f"{counts['running']:,}",
        # To the minute, which leaves the ids more room.
        (told["last_call"] or "").rpartition(":")[0],
    )


def _told(agent: RegisteredAgent) -> dict[str, Any]:
    from runagent_grpc.core.invocation import InvocationState

    stats = history().stats(agent_id=agent.agent_id)
    completed = stats.states.get(InvocationState.COMPLETED, 0)
    running = stats.states.get(InvocationState.RUNNING, 0)
    return {
        "agent_id": agent.agent_id,
        "agent_name": agent.agent_name,
        "agent_path": agent.agent_path,
        "framework": agent.framework,
        "host": agent.host,
        "port": agent.port,
        "status": agent.status,
        "answers": answers(agent),
        "invocations": {
            "total": stats.total,
            "completed": completed,
            "failed": stats.total - completed - running,
            "running": running,
        },
        "last_call": local_time(stats.last_start) if stats.last_start else None,
    }
