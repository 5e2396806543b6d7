"""All that the commands print: data on stdout, byte for byte, and everything else on stderr."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

__all__ = [
    "DataOutput",
    "OutputError",
    "ReaderLeftError",
    "aside",
    "discard_unwritable",
    "failure",
    "note",
    "open_descriptors",
    "printable",
    "title",
    "warning",
]

_STDERR = 2

_BOLD, _DIM, _RED, _YELLOW = "1", "2", "31", "33"

# Texts come from servers, too, and a terminal obeys what it is sent.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


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
            self.write_text(f"{value}\n" if isinstance(value, str) else _json_line(value))

    @contextlib.contextmanager
    def watching_reader(self, on_left: Callable[[], None]) -> Iterator[None]:
        """Calls `on_left`, on another thread, when a pipe's reader goes away, and ends with ReaderLeftError.

        A write would notice, too, but the next chunk may be long in coming.
        """
        poll = self._poll_for_reader()
        if poll is None:
            yield
            return
        left = threading.Event()

        def watch() -> None:
            poll.poll()
            left.set()
            on_left()

        watcher = threading.Thread(target=watch, name="runagent-stdout", daemon=True)
        watcher.start()
        try:
            yield
        except Exception:
            # With the reader gone, whatever failed is what that brought about.
            if not left.is_set():
                raise
        if left.is_set():
            watcher.join()
            raise ReaderLeftError

    def __enter__(self) -> DataOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._in_line and os.isatty(self._descriptor):
            # Where stderr is no terminal, this one is: nobody parses what it shows.
            if _is_terminal():
                note("")
            else:
                self._write(b"\n")

    def _write(self, data: bytes) -> None:
        if data:
            self._in_line = not data.endswith(b"\n")
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._write_some(rest) :]
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.ECONNRESET):
                raise ReaderLeftError from None
            raise OutputError(f"The output cannot be written: {error.strerror}.") from error

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            # Some parents hand out pipes that do not block. This one waits all the same.
            select.select([], [self._descriptor], [])
            return 0

    def _poll_for_reader(self) -> Any:
        """Returns a poll that wakes when stdout's reader goes, or None where there is no reader that could."""
        mode = os.fstat(self._descriptor).st_mode
        if not hasattr(select, "poll") or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            return None
        poll = select.poll()
        # No event is asked for: a hang-up and an error are told in any case.
        poll.register(self._descriptor, 0)
        return poll


def note(text: str) -> None:
    """Tells the person something."""
    _say(printable(text))


def printable(text: str) -> str:
    """Returns the text without what a terminal would obey, or show in another order than it stands."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text)


def title(text: str) -> None:
    """Tells the person something that stands out."""
    _say(_styled(printable(text), _BOLD))


def aside(text: str) -> None:
    """Tells what only a person at a terminal cares for, such as how long something took."""
    if _is_terminal():
        _say(_styled(printable(text), _DIM))


def warning(text: str) -> None:
    """Tells the person of something that may bite later."""
    _say(_styled(printable(f"Warning: {text}"), _YELLOW))


def failure(text: str, *, suggestion: str | None = None) -> None:
    """Tells the person what went wrong, and on a line of its own what to do about it."""
    _say("❌ " + _styled(printable(text), _RED))
    if suggestion:
        note(suggestion)


def open_descriptors() -> None:
    """Opens the null device for each standard descriptor that is closed.

    A database or a connection would get its number next, and with it what C code writes to standard error.
    """
    number = os.open(os.devnull, os.O_RDWR)
    while number <= _STDERR:
        os.set_inheritable(number, True)
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)


def discard_unwritable() -> None:
    """Drops what a standard stream still holds and cannot write. Python would exit with 120 for it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)


def _say(text: str) -> None:
    # A terminal that is gone is no reason to fail.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _is_terminal() -> bool:
    with contextlib.suppress(ValueError, AttributeError):
        return sys.stderr.isatty()
    return False


def _styled(text: str, style: str) -> str:
    # https://no-color.org
    if not _is_terminal() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{style}m{text}\x1b[0m"


def _json_line(value: Any) -> str:
    from runagent_grpc.values.payload import encode

    return f"{encode(value)!s}\n"
