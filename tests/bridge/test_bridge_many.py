"""Many streams at once, of entrypoints that block: health is quick, pings are answered, nobody queues."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator

import httpx

from runagent_grpc.testing import serving
from tests.bridge.http_helpers import AGENT, talking
from tests.waiting import on_a_loop

STREAMS = 50


def sleepy_stream(count: int) -> Iterator[int]:
    for number in range(count):
        time.sleep(0.02)
        yield number


@on_a_loop
async def test_fifty_sleeping_streams_keep_neither_health_nor_pings_nor_each_other_waiting() -> None:
    first = json.dumps({"entrypoint_tag": "sleepy_stream", "input_args": [50]})
    waits: list[float] = []
    with serving({"sleepy_stream": sleepy_stream}) as server:

        async def stream() -> int:
            async with talking(server) as socket:
                await socket.send(first)
                await (await socket.ping())
                return len([frame async for frame in socket])

        async with httpx.AsyncClient(base_url=server.http_url, trust_env=False) as client:
            began = time.monotonic()
            streams = [asyncio.create_task(stream()) for _ in range(STREAMS)]
            while not all(task.done() for task in streams):
                asked = time.monotonic()
                assert (await client.get("/api/v1/health")).status_code == 200
                waits.append(time.monotonic() - asked)
            lengths = await asyncio.gather(*streams)
            elapsed = time.monotonic() - began

    assert lengths == [52] * STREAMS
    # One after the other they would take a minute.
    assert elapsed < 15
    # This process is client and server in one, with one interpreter lock; benchmarks measure the promise itself.
    assert sorted(waits)[len(waits) // 2] < 0.25


@on_a_loop
async def test_a_stream_that_never_pauses_leaves_the_others_their_turn() -> None:
    def endless_stream() -> Iterator[int]:
        while True:
            yield 1

    with serving({"endless_stream": endless_stream}) as server:
        async with talking(server) as socket, httpx.AsyncClient(base_url=server.http_url, trust_env=False) as client:
            await socket.send(json.dumps({"entrypoint_tag": "endless_stream"}))
            reading = asyncio.create_task(_read_on(socket))
            for _ in range(5):
                assert (await client.get(f"{AGENT}/architecture")).status_code == 200
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _read_on(socket: object) -> None:
    async for _ in socket:  # type: ignore[attr-defined]
        pass
