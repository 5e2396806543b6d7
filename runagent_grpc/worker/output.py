"""What entrypoints print and log: tied to their invocation, and still seen on the server's standard error."""

from __future__ import annotations

import copy
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime

from runagent_grpc.core.recorder import OutputLine
from runagent_grpc.current import CurrentInvocation
from runagent_grpc.worker.log_records import hearing_records
from runagent_grpc.worker.standard_streams import guarded_streams
from runagent_grpc.worker.started_threads import is_of_thread, writing_invocation

__all__ = ["OutputCapture"]

_LONGEST_LINE = 64 * 1024
_FORMATTER = logging.Formatter()

_Writer = tuple[str, int]
"""A stream by its name, and a thread. Two of them do not write into one line."""

_handles_record: ContextVar[bool] = ContextVar("runagent_handles_record", default=False)
"""Whether handlers have a log line, which has been told: what they write to standard error is that line again."""


class OutputCapture:
    """Hears what entrypoints print and log while it is installed, and reports it line by line.

    A line without an end is reported when its invocation ends.
    """

    def __init__(
        self, logged: Callable[[OutputLine], None], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """`logged` takes each line, on any thread; it returns at once and never raises."""
        self._logged = logged
        self._now = now
        # Reentrant: what is done under it may collect garbage, and an author's `__del__` may print.
        self._lock = threading.RLock()
        self._unfinished: dict[str, dict[_Writer, str]] = {}
        """The last lines of each running invocation, as far as they have come."""

    def begin(self, invocation_id: str) -> None:
        """Joins what an invocation prints into lines, until `end`."""
        with self._lock:
            self._unfinished[invocation_id] = {}

    def end(self, invocation_id: str) -> None:
        """Reports the last lines that have no end."""
        with self._lock:
            unfinished = self._unfinished.pop(invocation_id, {})
        for rest in unfinished.values():
            self._tell(invocation_id, "INFO", rest)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Stands in for the standard streams, and hears what loggers let pass, until the block ends."""
        with guarded_streams() as streams, streams.heard_by(self._written), hearing_records(self._record):
            yield

    def _current(self) -> CurrentInvocation | None:
        """Returns the invocation that what is written here belongs to.

        A thread that it started writes for it as long as it runs: a pool's may work for others, then.
        """
        current = writing_invocation()
        if current is not None and is_of_thread() and current.invocation_id not in self._unfinished:
            return None
        return current

    def _written(self, stream: str, text: str) -> None:
        current = self._current()
        if current is None or _handles_record.get():
            return
        invocation_id, writer = current.invocation_id, (stream, threading.get_ident())
        with self._lock:
            unfinished = self._unfinished.get(invocation_id)
            before = unfinished.pop(writer, "") if unfinished is not None else ""
            *lines, rest = (before + text).split("\n")
            # What is printed after the function's end may be the last: nobody waits for the rest of its line.
            if rest and (unfinished is None or len(rest) > _LONGEST_LINE):
                lines.append(rest)
                rest = ""
            if unfinished is not None and rest:
                unfinished[writer] = rest
        for line in lines:
            self._tell(invocation_id, "INFO", line)

    def _record(self, _: logging.Logger, record: logging.LogRecord, handle: Callable[[], None]) -> None:
        """Tells a log line of an invocation, as it is before any handler of the author's changes it."""
        current = self._current()
        if current is not None:
            # A log line that cannot be formatted is no reason for the author's code to fail. Handlers say so.
            with suppress(Exception):
                self._tell(current.invocation_id, record.levelname, _text_of(record))
        handles = _handles_record.set(True)
        try:
            handle()
        finally:
            _handles_record.reset(handles)

    def _tell(self, invocation_id: str, level: str, text: str) -> None:
        self._logged(OutputLine(invocation_id=invocation_id, time=self._now(), level=level, text=text))


def _text_of(record: logging.LogRecord) -> str:
    # Of a copy, for the text of a traceback is kept in the record, where other formatters would find ours.
    record = copy.copy(record)
    record.exc_text = None
    return _FORMATTER.format(record)
