"""One stream or one client in several hands: threads, tasks, event loops."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runagent_grpc import errors
from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient
from runagent_grpc.testing import serving
from tests.client.fakes import chunks, scripted, started
from tests.waiting import eventually, on_a_loop


def test_a_second_thread_that_reads_a_stream_is_told_so_and_the_first_goes_on() -> None:
    with (
        scripted(started(), chunks(1, "a"), then_silent=True) as server,
        RunAgentClient(None, "any_stream", base_url=server.base_url) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        stream = client.run_stream()
        assert next(stream) == "a"
        reading = pool.submit(next, stream, "end")
        eventually(lambda: stream._reading.locked())
        with pytest.raises(errors.InvalidRequestError, match=r"Another thread is reading this stream\. Let one"):
            next(stream)
        assert not reading.done()
        stream.close()
        assert isinstance(reading.exception(10), errors.InvocationCancelledError)


@on_a_loop
async def test_a_second_task_that_reads_a_stream_is_told_so_and_the_first_goes_on() -> None:
    with scripted(started(), chunks(1, "a"), then_silent=True) as server:
        async with AsyncRunAgentClient(None, "any_stream", base_url=server.base_url) as client:
            stream = client.run_stream()
            assert await anext(stream) == "a"
            reading = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            with pytest.raises(errors.InvalidRequestError, match="Another task is reading this stream"):
                await anext(stream)
            assert not reading.done()
            await stream.close()
            with pytest.raises(errors.InvocationCancelledError):
                await reading


def test_a_client_of_an_earlier_event_loop_says_what_to_do() -> None:
    with serving({"one": lambda value: value}) as server:
        client = server.async_client("one")
        assert asyncio.run(client.run(1)) == 1
        with pytest.raises(errors.InvalidRequestError, match="another event loop") as caught:
            asyncio.run(client.run(2))
        assert "await client.close()" in (caught.value.suggestion or "")
        asyncio.run(client.close())
        assert asyncio.run(run_and_close(client, 3)) == 3


async def run_and_close(client: AsyncRunAgentClient, value: int) -> Any:
    async with client:
        return await client.run(value)
