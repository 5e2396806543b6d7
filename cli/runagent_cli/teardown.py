"""`runagent teardown`: removes what this tool keeps on this machine."""

from __future__ import annotations

import contextlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from runagent_cli import output
from runagent_cli.failures import CommandFailedError, failing_as
from runagent_cli.probe import answers

__all__ = ["teardown"]

_AT_ONCE = 16
_BESIDE_DATABASE = ("", "-wal", "-shm", "-journal")


@click.command(short_help="Remove what this tool keeps on this machine.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Do it even while servers run; they then keep no history.")
def teardown(yes: bool, force: bool) -> None:
    """Removes the registry of local agents, the history with its logs, and the settings, for good.

    Agents' own folders stay.
    """
    from runagent_grpc.local.registry_file import registry_path

    with failing_as():
        registry = registry_path()
        present = _present(registry)
        if not present:
            output.note(f"There is nothing to remove in {registry.parent}.")
            return
        if not force and (running := _running()):
            raise CommandFailedError(
                f"{'These agents are' if len(running) > 1 else 'An agent is'} being served: {', '.join(running)}.",
                suggestion="Stop what serves them first, or say --force.",
            )
    output.note("\n".join(["This removes", *(f"  {path} ({what})" for path, what in present)]))
    if not yes:
        click.confirm("Remove it for good?", abort=True, err=True)
    for path, what in present:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise CommandFailedError(f"{path} ({what}) cannot be removed: {error.strerror}.") from error
    # Where it holds something of another's, it stays.
    with contextlib.suppress(OSError):
        registry.parent.rmdir()
    output.note("Removed.")


def _present(registry: Path) -> list[tuple[Path, str]]:
    """Returns what is there of ours, and what each is."""
    from runagent_grpc.local.user_settings import settings_files

    ours = [
        *((registry.with_name(f"{registry.name}{end}"), "registry and history") for end in _BESIDE_DATABASE),
        (registry.with_name("servers"), "which servers run"),
    ]
    return [
        *(file for file in ours if file[0].exists()),
        *((path, "settings") for path in settings_files(registry)),
    ]


def _running() -> list[str]:
    """Returns the agents that are served, by ours or by published servers."""
    from runagent_grpc.errors import InternalError
    from runagent_grpc.local.registry import Registry

    registry = Registry()
    living = {agent.agent_id for lease in registry.living() for agent in lease.agents}
    try:
        agents = [agent for agent in registry.agents() if agent.status not in ("stopped", "gone")]
    except InternalError:
        # One that cannot be read is as good a reason to remove it as any.
        agents = []
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        asked = threads.map(answers, agents)
        return sorted(living | {agent.agent_id for agent, yes in zip(agents, asked, strict=True) if yes})
