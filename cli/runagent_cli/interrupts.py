"""What a Ctrl-C does: it ends the process at once, but for while a call is under way, which has to be cancelled.

An exception would show a traceback where the interpreter starts or ends, and gets lost in the import of a C extension.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType

__all__ = ["INTERRUPTED", "Cancellable", "cancellable", "leave_at_once", "leave_with"]

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


class Cancellable:
    """A block in which a Ctrl-C raises KeyboardInterrupt; within a `with` of this, only at its end.

    What is done there is done whole, so that what was counted is what was printed. A second Ctrl-C waits for nothing.
    """

    def __init__(self) -> None:
        self._whole = False
        self._interrupted = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        if not self._whole:
            raise KeyboardInterrupt
        if self._interrupted:
            _leave(number, frame)
        self._interrupted = True

    def __enter__(self) -> None:
        self._whole = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._whole = False
        if self._interrupted:
            raise KeyboardInterrupt


@contextlib.contextmanager
def cancellable() -> Iterator[Cancellable]:
    """Lets a Ctrl-C raise KeyboardInterrupt inside the block."""
    block = Cancellable()
    before = signal.getsignal(signal.SIGINT)
    if before is not _leave:
        yield block
        return
    try:
        signal.signal(signal.SIGINT, block.handle)
        yield block
    finally:
        signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    # By the descriptor: what was interrupted may be a write to the stream.
    with contextlib.suppress(OSError):
        os.write(2, b"Cancelled.\n")
    os._exit(INTERRUPTED)
