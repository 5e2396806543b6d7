"""The event loop of a process that only serves: an exit that code of an author's asks for does not end it.

asyncio lets SystemExit and KeyboardInterrupt out of a task or a callback end the loop, and with it every call
(python/cpython#93122, #108549). This loop reports them, with the invocation that they come from, and continues. The
loop of an application that embeds a server is its own, and is left as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar, TypeVarTuple, Unpack, cast

from runagent_grpc.current import entered_invocation

__all__ = ["OnExit", "ServerLoop"]

_logger = logging.getLogger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

OnExit = Callable[[BaseException, str | None], None]
"""Hears of an exit that was asked for, and the id of the invocation that asked, or None outside of any."""

if sys.platform == "win32":
    _Loop = asyncio.ProactorEventLoop
    # The loop cannot handle signals there: a KeyboardInterrupt is a Ctrl-C.
    _EXITS: tuple[type[BaseException], ...] = (SystemExit,)
else:
    _Loop = asyncio.SelectorEventLoop
    _EXITS = (SystemExit, KeyboardInterrupt)


class ServerLoop(_Loop):
    """Runs a future to its end, even where a task or a callback asks for an exit or stops the loop.

    Signals that end the process must not raise KeyboardInterrupt. Costs nothing while nobody asks for an exit.
    """

    def __init__(self, on_exit: OnExit, *, take_wakeups: Callable[[], None] = lambda: None) -> None:
        """`take_wakeups` is called when the loop has changed whom Python wakes by signals."""
        super().__init__()
        self._on_exit = on_exit
        self._take_wakeups = take_wakeups
        self._until: asyncio.Future[Any] | None = None

    if sys.platform != "win32":

        def add_signal_handler(self, sig: int, callback: Callable[[Unpack[Ts]], Any], *args: *Ts) -> None:
            super().add_signal_handler(sig, callback, *args)
            self._take_wakeups()

        def remove_signal_handler(self, sig: int) -> bool:
            removed = super().remove_signal_handler(sig)
            self._take_wakeups()
            return removed

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        self._until = until = asyncio.ensure_future(cast("Awaitable[T]", future), loop=self)
        return super().run_until_complete(until)

    def run_forever(self) -> None:
        while True:
            try:
                super().run_forever()
            except _EXITS as error:
                if self._until is None:
                    raise
                if not self._until.done() or error is not _exception_of(self._until):
                    self._report(error)
            else:
                if self._until is not None and not self._until.done():
                    _logger.warning("An entrypoint stopped the event loop of the server, which continues.")
            if self._until is None or self._until.done():
                return

    def _report(self, error: BaseException) -> None:
        # At once, as the loop would: what awaits the task could continue first.
        asyncio._set_running_loop(self)
        try:
            # Handlers and filters of the author's hear of it, too, and may ask for an exit in turn.
            with contextlib.suppress(BaseException):
                self._on_exit(error, _invocation_of(error))
        finally:
            asyncio._set_running_loop(None)


def _exception_of(future: asyncio.Future[Any]) -> BaseException | None:
    return None if future.cancelled() else future.exception()


def _invocation_of(error: BaseException) -> str | None:
    """Returns the id of the invocation in whose context the loop ran what raised `error`.

    The loop has left that context. It is still to be found in the frame of the handle that was run.
    """
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code is asyncio.Handle._run.__code__:
            current = frame.f_locals["self"]._context.get(entered_invocation)
            return current.invocation_id if current is not None else None
        traceback = traceback.tb_next
    return None
