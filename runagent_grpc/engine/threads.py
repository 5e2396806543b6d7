"""Threads for code that blocks: as many as there is work, each kept a moment for the next.

Not a `ThreadPoolExecutor`, whose size makes work queue and whose threads hold up the interpreter's exit: a function
that never returns must not keep the server from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
from collections.abc import Callable

__all__ = ["Threads", "post"]

Job = Callable[[], None]


def post(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: object) -> None:
    """Runs `callback` on the event loop, from any thread. A loop that has closed has nobody left to tell."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *args)


class Threads:
    """Runs jobs, each on a daemon thread of its own. A job must not raise."""

    def __init__(self, *, idle_seconds: float = 1.0) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[Job]] = []
        self._numbers = itertools.count(1)

    def start(self, job: Job) -> None:
        """Starts `job` at once, on an idle thread where there is one."""
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
