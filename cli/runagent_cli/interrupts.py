"""What a Ctrl-C does: it ends the process at once, but for while a call is under way, which has to be cancelled.

An exception would show a traceback where the interpreter starts or ends, and gets lost in the import of a C extension.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

__all__ = ["INTERRUPTED", "cancellable", "leave_at_once", "leave_with"]

INTERRUPTED = 130
"""The exit code of a command that was interrupted, as shells have it: 128 + SIGINT."""


def leave_at_once() -> None:
    """Makes a Ctrl-C say so and end the process, unless the process was told to ignore it, as in the background."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)


def leave_with(code: int) -> None:
    """Makes a Ctrl-C end the process with this exit code: everything has been said, and only the end takes time."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: os._exit(code))


@contextlib.contextmanager
def cancellable() -> Iterator[None]:
    """Lets a Ctrl-C raise KeyboardInterrupt inside the block."""
    before = signal.getsignal(signal.SIGINT)
    if before is not _leave:
        yield
        return
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
    finally:
        signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    # By the descriptor: what was interrupted may be a write to the stream.
    with contextlib.suppress(OSError):
        os.write(2, b"Cancelled.\n")
    os._exit(INTERRUPTED)
