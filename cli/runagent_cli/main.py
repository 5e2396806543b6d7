"""The console script `runagent`. Imports next to nothing, so that a Ctrl-C finds it prepared from the first moment."""

from __future__ import annotations

import sys

from runagent_cli import interrupts

__all__ = ["main"]


def main() -> None:
    """Runs one command and exits with its code.

    0 is success, 1 a failure, 2 a command line that makes no sense, 130 a Ctrl-C.
    """
    interrupts.leave_at_once()
    from runagent_cli.group import run_command_line
    from runagent_cli.output import discard_unwritable

    code = run_command_line()
    interrupts.leave_with(code)
    discard_unwritable()
    sys.exit(code)
