"""`runagent db cleanup` and `runagent db cleanup-logs`: forget what is old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from runagent_cli import output
from runagent_cli.failures import failing_as

__all__ = ["cleanup", "cleanup_logs"]

_days_option = click.option(
    "--days",
    type=click.IntRange(0, 36500),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Keep what is younger than this.",
)
_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command(short_help="Forget old invocations and their logs.")
@_days_option
@_yes_option
def cleanup(days: int, yes: bool) -> None:
    """Removes the invocations that started more than some days ago and have ended, with their logs."""
    from runagent_grpc.store import count_invocations_before, remove_invocations_before

    _clean_up("invocation", count_invocations_before, remove_invocations_before, days=days, yes=yes)


@click.command("cleanup-logs", short_help="Forget old logs.")
@_days_option
@_yes_option
def cleanup_logs(days: int, yes: bool) -> None:
    """Removes the lines that were printed or logged more than some days ago. Their invocations stay."""
    from runagent_grpc.store import count_lines_before, remove_lines_before

    _clean_up("line", count_lines_before, remove_lines_before, days=days, yes=yes)


def _clean_up(
    what: str,
    count_before: Callable[[Path, datetime], int],
    remove_before: Callable[[Path, datetime], int],
    *,
    days: int,
    yes: bool,
) -> None:
    from runagent_grpc.local.registry_file import registry_path

    path, before = registry_path(), datetime.now(UTC) - timedelta(days=days)
    with failing_as():
        count = count_before(path, before)
        if not count:
            output.note(f"No {what} is that old.")
            return
        older = f"{count:,} {what}{'' if count == 1 else 's'} of more than {days} days ago"
        if not yes:
            click.confirm(f"Remove {older}?", abort=True, err=True)
        removed = remove_before(path, before)
    output.note(f"Removed {removed:,} {what}{'' if removed == 1 else 's'}.")
