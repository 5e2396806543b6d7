"""How a command fails: one clear text on stderr and an exit code, and no traceback unless it is asked for."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator

import click

from runagent_cli import output
from runagent_cli.interrupts import INTERRUPTED

__all__ = ["CommandFailedError", "failing_as", "report"]

_FAILURE = 1
# What it raises while stubs are imported, ours or those of gRPC's services.
_PROTOBUFS_CHECK = "google.protobuf.runtime_version"


class CommandFailedError(Exception):
    """A command cannot do what it was asked for. Exits with 1."""

    def __init__(self, text: str, *, suggestion: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.suggestion = suggestion
        """What to do about it, on a line of its own."""


@contextlib.contextmanager
def failing_as(prefix: str = "") -> Iterator[None]:
    """Makes whatever the client and the registry raise the failure of a command."""
    from runagent_grpc.errors import RunAgentError

    try:
        yield
    except RunAgentError as error:
        raise CommandFailedError(prefix + error.message, suggestion=error.suggestion) from error


def report(error: BaseException, *, debug: bool = False) -> int:
    """Says on stderr what went wrong, and returns the exit code."""
    match error:
        case KeyboardInterrupt() | click.Abort():
            output.note("Cancelled.")
            return INTERRUPTED
        case output.ReaderLeftError():
            # As with any filter: whoever read has what they wanted, and there is nobody to tell.
            return _FAILURE
        case click.UsageError():
            with contextlib.suppress(OSError):
                error.show()
            return error.exit_code
    if debug:
        output.note("".join(traceback.format_exception(error)).rstrip())
    match error:
        case click.ClickException():
            output.failure(error.format_message())
        case CommandFailedError():
            output.failure(error.text, suggestion=error.suggestion)
        case output.OutputError():
            output.failure(str(error))
        case FileNotFoundError(filename=None):
            # What os.getcwd() raises.
            output.failure("The current folder is gone.", suggestion="Change to one that exists.")
        case Exception() if type(error).__module__ == _PROTOBUFS_CHECK:
            found = re.search(r"runtime (\d[\d.]*\d)", str(error))
            output.failure(
                f"The protobuf that is installed here{f', {found[1]},' if found else ''} is too old for this package; "
                "another one has asked for it.",
                suggestion="Put a newer one in its place: pip install --upgrade protobuf",
            )
        case _:
            output.failure(
                f"Internal error: {type(error).__name__}: {error}",
                suggestion=None if debug else "Run it again as `runagent --debug ...` to see where, and report it.",
            )
    return _FAILURE
