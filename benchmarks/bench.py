"""How fast we are beside bare grpc.aio, both measured in one run, in turns, for the machine is noisy.

python -m benchmarks.bench
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import grpc

from benchmarks.processes import ServerProcess, running
from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, call_pb2, payload_pb2
from runagent_grpc.client import RunAgentClient

__all__ = ["CALLS", "call_speed", "calls_per_second", "first_chunk", "main", "stream_speed", "stub_of"]

CHUNKS = 100_000
BARE_CHUNKS = 20_000
CALLS = 1_600
CONCURRENCY = 32
ROUNDS = 5


def main() -> None:
    """Prints a table of figures and ratios."""
    with running("benchmarks.bare") as bare, running("benchmarks.ours") as ours:
        _row("chunks/s, sync generator to our client", *stream_speed(bare, ours, "count_stream"))
        _row("chunks/s, async generator to our client", *stream_speed(bare, ours, "count_async_stream"))
        _row("ms to the first chunk", *first_chunk(bare, ours))
        _row("calls/s, async def, 32 at a time", *call_speed(bare, ours, "echo_async"))
        _row("calls/s, def, 32 at a time", *call_speed(bare, ours, "echo"))


def stream_speed(bare: ServerProcess, ours: ServerProcess, tag: str) -> tuple[float, float]:
    """Returns chunks per second on one stream: one message a chunk between grpc.aio's own, and ours to our client."""
    return _in_turns(
        lambda: BARE_CHUNKS / asyncio.run(_bare_stream(bare.target, BARE_CHUNKS))[1],
        lambda: CHUNKS / _our_stream(ours.target, tag, CHUNKS)[1],
    )


def first_chunk(bare: ServerProcess, ours: ServerProcess) -> tuple[float, float]:
    """Returns the milliseconds from the call to its first chunk."""
    return _in_turns(
        lambda: 1000 * statistics.median(asyncio.run(_bare_stream(bare.target, 2000))[0] for _ in range(10)),
        lambda: 1000 * statistics.median(_our_stream(ours.target, "count_stream", 2000)[0] for _ in range(10)),
    )


def call_speed(bare: ServerProcess, ours: ServerProcess, tag: str) -> tuple[float, float]:
    """Returns unary calls per second, 32 at a time, from the same plain stub."""
    return _in_turns(
        lambda: asyncio.run(calls_per_second(bare.target, tag)), lambda: asyncio.run(calls_per_second(ours.target, tag))
    )


async def _bare_stream(target: str, chunks: int) -> tuple[float, float]:
    """Returns the seconds to the first chunk, and to the last."""
    async with grpc.aio.insecure_channel(target) as channel:
        stub = stub_of(channel)
        await channel.channel_ready()
        kwargs = {"n": payload_pb2.Payload(json=str(chunks))}
        began, first, count = time.perf_counter(), 0.0, 0
        async for message in stub.RunStream(pb.RunStreamRequest(call=call_pb2.Call(kwargs=kwargs))):
            if not count:
                first = time.perf_counter() - began
            count += len(message.chunks.values)
        assert count == chunks
        return first, time.perf_counter() - began


def _our_stream(target: str, tag: str, chunks: int) -> tuple[float, float]:
    with RunAgentClient("benchmark", tag, base_url=f"grpc://{target}") as client:
        client.list_agents()
        began, first, count = time.perf_counter(), 0.0, 0
        for _ in client.run_stream(n=chunks):
            if not count:
                first = time.perf_counter() - began
            count += 1
        assert count == chunks
        return first, time.perf_counter() - began


async def calls_per_second(target: str, tag: str) -> float:
    """Returns how many unary calls a second one plain stub gets answered."""
    kwargs = {"message": payload_pb2.Payload(text="hello")}
    request = pb.RunRequest(call=call_pb2.Call(entrypoint_tag=tag, kwargs=kwargs))
    async with grpc.aio.insecure_channel(target) as channel:
        stub = stub_of(channel)
        await channel.channel_ready()

        async def some() -> None:
            for _ in range(CALLS // CONCURRENCY):
                await stub.Run(request)

        began = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(CONCURRENCY)))
        return CALLS / (time.perf_counter() - began)


def stub_of(channel: grpc.aio.Channel) -> Any:
    # The generated types describe the sync stub; on an aio channel its methods are awaited.
    return agent_service_pb2_grpc.AgentServiceStub(channel)


def _in_turns(bare: Callable[[], float], ours: Callable[[], float]) -> tuple[float, float]:
    """Returns the median of each, measured one after the other, over and over."""
    bare(), ours()
    rounds = [(bare(), ours()) for _ in range(ROUNDS)]
    return statistics.median(one for one, _ in rounds), statistics.median(other for _, other in rounds)


def _row(what: str, bare: float, ours: float) -> None:
    sys.stdout.write(f"{what:<42} bare {bare:>12,.1f}   ours {ours:>12,.1f}   {ours / bare:>7.2f}x\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
