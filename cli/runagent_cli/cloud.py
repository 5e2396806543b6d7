"""What the published command does with its makers' cloud, and this one does not: each says what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import click

from runagent_cli.failures import CommandFailedError

__all__ = ["CLOUD_COMMANDS", "cloud_command"]

_SERVE_IT = (
    "Serve the agent on the machine that it shall run on, with `runagent serve PATH`. For callers on other machines "
    "add `--host 0.0.0.0` and keys, `--api-key-file FILE`; they call it with --host and --port, or RUNAGENT_BASE_URL."
)
_NAME_IT = (
    "Name the server to call by default with `runagent config set-base-url URL`, and the key that it asks for "
    "with `runagent config set-api-key`."
)


class _Row(NamedTuple):
    does: str
    """What the published command does."""
    lacks: str
    """What this one would need for that."""
    instead: str = _SERVE_IT


CLOUD_COMMANDS: Mapping[str, _Row] = MappingProxyType(
    {
        "setup": _Row("signs in to a cloud", "has no account to sign in to", _NAME_IT),
        "upload": _Row("uploads an agent to a cloud", "has nowhere to upload to"),
        "deploy": _Row("uploads an agent to a cloud and starts it", "has nowhere to deploy to"),
        "start": _Row("starts an agent in a cloud", "has nothing to start"),
    }
)
"""The commands by name, as they are listed."""


def cloud_command(name: str) -> click.Command:
    """Returns a command of the table, which takes any arguments, and fails."""
    row = CLOUD_COMMANDS[name]

    def refuse() -> None:
        text = f"`runagent {name}` {row.lacks}: agents are served by you, not in a cloud."
        raise CommandFailedError(text, suggestion=row.instead)

    return click.Command(
        name,
        callback=refuse,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED, expose_value=False)],
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        help=f"Not here: the published command {row.does}; with this one you serve agents yourself.\n\n{row.instead}",
        short_help="Not here: you serve agents yourself, with serve.",
    )
