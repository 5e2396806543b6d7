"""The `runagent` command: which commands there are, imported when they are asked for, and how each of them ends."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click

from runagent_cli import failures
from runagent_cli.cloud import CLOUD_COMMANDS, cloud_command
from runagent_grpc.version import __version__

__all__ = ["cli", "run_command_line"]

_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "init": "runagent_cli.init:init",
        "check": "runagent_cli.check:check",
        "serve": "runagent_cli.serve:serve",
        "describe": "runagent_cli.describe:describe",
        "run": "runagent_cli.run:run",
        "run-stream": "runagent_cli.run_stream:run_stream",
        "cancel": "runagent_cli.cancel:cancel",
        "db": "runagent_cli.db:db",
        "config": "runagent_cli.config:config",
        "whoami": "runagent_cli.whoami:whoami",
        "teardown": "runagent_cli.teardown:teardown",
    }
)


class _Commands(click.Group):
    """Imports a command when it is asked for, and turns whatever it raises into a text and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS, *CLOUD_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in CLOUD_COMMANDS:
            return cloud_command(cmd_name)
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)  # noqa: S101 - for the type checker
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - a person at a terminal gets one clear text, whatever it is
            ctx.exit(failures.report(error, debug=ctx.params["debug"]))


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--debug", is_flag=True, help="Show the traceback of a failure.")
@click.version_option(__version__, prog_name="runagent", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context, debug: bool) -> None:
    """Serves Python functions as agents, and calls and streams from them."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def run_command_line() -> int:
    """Runs the command that the process was started for, and returns its exit code."""
    try:
        ended = cli.main(prog_name="runagent", standalone_mode=False)
    except (click.ClickException, click.Abort) as error:
        return failures.report(error)
    return ended if isinstance(ended, int) else 0
