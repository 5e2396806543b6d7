"""All that the commands print: data on stdout, byte for byte, and everything else on stderr."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import IO, Any

__all__ = ["DataOutput", "OutputError", "ReaderLeftError", "failure", "is_decorated", "note", "warning"]


class OutputError(Exception):
    """The data cannot be written where stdout leads."""


class ReaderLeftError(OutputError):
    """Nobody reads the data any more, as in `runagent run-stream ... | head -1`."""


class DataOutput:
    """Stdout, for data alone. At the end of its block a terminal's prompt gets a line of its own.

    Writes past `sys.stdout`, whose buffer would hold chunks back, and would complain at exit of a reader that left.
    """

    def __init__(self) -> None:
        if sys.stdout is None:
            raise OutputError("There is no standard output to write to.")
        self._descriptor = sys.stdout.fileno()
        self._is_terminal = os.isatty(self._descriptor)
        self._in_line = False

    def write_text(self, text: str) -> None:
        """Writes text, as UTF-8 whatever the locale."""
        self._write(text.encode("utf-8", "replace"))

    def write_chunk(self, chunk: Any) -> None:
        """Writes one chunk: a string or bytes exactly as they are, any other value as one line of JSON."""
        if isinstance(chunk, bytes):
            self._write(chunk)
        else:
            self.write_text(chunk if isinstance(chunk, str) else _json_line(chunk))

    def write_value(self, value: Any) -> None:
        """Writes one result: bytes exactly as they are, a string or the JSON of any other value with a newline."""
        if isinstance(value, bytes):
            self._write(value)
        else:
            self.write_text(value + "\n" if isinstance(value, str) else _json_line(value))

    @contextlib.contextmanager
    def watching_reader(self, on_left: Callable[[], None]) -> Iterator[None]:
        """Calls `on_left`, on another thread, when a pipe's reader goes away.

        A write would notice, but the next chunk may be long in coming. Ends with ReaderLeftError once it was called.
        """
        left = threading.Event()

        def watch(poll: Any) -> None:
            poll.poll()
            left.set()
            on_left()

        if (poll := self._poll_for_reader()) is not None:
            threading.Thread(target=watch, args=(poll,), name="runagent-stdout", daemon=True).start()
        try:
            yield
        except Exception:
            # What the leaving brought about, most likely.
            if not left.is_set():
                raise
        if left.is_set():
            raise ReaderLeftError

    def __enter__(self) -> DataOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._in_line and self._is_terminal:
            # Where stderr is no terminal, nobody parses what this one shows.
            if _is_terminal(sys.stderr):
                note("")
            else:
                self._write(b"\n")

    def _write(self, data: bytes) -> None:
        if data:
            self._in_line = not data.endswith(b"\n")
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET):
                raise ReaderLeftError from None
            raise OutputError(f"The output cannot be written: {error.strerror}.") from error

    def _poll_for_reader(self) -> Any:
        """Returns a poll that wakes when stdout's reader goes, or None where no reader can go."""
        mode = os.fstat(self._descriptor).st_mode
        if not hasattr(select, "poll") or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            return None
        poll = select.poll()
        # No event of its own: a hang-up and an error are always told.
        poll.register(self._descriptor, 0)
        return poll


def note(text: str) -> None:
    """Tells the person at the terminal something."""
    # A terminal that is gone is no reason to fail.
    with contextlib.suppress(OSError, ValueError):
        print(_printable(text), file=sys.stderr, flush=True)


def warning(text: str) -> None:
    """Tells the person at the terminal of something that may bite later."""
    note(_styled(f"Warning: {text}", _YELLOW))


def failure(text: str, *, suggestion: str | None = None) -> None:
    """Tells the person at the terminal what went wrong, and on a second line what to do."""
    note(f"❌ {_styled(_printable(text), _RED)}")
    if suggestion:
        note(suggestion)


def aside(text: str) -> None:
    """Tells what only a person at a terminal cares for, such as how long something took."""
    if _is_terminal(sys.stderr):
        note(_styled(text, _DIM))


def is_decorated() -> bool:
    """Whether stderr shows colours and the like."""
    return _is_terminal(sys.stderr) and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _json_line(value: Any) -> str:
    from runagent_grpc.payload import encode

    return f"{encode(value)!s}\n"
