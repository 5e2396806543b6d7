"""What entrypoints print and log: tied to their invocation, and still seen on the server's standard error."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TextIO

from runagent_grpc.core.recorder import LogLine
from runagent_grpc.current import CurrentInvocation, entered_invocation

__all__ = ["OutputCapture"]

_LONGEST_LINE = 64 * 1024


class OutputCapture:
    """Hears what entrypoints print and log while it is installed, and reports it line by line.

    A line without an end is reported when its invocation ends.
    """

    def __init__(
        self, logged: Callable[[LogLine], None], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`logged` takes each line, on any thread; it returns at once and never raises."""
        self._logged = logged
        self._now = now
        # Reentrant: what is done under it may collect garbage, and an author's `__del__` may print.
        self._lock = threading.RLock()
        self._unfinished: dict[str, str] = {}
        """The last line of each running invocation, as far as it has come."""

    def begin(self, invocation_id: str) -> None:
        """Joins what an invocation prints into lines, until `end`."""
        with self._lock:
            self._unfinished[invocation_id] = ""

    def end(self, invocation_id: str) -> None:
        """Reports the last line, if it has no end."""
        with self._lock:
            rest = self._unfinished.pop(invocation_id, "")
        if rest:
            self._tell(invocation_id, "INFO", rest)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Stands in for `sys.stdout`, and listens to the root logger, until the block ends."""
        handler = _LogHandler(self._tell)
        output = sys.stdout
        logging.getLogger().addHandler(handler)
        sys.stdout = _Output(self._printed, elsewhere=output)
        try:
            yield
        finally:
            sys.stdout = output
            logging.getLogger().removeHandler(handler)

    def _printed(self, current: CurrentInvocation, text: str) -> None:
        invocation_id = current.invocation_id
        with self._lock:
            *lines, rest = (self._unfinished.get(invocation_id, "") + text).split("\n")
            # What is printed after the end may be the last: nobody waits for the rest of its line.
            has_ended = invocation_id not in self._unfinished or current.cancelled
            if rest and (has_ended or len(rest) > _LONGEST_LINE):
                lines.append(rest)
                rest = ""
            if invocation_id in self._unfinished:
                self._unfinished[invocation_id] = rest
        for line in lines:
            self._tell(invocation_id, "INFO", line)

    def _tell(self, invocation_id: str, level: str, text: str) -> None:
        self._logged(LogLine(invocation_id=invocation_id, time=self._now(), level=level, text=text))


class _Output(io.TextIOBase):
    """Standard output as entrypoints see it. Outside of an invocation it is the real one.

    What is written past its text, to `buffer`, goes to the real one in any case, and becomes no line.
    """

    def __init__(self, printed: Callable[[CurrentInvocation, str], None], *, elsewhere: TextIO) -> None:
        self._printed = printed
        self._elsewhere = elsewhere

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        current = entered_invocation.get()
        if current is None:
            return self._elsewhere.write(text)
        self._printed(current, text)
        # Not standard output: whoever started the server may read that for something else.
        return sys.stderr.write(text)

    def flush(self) -> None:
        (self._elsewhere if entered_invocation.get() is None else sys.stderr).flush()

    @property
    def encoding(self) -> str:  # type: ignore[override] # read-only in typeshed's eyes, too, but declared as a variable
        return self._elsewhere.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override] # as above
        return self._elsewhere.errors

    def __getattr__(self, name: str) -> Any:
        # `buffer`, `reconfigure`, `name`: what code expects of a standard stream beyond its text.
        return getattr(self._elsewhere, name)

    def isatty(self) -> bool:
        return entered_invocation.get() is None and self._elsewhere.isatty()

    def fileno(self) -> int:
        return self._elsewhere.fileno()


class _LogHandler(logging.Handler):
    """Hears the log lines of invocations. Writing them to standard error is another handler's."""

    def __init__(self, tell: Callable[[str, str, str], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        current = entered_invocation.get()
        if current is None:
            return
        try:
            self._tell(current.invocation_id, record.levelname, self.format(record))
        except Exception:  # noqa: BLE001 - a log line that cannot be formatted is no reason for the author's code to fail
            self.handleError(record)
