"""The options that `run` and `run-stream` have in common: which entrypoint to call, with what, on whose behalf."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from runagent_cli.arguments import keyword_arguments
from runagent_cli.target import Target, target_options, utf8_text

if TYPE_CHECKING:
    from runagent_grpc.client import RunAgentClient

__all__ = ["FREE_PARAMETERS", "PREFIX", "STREAM_SUFFIX", "CallOptions", "call_options"]

PREFIX = "Execution failed: "
"""How every failure of a call begins (docs/wire.md, CLI texts)."""

STREAM_SUFFIX = "_stream"

FREE_PARAMETERS = {"ignore_unknown_options": True, "allow_extra_args": True}
"""The settings of a command that takes `--key=value` for any key. The bare `--` is click's own doing."""

_A_YEAR = 365 * 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """A call, as the command line asks for it."""

    target: Target
    tag: str
    """Empty where the command needs none."""
    extra: Sequence[str]
    """What no option took."""
    input_file: str | None
    timeout: float | None
    user_id: str | None
    persistent_memory: bool

    @property
    def is_streaming(self) -> bool:
        return self.tag.endswith(STREAM_SUFFIX)

    def arguments(self) -> dict[str, Any]:
        """Returns the entrypoint's arguments, or raises as `keyword_arguments` does."""
        return keyword_arguments(self.extra, self.input_file)

    def client(self, **options: Any) -> RunAgentClient:
        """Returns a client of the entrypoint. Raises RunAgentError where nothing says where it is."""
        return self.target.client(
            self.tag, timeout=self.timeout, user_id=self.user_id, persistent_memory=self.persistent_memory, **options
        )


_OPTIONS = (
    click.option(
        "--input",
        "input_file",
        type=click.Path(exists=True, dir_okay=False, allow_dash=True),
        metavar="FILE",
        help="A JSON file with the parameters as one object; - reads it from standard input.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, max=_A_YEAR, min_open=True),
        metavar="SECONDS",
        help="How long the call may take, a stream to its last chunk.",
    ),
    click.option("--user-id", metavar="ID", callback=utf8_text, help="The end user on whose behalf this is called."),
    click.option("--persistent-memory", is_flag=True, help="Allow the entrypoint to keep state for that user."),
)


def call_options(*, tag_required: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of a call, which it takes as its first argument; the others come by their names."""
    tag = click.option(
        "--tag", required=tag_required, metavar="TAG", callback=utf8_text, help="The entrypoint to call."
    )
    names = {field.name for field in dataclasses.fields(CallOptions)} - {"extra", "tag"}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @click.pass_context
        @functools.wraps(command)
        def with_call(context: click.Context, /, *, tag: str | None, **options: Any) -> None:
            of_call = {name: options.pop(name) for name in names}
            command(CallOptions(extra=tuple(context.args), tag=tag or "", **of_call), **options)

        for option in reversed((tag, *_OPTIONS)):
            with_call = option(with_call)
        return target_options(with_call)

    return decorate
