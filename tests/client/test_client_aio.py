from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runagent_grpc.client import AsyncChunkStream, AsyncRunAgentClient, RunAgentError
from runagent_grpc.testing import RunningServer, serving
from tests.client.fakes import INVOCATION_ID, ScriptedServer, chunks, scripted, started
from tests.waiting import on_a_loop, soon


class Endless:
    """A stream without end, and how often its `finally` ran."""

    def __init__(self) -> None:
        self.cleaned_up = 0

    async def endless_stream(self) -> AsyncIterator[int]:
        try:
            yield 0
            yield 1
            await asyncio.Event().wait()
        finally:
            self.cleaned_up += 1

    async def endless(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.cleaned_up += 1

    @asynccontextmanager
    async def served(self, tag: str = "endless_stream") -> AsyncIterator[tuple[RunningServer, AsyncRunAgentClient]]:
        """Serves it. Behind the block, which must end the work, nothing may be left."""
        with serving({"endless_stream": self.endless_stream, "endless": self.endless}) as server:
            async with server.async_client(tag) as client:
                yield server, client
                await soon(lambda: server.engine.active == 0)
        assert self.cleaned_up == 1


@asynccontextmanager
async def client_of(server: ScriptedServer, tag: str) -> AsyncIterator[AsyncRunAgentClient]:
    async with AsyncRunAgentClient(None, tag, base_url=server.base_url) as client:
        yield client


@on_a_loop
async def test_a_stream_is_an_async_iterator() -> None:
    async with Endless().served() as (_, client):
        stream = await client.run()
        assert isinstance(stream, AsyncChunkStream)
        assert aiter(stream) is stream
        assert [await anext(stream), await anext(stream)] == [0, 1]
        await stream.close()


@on_a_loop
async def test_leaving_the_block_of_a_stream_cancels_it() -> None:
    async with Endless().served() as (_, client):
        async with client.run_stream() as stream:
            async for chunk in stream:
                if chunk == 1:
                    break
        assert [chunk async for chunk in stream] == []


async def fail_within(stream: AsyncChunkStream) -> None:
    async with stream:
        await anext(stream)
        raise LookupError("The caller's own.")


@on_a_loop
async def test_an_error_in_the_block_of_a_stream_cancels_it_and_comes_through() -> None:
    async with Endless().served() as (_, client):
        with pytest.raises(LookupError, match="The caller's own"):
            await fail_within(client.run_stream())


@on_a_loop
async def test_closing_a_stream_cancels_it_once() -> None:
    async with Endless().served() as (_, client):
        stream = client.run_stream()
        await anext(stream)
        await stream.close()
        await stream.aclose()
        assert await anext(stream, "end") == "end"


@on_a_loop
async def test_a_stream_that_was_never_asked_for_a_chunk_makes_no_call() -> None:
    with scripted(started()) as server:
        async with client_of(server, "any_stream") as client:
            stream = client.run_stream()
            await stream.close()
            assert await anext(stream, "end") == "end"
        assert server.calls == []


@on_a_loop
async def test_dropping_a_stream_cancels_it() -> None:
    async with Endless().served() as (_, client):
        stream = client.run_stream()
        await anext(stream)
        del stream
        gc.collect()


@on_a_loop
async def test_closing_the_client_ends_its_streams_and_no_task() -> None:
    async with Endless().served() as (_, client):
        stream = client.run_stream()
        assert [await anext(stream), await anext(stream)] == [0, 1]
        await client.close()
        with pytest.raises(RunAgentError) as caught:
            await anext(stream)

    assert (caught.value.reason, caught.value.invocation_id) == ("CANCELLED", stream.invocation_id)


@on_a_loop
async def test_closing_the_client_ends_a_read_that_waits_and_no_task() -> None:
    async with Endless().served() as (_, client):
        stream = client.run_stream()
        assert [await anext(stream), await anext(stream)] == [0, 1]
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        await client.close()
        with pytest.raises(RunAgentError) as caught:
            await asyncio.wait_for(reading, 20)

    assert caught.value.reason == "CANCELLED"


@on_a_loop
async def test_closing_the_client_ends_its_runs_and_no_task() -> None:
    async with Endless().served("endless") as (server, client):
        task = asyncio.ensure_future(client.run())
        await soon(lambda: server.engine.active == 1)
        await client.close()
        with pytest.raises(RunAgentError) as caught:
            await task

    assert caught.value.reason == "CANCELLED"


@on_a_loop
async def test_a_stream_that_another_task_closes_ends_for_its_reader_and_no_task() -> None:
    async with Endless().served() as (_, client):
        stream = client.run_stream()
        assert [await anext(stream), await anext(stream)] == [0, 1]
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await stream.close()
        with pytest.raises(RunAgentError) as caught:
            await reading

    assert caught.value.reason == "CANCELLED"


@on_a_loop
async def test_cancelling_the_task_cancels_the_stream() -> None:
    async with Endless().served() as (_, client):
        stream = client.run_stream()
        assert [await anext(stream), await anext(stream)] == [0, 1]
        await cancelled_while(anext(stream))
        assert await anext(stream, "end") == "end"


@on_a_loop
async def test_cancelling_the_task_cancels_the_run() -> None:
    async with Endless().served("endless") as (server, client):
        task = asyncio.ensure_future(client.run())
        await soon(lambda: server.engine.active == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def cancelled_while(waiting: Awaitable[Any]) -> None:
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def close_it(stream: AsyncChunkStream) -> None:
    await stream.close()


async def leave_its_block(stream: AsyncChunkStream) -> None:
    async with stream:
        pass


async def cancel_its_task(stream: AsyncChunkStream) -> None:
    await cancelled_while(anext(stream))


async def time_it_out(stream: AsyncChunkStream) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(stream), 0.02)


async def drop_it(stream: AsyncChunkStream) -> None:
    # The test holds it, too.
    stream.__del__()


@pytest.mark.parametrize("leave", [close_it, leave_its_block, cancel_its_task, time_it_out, drop_it])
def test_a_caller_who_leaves_tells_the_server_that_it_was_on_purpose(
    leave: Callable[[AsyncChunkStream], Awaitable[None]],
) -> None:
    @on_a_loop
    async def check() -> None:
        with scripted(started(), chunks(1, "a"), then_silent=True) as server:
            async with client_of(server, "any_stream") as client:
                stream = client.run_stream()
                assert await anext(stream) == "a"
                await leave(stream)
                await soon(lambda: server.cancelled == [INVOCATION_ID])
                await soon(server.left.is_set)

    check()


@on_a_loop
async def test_a_run_that_is_cancelled_drops_the_call() -> None:
    with scripted() as server:
        async with client_of(server, "any") as client:
            task = asyncio.ensure_future(client.run())
            await soon(lambda: server.calls)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await soon(server.left.is_set)


@on_a_loop
async def test_a_run_that_is_cancelled_before_it_is_connected_says_nothing() -> None:
    with scripted() as server:
        async with client_of(server, "any") as client:
            await cancelled_while(client.run())
        assert server.cancelled == []


@on_a_loop
async def test_tasks_may_share_a_client_from_its_first_call_on() -> None:
    entrypoints: dict[str, Any] = {"one": lambda value: value}
    with serving(entrypoints) as server:
        async with server.async_client("one") as client:
            assert await asyncio.gather(*(client.run(number) for number in range(200))) == list(range(200))


@on_a_loop
async def test_streams_of_one_client_do_not_wait_for_each_other() -> None:
    meeting = asyncio.Barrier(5)

    async def meet_stream() -> AsyncIterator[str]:
        yield "here"
        await meeting.wait()
        yield "all here"

    with serving({"meet_stream": meet_stream}) as server:
        async with server.async_client("meet_stream") as client:
            streams = [client.run_stream() for _ in range(5)]
            assert [await anext(stream) for stream in streams] == ["here"] * 5
            assert [await anext(stream) for stream in streams] == ["all here"] * 5
            assert [[chunk async for chunk in stream] for stream in streams] == [[]] * 5
