"""`runagent cancel`: ends an invocation that runs, by its id."""

from __future__ import annotations

import click

from runagent_cli import output
from runagent_cli.failures import failing_as
from runagent_cli.target import Target, target_options, utf8_text

__all__ = ["cancel"]

_PATIENCE_SECONDS = 30.0


@click.command(short_help="Cancel an invocation.")
@click.argument("invocation_id", metavar="INVOCATION_ID", callback=utf8_text)
@target_options
def cancel(target: Target, invocation_id: str) -> None:
    """Cancels an invocation: one that was detached, or that another command waits for. One that has ended stays as it
    ended.

    Its code is stopped as it is when its caller leaves. The command does not wait for that.

    \b
    Examples:
      runagent cancel 1f0c9f52-7a2b-4d0e-9b1c-5e8a34d2c6f7 --id my-agent --local
      runagent cancel 1f0c9f52-7a2b-4d0e-9b1c-5e8a34d2c6f7 \\
        --host localhost --port 50051
    """
    if not target.agent_id and target.host is None and target.port is None:
        raise click.UsageError("Say which server: --id ID with --local, or --host HOST with --port PORT.")
    target.check_one_approach()
    with failing_as(), target.client(timeout=_PATIENCE_SECONDS) as client:
        client.cancel(invocation_id)
    output.note("Cancelled, unless it had ended before.")
