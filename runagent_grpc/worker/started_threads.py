"""Which invocation threads of the author's write for: the one that started them, or that gave a pool its work.

Context variables do not reach such a thread, so that the author's code finds no current invocation there
(docs/agents.md, the current invocation). What it prints and logs is tied to the invocation all the same.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from runagent_grpc.current import CurrentInvocation, entered_invocation

__all__ = ["following_threads", "is_of_thread", "writing_invocation"]

_started_by: ContextVar[CurrentInvocation | None] = ContextVar("runagent_started_by", default=None)


def writing_invocation() -> CurrentInvocation | None:
    """Returns the invocation that this code runs in, or that started its thread. That one may have ended."""
    return entered_invocation.get() or _started_by.get()


def is_of_thread() -> bool:
    """Whether only this code's thread is known to be an invocation's."""
    return entered_invocation.get() is None


@contextmanager
def following_threads() -> Iterator[None]:
    """Ties the threads that invocations start to them, until the block ends.

    Stands in for `Thread.start` and `ThreadPoolExecutor.submit`, so that it is for a process that only serves.
    """
    follows = True
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def start_tied(thread: threading.Thread) -> None:
        invocation = writing_invocation()
        if follows and invocation is not None:
            run = thread.run

            def run_tied() -> None:
                # The thread would refer to itself.
                vars(thread).pop("run", None)
                _started_by.set(invocation)
                run()

            vars(thread)["run"] = run_tied
        start(thread)

    def submit_tied(
        pool: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        if not follows:
            return submit(pool, function, *args, **kwargs)
        invocation = writing_invocation()

        def run_tied(*args: Any, **kwargs: Any) -> Any:
            token = _started_by.set(invocation)
            try:
                return function(*args, **kwargs)
            finally:
                _started_by.reset(token)

        # In an empty context: the pool's threads, which this may start, are for the work of all invocations.
        return contextvars.Context().run(submit, pool, run_tied, *args, **kwargs)

    # Assigned by name, for type checkers take a method for something that cannot be assigned.
    setattr(threading.Thread, "start", start_tied)  # noqa: B010 - as said
    setattr(ThreadPoolExecutor, "submit", submit_tied)  # noqa: B010 - as said
    try:
        yield
    finally:
        follows = False
        # Where somebody stands in on top of these, they stay, and pass on.
        if threading.Thread.start is start_tied:
            setattr(threading.Thread, "start", start)  # noqa: B010 - as said
        if ThreadPoolExecutor.submit is submit_tied:
            setattr(ThreadPoolExecutor, "submit", submit)  # noqa: B010 - as said
