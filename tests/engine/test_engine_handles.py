"""Functions that start something on the event loop and return a handle of it, as those of LlamaIndex do."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any

import pytest

from runagent_grpc.errors import ExecutionFailedError
from tests.engine.gates import Notes
from tests.engine.probe_entrypoints import loop_thread
from tests.engine.running import begin, chunks_of, engine_of, read_all, result_of
from tests.waiting import on_a_loop, soon


class Handle:
    """Work that goes on whether or not somebody waits for it, until it is told to end."""

    def __init__(self, work: Callable[[Handle], Awaitable[Any]]) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        # Nobody can make a task but on a running loop.
        self.task = asyncio.get_running_loop().create_task(self._run(work))
        self.result = asyncio.get_running_loop().create_task(self._wait())

    async def _run(self, work: Callable[[Handle], Awaitable[Any]]) -> Any:
        try:
            return await work(self)
        finally:
            self.events.put_nowait(None)

    async def _wait(self) -> Any:
        return await asyncio.shield(self.task)

    def __await__(self) -> Generator[Any, None, Any]:
        return self.result.__await__()

    async def stream_events(self) -> AsyncIterator[Any]:
        while (event := await self.events.get()) is not None:
            yield event

    async def cancel_run(self) -> None:
        if self.result.cancelled():
            # As LlamaIndex's, which ends nothing any more when whoever waited for it was cancelled.
            return
        self.task.cancel()
        await asyncio.wait([self.task])


class Flow:
    def __init__(self) -> None:
        self.told = Notes()
        self.threads = Notes()

    def run(self, to: int) -> Handle:
        """Counts."""
        self.threads.append(threading.get_ident())

        async def count(handle: Handle) -> int:
            for number in range(1, to + 1):
                handle.events.put_nowait({"number": number})
                await asyncio.sleep(0)
            return to

        return Handle(count)

    def never(self) -> Handle:
        async def wait(handle: Handle) -> None:
            handle.events.put_nowait("started")
            self.told.append("started")
            try:
                await asyncio.Event().wait()
            finally:
                self.told.append("finally")

        return Handle(wait)

    def fails(self) -> Handle:
        async def fail(handle: Handle) -> None:
            handle.events.put_nowait("started")
            raise ValueError("no such number")

        return Handle(fail)

    def __call__(self, to: int) -> Handle:
        return self.run(to)


def unresolvable(to: int) -> NoSuchClass:  # type: ignore[name-defined]  # noqa: F821 - what the test is about
    return to


@on_a_loop
async def test_a_handle_is_made_on_the_loop_and_its_result_is_awaited() -> None:
    flow = Flow()
    forms: dict[str, Callable[..., Any]] = {
        "method": flow.run,
        "partial": functools.partial(flow.run, to=3),
        "object": flow,
    }
    async with engine_of({**forms, "loop_thread": loop_thread}) as engine:
        assert [await result_of(engine, tag, to=3) for tag in forms] == [3, 3, 3]
        assert {*flow.threads.values} == {await result_of(engine, "loop_thread")}


@on_a_loop
async def test_futures_and_tasks_are_made_on_the_loop_as_well() -> None:
    def later(value: int) -> asyncio.Task[int]:
        return asyncio.ensure_future(asyncio.sleep(0, value))

    async with engine_of({"later": later}) as engine:
        assert await result_of(engine, "later", 3) == 3


@on_a_loop
async def test_a_function_that_may_return_any_awaitable_stays_on_a_thread() -> None:
    threads = Notes()

    async def value() -> int:
        return 3

    def blocks() -> Awaitable[int]:
        threads.append(threading.get_ident())
        return value()

    functions: dict[str, Callable[..., Any]] = {
        "blocks": blocks,
        "unresolvable": unresolvable,
        "loop_thread": loop_thread,
    }
    async with engine_of(functions) as engine:
        assert await result_of(engine, "blocks") == 3
        assert await result_of(engine, "unresolvable", 3) == 3
        assert len(threads) == 1
        assert await result_of(engine, "loop_thread") not in threads.values


@on_a_loop
async def test_a_streaming_tag_streams_the_events_of_a_handle() -> None:
    async with engine_of({"count_stream": Flow().run}) as engine:
        assert await chunks_of(engine, "count_stream", to=3) == [{"number": 1}, {"number": 2}, {"number": 3}]


@pytest.mark.parametrize("tag", ["fails", "fails_stream"])
def test_what_a_handle_fails_with_is_the_failure(tag: str) -> None:
    @on_a_loop
    async def fail() -> None:
        chunks: list[Any] = []
        async with engine_of({tag: Flow().fails}) as engine:
            with await begin(engine, tag) as reader, pytest.raises(ExecutionFailedError, match="no such number"):
                await (read_all(reader, chunks) if tag.endswith("_stream") else reader.result())
        assert chunks == (["started"] if tag.endswith("_stream") else [])

    fail()


@pytest.mark.parametrize("tag", ["never", "never_stream"])
def test_a_caller_that_leaves_ends_what_a_handle_stands_for(tag: str) -> None:
    @on_a_loop
    async def leave() -> None:
        flow = Flow()
        async with engine_of({tag: flow.never}) as engine:
            with await begin(engine, tag):
                await soon(lambda: flow.told.values == ["started"])
            await soon(lambda: flow.told.values == ["started", "finally"])

    leave()
