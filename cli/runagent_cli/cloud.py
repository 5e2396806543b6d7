"""What the published command does with its makers' cloud, and this one does not: each says what to do instead."""

from __future__ import annotations

import click

from runagent_cli.failures import CommandFailedError

__all__ = ["deploy", "setup", "start", "upload"]

_ELSEWHERE = (
    "Serve the agent on the machine that it shall run on, with `runagent serve PATH`. For callers on other machines "
    "add `--host 0.0.0.0` and keys, `--api-key-file FILE`; they call it with --host and --port, or RUNAGENT_BASE_URL."
)
_WHATEVER = {"ignore_unknown_options": True, "allow_extra_args": True}


def _command(name: str, *, does: str, because: str, instead: str) -> click.Command:
    """Returns a command that takes any arguments, and fails."""

    def refuse() -> None:
        raise CommandFailedError(f"`runagent {name}` {because}", suggestion=instead)

    return click.Command(
        name,
        callback=refuse,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED, expose_value=False)],
        context_settings=_WHATEVER,
        help=f"Not here: the published command {does}; with this one you serve agents yourself.\n\n{instead}",
        short_help="Not here: you serve agents yourself, with serve.",
    )


upload = _command(
    "upload",
    does="uploads an agent to a cloud",
    because="has nowhere to upload to: agents are served by you, not in a cloud.",
    instead=_ELSEWHERE,
)
deploy = _command(
    "deploy",
    does="uploads an agent to a cloud and starts it",
    because="has nowhere to deploy to: agents are served by you, not in a cloud.",
    instead=_ELSEWHERE,
)
start = _command(
    "start",
    does="starts an agent in a cloud",
    because="has nothing to start: agents are served by you, not in a cloud.",
    instead=_ELSEWHERE,
)
setup = _command(
    "setup",
    does="signs in to a cloud",
    because="has no account to sign in to: agents are served by you, not in a cloud.",
    instead="Name the server to call by default with `runagent config set-base-url URL`, and the key that it asks for "
    "with `runagent config set-api-key`.",
)
