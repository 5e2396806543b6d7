"""`runagent db`: what has run on this machine, and what it said. Reads the file itself, so no server has to run."""

from __future__ import annotations

import click

from runagent_cli.db_cleanup import cleanup, cleanup_logs
from runagent_cli.db_invocations import invocation, invocations
from runagent_cli.db_logs import logs
from runagent_cli.db_status import status

__all__ = ["db"]


@click.group(short_help="Look at agents, invocations and logs of this machine.")
def db() -> None:
    """Shows what is served on this machine, what has run, and what it said.

    \b
    Examples:
      runagent db status
      runagent db invocations --status failed --limit 5
      runagent db invocation 1f0c
      runagent db logs --follow
    """


for _command in (status, invocations, invocation, logs, cleanup, cleanup_logs):
    db.add_command(_command)
