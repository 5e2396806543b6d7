"""Standard streams for a process that serves: writing never fails, and what invocations write can be heard.

An application that embeds a server keeps its own streams, unless it asks for these.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from runagent_grpc.worker.started_threads import writing_invocation

__all__ = ["ErrorStream", "guarded_streams"]

Hear = Callable[[str, str], None]


class ErrorStream(io.TextIOBase):
    """Standard error that can be written to even where it is gone: closed, without a reader, on a full disk.

    What is written past its text, to `buffer`, goes to the real one in any case, and is not heard.
    """

    def __init__(self, real: TextIO | None) -> None:
        """`real` is None where the process was started without a standard error."""
        self._real = real
        self._hear: Hear | None = None

    @contextlib.contextmanager
    def heard_by(self, hear: Hear) -> Iterator[None]:
        """Calls `hear` with each text that is written, and with the name of its stream, until the block ends.

        The one that listens last is the one that hears. It must not raise.
        """
        before, self._hear = self._hear, hear
        try:
            yield
        finally:
            self._hear = before

    def write(self, text: str) -> int:
        return self.write_of("stderr", text)

    def write_of(self, stream: str, text: str) -> int:
        """Writes what was written to a stream of this name."""
        if self._hear is not None:
            self._hear(stream, text)
        # ValueError is what a file that the author has closed raises.
        with contextlib.suppress(OSError, ValueError):
            if self._real is not None:
                self._real.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            if self._real is not None:
                self._real.flush()

    def close(self) -> None:
        """Closes nothing: the server and other calls write to it, too."""
        self.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        with contextlib.suppress(OSError, ValueError):
            return self._real is not None and self._real.isatty()
        return False

    def fileno(self) -> int:
        if self._real is None:
            raise io.UnsupportedOperation("There is no standard error.")
        return self._real.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override] # read-only in typeshed's eyes, too, but declared as a variable
        return "utf-8" if self._real is None else self._real.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override] # as above
        return "backslashreplace" if self._real is None else self._real.errors

    def __getattr__(self, name: str) -> Any:
        # `buffer`, `reconfigure`, `name`: what code expects of a standard stream beyond its text.
        return getattr(self._real, name)


class _OutputStream(io.TextIOBase):
    """Standard output as entrypoints see it. Outside of an invocation it is the real one."""

    def __init__(self, real: TextIO | ErrorStream, error_stream: ErrorStream) -> None:
        self._real = real
        self._error_stream = error_stream

    def write(self, text: str) -> int:
        if writing_invocation() is None:
            return self._real.write(text)
        # Not standard output: whoever started the server may read that for something else.
        return self._error_stream.write_of("stdout", text)

    def flush(self) -> None:
        (self._real if writing_invocation() is None else self._error_stream).flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return writing_invocation() is None and self._real.isatty()

    def fileno(self) -> int:
        return self._real.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override] # as above
        return self._real.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override] # as above
        return self._real.errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@contextlib.contextmanager
def guarded_streams() -> Iterator[ErrorStream]:
    """Stands in for `sys.stdout` and `sys.stderr` until the block ends, within another such block, too.

    What an invocation prints goes to standard error, which never fails.
    """
    output, error = sys.stdout, sys.stderr
    stream = error if isinstance(error, ErrorStream) else ErrorStream(error)
    sys.stderr = stream
    sys.stdout = _OutputStream(output or stream, stream)
    try:
        yield stream
    finally:
        sys.stdout, sys.stderr = output, error
