"""Where a command has got to in a stream that goes on without it, and how to take it up from there."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from runagent_cli import output
from runagent_cli.call import PREFIX
from runagent_cli.failures import CommandFailedError
from runagent_cli.interrupts import INTERRUPTED
from runagent_cli.shell import pasted
from runagent_cli.target import Target

if TYPE_CHECKING:
    from runagent_grpc.client import ChunkStream

__all__ = ["ResumeHint"]


class ResumeHint:
    """A stream's place, told to the person whenever the command ends before the stream does."""

    def __init__(self, target: Target, *, after: int) -> None:
        self._target = target
        self.after = after
        """The number of the last chunk that was printed."""
        self.chunks: ChunkStream | None = None
        """The stream, once there is one."""

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Says how to go on, where the block ends and the stream may not have. Ctrl-C then ends the command."""
        from runagent_grpc.errors import Reason, RunAgentError

        try:
            yield
        except KeyboardInterrupt:
            output.note(self._how_to_go_on())
            raise click.exceptions.Exit(INTERRUPTED) from None
        except output.OutputError:
            output.note(self._how_to_go_on())
            raise
        except RunAgentError as error:
            ended = error.reason not in {
                Reason.CONNECTION_ERROR,
                Reason.READER_REPLACED,
                Reason.SHUTTING_DOWN,
                Reason.STREAM_INTERRUPTED,
                Reason.TIMEOUT,
            }
            if ended or self._invocation_id is None:
                raise
            raise CommandFailedError(PREFIX + error.message, suggestion=self._how_to_go_on()) from error

    def announce(self, invocation_id: str) -> None:
        """Says how to take the stream up elsewhere."""
        command = self._command("--resume", invocation_id)
        output.note(f"Invocation {invocation_id} goes on by itself. To take it up elsewhere:\n{command}")

    @property
    def _invocation_id(self) -> str | None:
        return None if self.chunks is None else self.chunks.invocation_id

    def _how_to_go_on(self) -> str:
        if self._invocation_id is None:
            return "Left before the server had answered. If it has the call, that goes on by itself."
        command = self._command("--resume", self._invocation_id, "--after", str(self.after))
        return f"Left. To go on behind the last chunk:\n{command}"

    def _command(self, *options: str) -> str:
        named = zip(options[::2], options[1::2], strict=True)
        words = ["runagent run-stream", *self._target.words()]
        return "\n".join(pasted([*words, *(f"{name} {shlex.quote(value)}" for name, value in named)]))
