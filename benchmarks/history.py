"""What history costs: calls of an entrypoint that does nothing, on two servers of which one keeps history, in turns.

And what it costs to share it: calls with a request_id, on a server that is alone and on one of two of an agent.

python -m benchmarks.history
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import grpc

from benchmarks.bench import CALLS, calls_per_second, stub_of
from benchmarks.processes import ServerProcess, running
from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2, payload_pb2

__all__ = ["main"]

ROUNDS = 15
CALLS_IN_A_ROW = 200
_TAG = "echo_async"


def main() -> None:
    """Prints a table of figures, and of the ratio in each round: its median and the middle half of them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running("benchmarks.ours") as without,
        running("benchmarks.ours", f"history={Path(folder) / 'history.db'}") as kept,
    ):
        _compare(
            "calls/s, 32 at a time", without, kept, lambda server: asyncio.run(calls_per_second(server.target, _TAG))
        )
        _compare("ms a call, one after another", without, kept, lambda server: asyncio.run(_latency(server.target)))
        _compare("us of processor time a call", without, kept, _processor_time)
        with (
            running("benchmarks.ours", f"history={Path(folder) / 'shared.db'}") as one_of_two,
            running("benchmarks.ours", f"history={Path(folder) / 'shared.db'}"),
        ):
            _compare(
                "ms a call that claims its id",
                kept,
                one_of_two,
                lambda server: asyncio.run(_latency(server.target, claims=True)),
                names=("alone", "one of two"),
            )
        size = sum(entry.stat().st_size for entry in os.scandir(folder) if entry.name.startswith("history.db"))
        sys.stdout.write(f"The history has {size / 1e6:.1f} MB.\n")


async def _latency(target: str, *, claims: bool = False) -> float:
    """Returns the median of the milliseconds that a call takes; one with a request_id of its own where it claims."""
    kwargs = {"message": payload_pb2.Payload(text="hello")}
    taken = []
    async with grpc.aio.insecure_channel(target) as channel:
        stub = stub_of(channel)
        await channel.channel_ready()
        for _ in range(CALLS_IN_A_ROW):
            request_id = str(uuid.uuid4()) if claims else ""
            request = pb.RunRequest(call=call_pb2.Call(entrypoint_tag=_TAG, kwargs=kwargs, request_id=request_id))
            began = time.perf_counter()
            await stub.Run(request)
            taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def _processor_time(server: ServerProcess) -> float:
    """Returns the microseconds of processor time that the server takes for a call, whatever else the machine does."""
    before = server.state()["cpu_seconds"]
    asyncio.run(calls_per_second(server.target, _TAG))
    # The rows are written within a moment.
    time.sleep(0.1)
    return float(server.state()["cpu_seconds"] - before) / CALLS * 1_000_000


def _compare(
    what: str,
    without: ServerProcess,
    kept: ServerProcess,
    measure: Callable[[ServerProcess], float],
    *,
    names: tuple[str, str] = ("without", "with"),
) -> None:
    measure(without), measure(kept)
    pairs = []
    for number in range(ROUNDS):
        # Whoever is first in a round may be so because of what the machine did then.
        order = (without, kept) if number % 2 else (kept, without)
        figures = {server.port: measure(server) for server in order}
        pairs.append((figures[without.port], figures[kept.port]))
    low, middle, high = statistics.quantiles([other / one for one, other in pairs], n=4)
    without_it, with_it = (statistics.median(figures) for figures in zip(*pairs, strict=True))
    sys.stdout.write(
        f"{what:<30} {names[0]:>7} {without_it:>9,.2f} {names[1]:>10} {with_it:>9,.2f}   "
        f"{middle:5.3f}x ({low:5.3f} to {high:5.3f})\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
