"""How signals end a serving process, even where its loop is blocked, or threads, tasks and children do not end.

A thread of its own hears the signals, by the wake-up descriptor that Python's handler in C writes to: neither the loop
nor the main thread has to do anything for it. Past its limit the process leaves without what does not end. Where C code
holds the interpreter lock, this thread cannot act either, and a timer of faulthandler's, which needs no lock, ends the
process with a traceback.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, Final, NoReturn

__all__ = ["STOP_SIGNALS", "StopSignals"]

STOP_SIGNALS: Final[tuple[signal.Signals, ...]] = (
    (signal.SIGINT, signal.SIGTERM) if sys.platform == "win32" else (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
)
"""What ends a server in order. SIGHUP comes when its terminal is closed."""

_LEAVE_SECONDS = 1.75
"""How long after the drain's grace the process leaves what keeps it behind."""
_LOCKED_SECONDS = 3.0
"""How long after the grace the timer ends a process whose interpreter lock is not to be had."""
_CLOSE_SECONDS = 5.0
"""How long the last writes may take once the process leaves."""
_STANDARD_ERROR = 2

_logger = logging.getLogger(__name__)


class StopSignals:
    """Hears STOP_SIGNALS from `installed` on. From the first of them on, the process ends within the grace and two
    seconds; a second one ends it at once, with 128 and its number."""

    def __init__(self, *, grace: float, left_behind: Callable[[], Sequence[str]], close: Callable[[], None]) -> None:
        """`left_behind` says what is the caller's own and has not ended, in words such as "1 call"; `close` makes the
        last writes. Both are called on any thread, when the process leaves."""
        self._grace = grace
        self._left_behind = left_behind
        self._close = close
        self._lock = threading.Lock()
        self._leaving = threading.Lock()
        self._asked = False
        self._on_stop: Callable[[], None] = lambda: None
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._other = -1
        """The descriptor that somebody else has asked to be woken by."""

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Handles the signals until the block ends, or, once one has come, until the process does. Needs the main
        thread. On Windows a Ctrl-C stays a KeyboardInterrupt."""
        if sys.platform == "win32":
            yield
            return
        before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        for number in STOP_SIGNALS:
            # `nohup` has it ignored, so that the server outlives its terminal.
            if not (number == signal.SIGHUP and before[number] is signal.SIG_IGN):
                signal.signal(number, _nothing)
                signal.siginterrupt(number, False)
        self.take_wakeups()
        threading.Thread(target=self._listen, name="runagent-signals", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                asked = self._asked
            if not asked:
                for number, handler in before.items():
                    if signal.getsignal(number) is _nothing:
                        signal.signal(number, handler)
                signal.set_wakeup_fd(self._other)
                self._writer.close()

    def take_wakeups(self) -> None:
        """Has Python wake this, and what was woken until now by way of it."""
        other = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        if other != self._writer.fileno():
            self._other = other

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Has `callback` called once, on any thread, when the first signal comes; at once if it has come."""
        with self._lock:
            self._on_stop = callback
            asked = self._asked
        if asked:
            callback()

    def leave(self) -> NoReturn:
        """Ends the process with 0, without what does not end, and says what that is."""
        with self._leaving:
            if sys.platform != "win32":
                # The interpreter lock was to be had: what may take its time now is a disk.
                faulthandler.dump_traceback_later(_CLOSE_SECONDS, exit=True, file=_STANDARD_ERROR)
            with contextlib.suppress(Exception):
                _logger.warning("Left behind what does not end: %s.", ", ".join(self._remains()) or "the last answers")
            with contextlib.suppress(Exception):
                self._close()
            with contextlib.suppress(Exception):
                logging.shutdown()
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            os._exit(0)

    def _remains(self) -> Iterator[str]:
        yield from self._left_behind()
        running = {thread.name for thread in threading.enumerate() if not thread.daemon and thread is not _main()}
        # What asyncio waits for the others with.
        threads = sorted(name for name in running if not name.endswith("(_do_shutdown)"))
        if threads:
            yield _counted(threads, "thread", "threads")
        if (multiprocessing := sys.modules.get("multiprocessing.process")) is not None:
            children = multiprocessing.active_children()
            for child in children:
                # As Python does when it exits; otherwise they would live on without a parent.
                child.terminate()
            if children:
                yield _counted([f"process {child.pid}" for child in children], "child", "children")

    def _listen(self) -> None:
        deadline = None
        while True:
            self._reader.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
            try:
                heard = self._reader.recv(4096)
            except TimeoutError:
                self.leave()
            if not heard:
                self._reader.close()
                return
            for number in heard:
                if number in STOP_SIGNALS:
                    deadline = self._stop(number)
            if self._other != -1:
                with contextlib.suppress(OSError):
                    os.write(self._other, heard)

    def _stop(self, number: int) -> float:
        """Returns when the process is to leave, by the monotonic clock."""
        with self._lock:
            if self._asked:
                os._exit(128 + number)
            self._asked = True
            callback = self._on_stop
        faulthandler.dump_traceback_later(self._grace + _LOCKED_SECONDS, exit=True, file=_STANDARD_ERROR)
        callback()
        return time.monotonic() + self._grace + _LEAVE_SECONDS


def _nothing(number: int, frame: FrameType | None) -> Any:
    """Python's handler in C has woken the thread by now."""


def _main() -> threading.Thread:
    return threading.main_thread()


def _counted(names: Sequence[str], one: str, many: str) -> str:
    return f"{len(names)} {one if len(names) == 1 else many} ({', '.join(names)})"
