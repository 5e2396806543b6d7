"""`runagent db logs`: what entrypoints printed and logged."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from runagent_cli import output
from runagent_cli.db_view import agent_option, format_option, history, json_text, limit_option, local_time
from runagent_cli.failures import failing_as
from runagent_cli.target import utf8_text

if TYPE_CHECKING:
    from runagent_grpc.core.history import RecordedLine

__all__ = ["logs"]

_POLL_SECONDS = 0.25
_SHORT_ID = 8


@click.command(short_help="Show what entrypoints printed and logged.")
@agent_option
@click.option("--invocation", "invocation_id", metavar="ID", default="", callback=utf8_text, help="Only this one's.")
@limit_option(50)
@click.option("--follow", is_flag=True, help="Go on with the lines that are yet to come, until Ctrl-C.")
@format_option("text")
def logs(agent_id: str, invocation_id: str, limit: int, follow: bool, output_format: str) -> None:
    """Shows the last lines that entrypoints printed and logged, the oldest of them first.

    As JSON they are one array; with --follow, one object a line.
    """
    from runagent_cli.db_invocations import only

    kept = history()
    with failing_as(), output.DataOutput() as data:
        if invocation_id:
            invocation_id = only(kept, invocation_id).invocation_id
        page = kept.latest_logs(agent_id=agent_id, invocation_id=invocation_id, limit=limit)
        if output_format == "json" and not follow:
            data.write_text(json_text([_json(line) for line in page.lines]))
            return
        write = _write_json if output_format == "json" else _write_text
        for line in page.lines:
            write(data, line)
        if not page.lines and not follow:
            output.note("No line is recorded.")
        token = page.next_token
        while follow:
            page = kept.logs(agent_id=agent_id, invocation_id=invocation_id, limit=1000, token=token)
            for line in page.lines:
                write(data, line)
            token = page.next_token
            if not page.lines:
                time.sleep(_POLL_SECONDS)


def _write_text(data: output.DataOutput, line: RecordedLine) -> None:
    # A terminal obeys what it is sent; a file takes it as it is.
    text = output.printable(line.text) if sys.stdout.isatty() else line.text
    data.write_text(f"{local_time(line.time)} {line.invocation_id[:_SHORT_ID]} {line.level} {text}\n")


def _write_json(data: output.DataOutput, line: RecordedLine) -> None:
    data.write_text(json.dumps(_json(line)) + "\n")


def _json(line: RecordedLine) -> dict[str, Any]:
    return {
        "invocation_id": line.invocation_id,
        "agent_id": line.agent_id,
        "time": line.time.isoformat(),
        "level": line.level,
        "text": line.text,
    }
