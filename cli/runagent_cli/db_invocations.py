"""`runagent db invocations` and `runagent db invocation`: what has run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from runagent_cli import output
from runagent_cli.db_view import (
    agent_option,
    format_option,
    history,
    invocation_json,
    json_text,
    limit_option,
    local_time,
    seconds,
    table,
)
from runagent_cli.failures import CommandFailedError, failing_as
from runagent_cli.target import utf8_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runagent_grpc.core.invocation import InvocationRecord, InvocationState
    from runagent_grpc.store import History

__all__ = ["invocation", "invocations", "only"]

# The first three are the documented words, which stand for several states each.
_STATUSES = {
    "pending": ("QUEUED", "RUNNING"),
    "completed": ("COMPLETED",),
    "failed": ("FAILED", "CANCELLED", "TIMED_OUT", "LOST"),
    "running": ("RUNNING",),
    "cancelled": ("CANCELLED",),
    "timed_out": ("TIMED_OUT",),
    "lost": ("LOST",),
}
_SHORT_ID = 8
_MOST_NAMED = 5


@click.command(short_help="List what has run, the newest first.")
@agent_option
@click.option(
    "--status",
    type=click.Choice([*_STATUSES]),
    help="Only those. `failed` are all that ended without completing.",
)
@limit_option(20)
@format_option()
def invocations(agent_id: str, status: str | None, limit: int, output_format: str) -> None:
    """Lists the invocations of this machine's agents, the newest first."""
    from runagent_grpc.core.invocation import InvocationState

    states: list[InvocationState] = [InvocationState[name] for name in _STATUSES.get(status or "", ())]
    with failing_as(), output.DataOutput() as data:
        found = history().page(agent_id=agent_id, states=states, limit=limit).invocations
        if output_format == "json":
            data.write_text(json_text([invocation_json(recorded) for recorded in found]))
        elif found:
            head = ("ID", "AGENT", "ENTRYPOINT", "STATE", "STARTED", "TOOK", "CHUNKS")
            data.write_text(table(head, map(_row, found), elastic=(1, 2)))
        else:
            output.note("No such invocation is recorded.")


@click.command(short_help="Show one invocation, with its input and output.")
@click.argument("invocation_id", metavar="ID", callback=utf8_text)
@format_option("text")
def invocation(invocation_id: str, output_format: str) -> None:
    """Shows the invocation whose id begins with ID, with its input, its output, and why it failed."""
    with failing_as(), output.DataOutput() as data:
        recorded = only(history(), invocation_id)
        if output_format == "json":
            told = invocation_json(recorded)
            told["message"] = recorded.message
            told["input"] = None if recorded.input is None else json.loads(recorded.input)
            told["output"] = None if recorded.output is None else json.loads(recorded.output)
            data.write_text(json_text(told))
        else:
            data.write_text(output.printable("".join(f"{line}\n" for line in _lines(recorded))))


def only(kept: History, prefix: str) -> InvocationRecord:
    """Returns the invocation whose id begins with `prefix`. Raises CommandFailedError unless there is just one."""
    ids = kept.ids_starting_with(prefix, limit=_MOST_NAMED + 1)
    if prefix in ids or len(ids) == 1:
        return kept.get(prefix if prefix in ids else ids[0])
    if not ids:
        raise CommandFailedError(f"No invocation is recorded whose id begins with {prefix}.")
    named = "\n".join(ids[:_MOST_NAMED])
    raise CommandFailedError(
        f"The ids of several invocations begin with {prefix}:\n{named}" + ("\n..." if len(ids) > _MOST_NAMED else ""),
        suggestion="Give more of it.",
    )


def _row(recorded: InvocationRecord) -> tuple[str, ...]:
    return (
        recorded.invocation_id[:_SHORT_ID],
        recorded.agent_id,
        recorded.entrypoint_tag,
        recorded.state.name,
        local_time(recorded.start_time),
        seconds(recorded.elapsed),
        f"{recorded.chunk_count:,}" if recorded.chunk_count else "",
    )


def _lines(recorded: InvocationRecord) -> Iterator[str]:
    facts = {
        "id": recorded.invocation_id,
        "agent": recorded.agent_id,
        "entrypoint": recorded.entrypoint_tag,
        "state": recorded.state.name,
        "reason": recorded.reason,
        "cause": recorded.message or recorded.cause,
        "started": local_time(recorded.start_time),
        "took": seconds(recorded.elapsed),
        "over": recorded.transport,
        "user": recorded.user_id,
        "request": recorded.request_id,
        "chunks": f"{recorded.chunk_count:,}" if recorded.chunk_count else "",
    }
    yield from (f"{name:<12}{fact}" for name, fact in facts.items() if fact)
    for name, text in (("input", recorded.input), ("output", recorded.output)):
        if text is not None:
            yield f"{name}:"
            yield json.dumps(json.loads(text), indent=2, ensure_ascii=False)
