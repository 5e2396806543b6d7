"""Callers by the dozen, through clients that resume and repeat: what they asked for, and what they were told."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from runagent_grpc.client import AsyncRunAgentClient, RunAgentError
from tests.reliability.sites import AGENT_ID, Site
from tests.waiting import eventually

__all__ = ["Load", "go_on", "loaded"]

_STREAMS = 50
_CHUNKS = 10
_SECONDS_BETWEEN_CHUNKS = 0.1


class Load:
    """50 streams of a second, each followed by the next, and so many calls a second, for the length of the block.

    All of it runs on one event loop, on a thread of its own. It ends in order: whatever was begun is waited for.
    """

    def __init__(self, *, calls_per_second: int, **address: Any) -> None:
        self.calls = 0
        """How many calls were answered, rightly."""
        self.streams = 0
        """How many streams came whole."""
        self.failures: list[str] = []
        """What went wrong, in words."""
        self.names: list[str] = []
        """Every piece of work that was asked for."""
        self._calls_per_second = calls_per_second
        self._address = address
        self._stopping = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    @property
    def waiting(self) -> int:
        """How many calls and streams are under way."""
        return len(self.names) - self.calls - self.streams - len(self.failures)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._ask())

    async def _ask(self) -> None:
        async with (
            AsyncRunAgentClient(AGENT_ID, "work", **self._address) as work,
            AsyncRunAgentClient(AGENT_ID, "count_stream", **self._address) as count,
            asyncio.TaskGroup() as tasks,
        ):
            for worker in range(_STREAMS):
                tasks.create_task(self._stream_on(count, worker))
            # By the clock, and not when the last is answered: a server that is away is called no less.
            loop = asyncio.get_running_loop()
            began = loop.time()
            for number in itertools.count():
                if await self._stopped_by(began + number / self._calls_per_second):
                    break
                tasks.create_task(self._watched(self._call(work, f"call-{number}")))

    async def _stopped_by(self, moment: float) -> bool:
        """Waits for a moment on the loop's clock, unless the load is to end before. Returns whether it is."""
        try:
            async with asyncio.timeout_at(moment):
                return await self._stopping.wait()
        except TimeoutError:
            return False

    async def _stream_on(self, client: AsyncRunAgentClient, worker: int) -> None:
        for number in itertools.count():
            if self._stopping.is_set():
                return
            await self._watched(self._stream(client, f"stream-{worker}-{number}"))

    async def _call(self, client: AsyncRunAgentClient, name: str) -> None:
        self.names.append(name)
        answer = await client.run(name=name)
        if answer == name:
            self.calls += 1
        else:
            self.failures.append(f"{name} was answered with {answer!r}.")

    async def _stream(self, client: AsyncRunAgentClient, name: str) -> None:
        self.names.append(name)
        chunks = [chunk async for chunk in client.run_stream(name=name, n=_CHUNKS, seconds=_SECONDS_BETWEEN_CHUNKS)]
        if chunks == list(range(1, _CHUNKS + 1)):
            self.streams += 1
        else:
            self.failures.append(f"{name} brought {chunks}.")

    async def _watched(self, asking: Coroutine[Any, Any, None]) -> None:
        try:
            await asking
        except RunAgentError as error:
            self.failures.append(f"{error.reason}: {error} ({error.details})")


@contextmanager
def loaded(site: Site, wire: str) -> Iterator[Load]:
    """Has the load going when the block begins; all of it is accounted for when the block has ended."""
    if wire == "grpc":
        load = Load(calls_per_second=200, base_url=f"grpc://127.0.0.1:{site.grpc_port}")
    else:
        # More than that would be a measurement of the HTTP client, which takes milliseconds for a call.
        load = Load(calls_per_second=50, base_url=f"http://127.0.0.1:{site.http_port}", transport="http")
    with load:
        go_on(load)
        yield load
    assert not load.failures, f"{len(load.failures)} of {len(load.names)}, such as {load.failures[:10]}"
    assert load.calls + load.streams == len(load.names)
    # Each was begun once: nothing twice because its answer was lost, and nothing never.
    runs = site.runs
    wrong = {name: runs[name] for name in load.names if runs[name] != 1}
    assert not wrong, f"{len(wrong)} of {len(load.names)}, such as {dict(list(wrong.items())[:10])}"
    # `pytest -rP` shows it.
    sys.stdout.write(f"{load.calls:,} calls and {load.streams:,} streams.\n")


def go_on(load: Load) -> None:
    """Waits until much more has been answered, and nobody waits for long any more."""
    calls, streams = load.calls + 100, load.streams + 60
    eventually(
        lambda: load.failures or (load.calls >= calls and load.streams >= streams and load.waiting < 2 * _STREAMS),
        seconds=60,
    )
