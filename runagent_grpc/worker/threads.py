"""Threads for code that blocks: as many as there is work, each kept a moment for the next.

A job on a thread is awaited like a coroutine, with one difference: it cannot be stopped, so whoever cancels waits.

Not a `ThreadPoolExecutor`, whose size makes work queue and whose threads hold up the interpreter's exit: a function
that never returns must not keep the server from ending.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import itertools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from runagent_grpc.core.event_loop import post

__all__ = ["StoppedIterationError", "Threads"]

T = TypeVar("T")

Job = Callable[[], None]


class StoppedIterationError(Exception):
    """A job raised StopIteration, which no coroutine may let through. Its cause is that exception."""


class Threads:
    """Runs jobs, each on a daemon thread of its own."""

    def __init__(self, *, idle_seconds: float = 1.0) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[Job]] = []
        self._numbers = itertools.count(1)

    async def run(self, job: Callable[[], T], *, stop: Callable[[], None] = lambda: None) -> T:
        """Runs `job` in this task's context, and returns or raises what it does.

        On cancellation calls `stop`, and waits for the job's end; a second cancellation gives it up.
        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[_Outcome[T]] = loop.create_future()
        context = contextvars.copy_context()
        self.start(functools.partial(_deliver, loop, ended, context, job))
        try:
            # Shielded, or a cancellation would mark the future, not the job, as done.
            outcome = await asyncio.shield(ended)
        except asyncio.CancelledError:
            stop()
            await asyncio.wait([ended])
            outcome = ended.result()
            if inspect.iscoroutine(outcome.value):
                # Nobody will await it, which Python would complain of.
                outcome.value.close()
            if outcome.error is not None:
                raise outcome.error from None
            raise
        finally:
            # An exception that came from the thread refers to this frame, which must not refer to it in turn.
            del ended
        try:
            return outcome.unwrap()
        finally:
            del outcome

    def start(self, job: Job) -> None:
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is not None:
            inbox.put(job)
            return
        inbox = queue.SimpleQueue()
        # By way of the inbox, for a thread holds on to its arguments as long as it lives.
        inbox.put(job)
        name = f"runagent-entrypoint-{next(self._numbers)}"
        threading.Thread(target=self._work, args=(inbox,), name=name, daemon=True).start()

    def _work(self, inbox: queue.SimpleQueue[Job]) -> None:
        job = inbox.get()
        while True:
            job()
            # What the job refers to must not live on while the thread is idle.
            del job
            with self._lock:
                self._idle.append(inbox)
            try:
                job = inbox.get(timeout=self._idle_seconds)
            except queue.Empty:
                with self._lock:
                    if inbox in self._idle:
                        self._idle.remove(inbox)
                        return
                job = inbox.get()


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[T]):
    """How a job ended."""

    value: T | None = None
    error: BaseException | None = None

    def unwrap(self) -> T:
        if self.error is not None:
            raise self.error
        return cast("T", self.value)


def _deliver(
    loop: asyncio.AbstractEventLoop,
    ended: asyncio.Future[_Outcome[T]],
    context: contextvars.Context,
    job: Callable[[], T],
) -> None:
    post(loop, _settle, ended, _outcome_of(context, job))


def _outcome_of(context: contextvars.Context, job: Callable[[], T]) -> _Outcome[T]:
    try:
        return _Outcome(value=context.run(job))
    except StopIteration as error:
        stopped = StoppedIterationError()
        stopped.__cause__ = error
        return _Outcome(error=stopped)
    except BaseException as error:  # noqa: BLE001 - a sys.exit() of the author's must not end our thread
        return _Outcome(error=error)


def _settle(future: asyncio.Future[_Outcome[T]], outcome: _Outcome[T]) -> None:
    if not future.done():
        future.set_result(outcome)
