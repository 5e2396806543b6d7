"""History as a server tells it: read on a few threads, for a disk takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from runagent_grpc.core.history import DEFAULT_PAGE_SIZE, InvocationPage, InvocationStats, LogPage
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.store.history import History

__all__ = ["ReadingThreads", "ServedHistory"]

_THREADS = 4
"""How many readers of one server are at the file at once. The next ones wait."""

P = ParamSpec("P")
T = TypeVar("T")


class ReadingThreads:
    """The threads that read the file for a server, made as they are needed."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="runagent-history-reader")

    async def run(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a function that blocks. One whose caller has left before it began does not run."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(read, *args, **kwargs))

    def close(self) -> None:
        """Waits for what is being read, and reads nothing more."""
        self._pool.shutdown(cancel_futures=True)


class ServedHistory:
    """An `InvocationHistory` of what a file holds."""

    def __init__(self, history: History, threads: ReadingThreads) -> None:
        self._history = history
        self._threads = threads

    def of_agents(self, agent_ids: Collection[str]) -> ServedHistory:
        return ServedHistory(self._history.of_agents(agent_ids), self._threads)

    async def get(self, invocation_id: str, *, owner: str | None = None) -> InvocationRecord:
        return await self._threads.run(self._history.get, invocation_id, owner=owner)

    async def page(
        self,
        *,
        agent_id: str = "",
        states: Collection[InvocationState] = (),
        limit: int = DEFAULT_PAGE_SIZE,
        token: str = "",
        owner: str | None = None,
        payloads: bool = False,
    ) -> InvocationPage:
        return await self._threads.run(
            self._history.page,
            agent_id=agent_id,
            states=states,
            limit=limit,
            token=token,
            owner=owner,
            payloads=payloads,
        )

    async def stats(self, *, agent_id: str = "", owner: str | None = None) -> InvocationStats:
        return await self._threads.run(self._history.stats, agent_id=agent_id, owner=owner)

    async def logs(
        self,
        *,
        agent_id: str = "",
        invocation_id: str = "",
        limit: int = DEFAULT_PAGE_SIZE,
        token: str = "",
        owner: str | None = None,
    ) -> LogPage:
        return await self._threads.run(
            self._history.logs, agent_id=agent_id, invocation_id=invocation_id, limit=limit, token=token, owner=owner
        )
