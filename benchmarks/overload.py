"""What becomes of calls when there are too many: how much is done all the same, and how the others are refused."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from benchmarks.processes import running
from benchmarks.promises import require
from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, call_pb2, payload_pb2
from runagent_grpc.rpc import GrpcSettings

__all__ = ["BURST", "Burst", "Overload", "burst", "overload"]

BURST = 2_000
_SLOTS = 10
_QUEUED = 10
_WORK_SECONDS = 0.05
_CAPACITY = _SLOTS / _WORK_SECONDS
_ROUND_SECONDS = 3.0
_ROUNDS = 5


@dataclass(slots=True)
class Answers:
    """How calls were answered."""

    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """By the reason; those that say when to try again alone."""
    lost: Counter[str] = field(default_factory=Counter)
    """Whatever else became of a call, by the status."""
    refusal_ms: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What became of calls that came all at once."""

    lost_with_room: int
    """How many did not return, where all of them may run."""
    lost_with_defaults: int
    """How many were neither done nor refused as they should be, where all of them may not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """What twice the capacity makes of a server."""

    goodput: float
    """The share of the work that is still done, beside that at capacity."""
    refusal_ms: float
    """The slowest refusal but one in a hundred, in the round that the machine disturbed least: this can only grow."""
    lost: int
    """How many calls were neither done nor refused as they should be."""


def burst() -> Burst:
    """Makes so many calls at once, where there is room for them, and where there is not."""
    with running("benchmarks.ours", f"max_invocations={BURST}") as roomy:
        answers = asyncio.run(_at_once(roomy.target, 0.1))
        lost_with_room = BURST - answers.done
    with running("benchmarks.ours") as server:
        # Long enough that the first still run when the last comes.
        answers = asyncio.run(_at_once(server.target, 4.0))
        require(answers.refused.total() > 0, "no call was refused")
        return Burst(lost_with_room=lost_with_room, lost_with_defaults=answers.lost.total())


def overload() -> Overload:
    """Measures the work done at capacity, and at twice the capacity, in turns, for the machine is noisy."""
    with running("benchmarks.ours", f"max_invocations={_SLOTS}", f"max_queued={_QUEUED}") as server:

        def loaded(per_second: float) -> Answers:
            return asyncio.run(_steadily(server.target, per_second, seconds=_ROUND_SECONDS))

        loaded(_CAPACITY)
        rounds = [(loaded(_CAPACITY), loaded(2 * _CAPACITY)) for _ in range(_ROUNDS)]
    require(all(beyond.refused["OVERLOADED"] > 0 for _, beyond in rounds), "no call was refused")
    return Overload(
        goodput=statistics.median(beyond.done / at_capacity.done for at_capacity, beyond in rounds),
        refusal_ms=min(statistics.quantiles(beyond.refusal_ms, n=100)[98] for _, beyond in rounds),
        lost=sum(answers.lost.total() for each in rounds for answers in each),
    )


async def _at_once(target: str, seconds: float) -> Answers:
    answers = Answers()
    # Calls beyond a connection's bound would wait in the client, and come one after another.
    count = -(-BURST // GrpcSettings().max_concurrent_streams)
    async with contextlib.AsyncExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [await stack.enter_async_context(grpc.aio.insecure_channel(target, options)) for _ in range(count)]
        await asyncio.gather(*(channel.channel_ready() for channel in channels))
        await asyncio.gather(*(_call(channels[number % count], seconds, answers) for number in range(BURST)))
    return answers


async def _steadily(target: str, per_second: float, *, seconds: float) -> Answers:
    """Makes calls by the clock, whether or not the earlier ones are answered."""
    answers = Answers()
    async with grpc.aio.insecure_channel(target) as channel, asyncio.TaskGroup() as calls:
        await channel.channel_ready()
        began = time.perf_counter()
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(began + number / per_second - time.perf_counter())
            calls.create_task(_call(channel, _WORK_SECONDS, answers))
    return answers


async def _call(channel: grpc.aio.Channel, seconds: float, answers: Answers) -> None:
    # The generated types describe the sync stub; on an aio channel its methods are awaited.
    stub: Any = agent_service_pb2_grpc.AgentServiceStub(channel)
    kwargs = {"seconds": payload_pb2.Payload(json=str(seconds))}
    began = time.perf_counter()
    try:
        await stub.Run(pb.RunRequest(call=call_pb2.Call(entrypoint_tag="pause", kwargs=kwargs)))
        answers.done += 1
    except grpc.aio.AioRpcError as error:
        reason = _reason_of_refusal(error)
        if reason is None:
            answers.lost[f"{error.code().name}: {error.details()}"] += 1
        else:
            answers.refused[reason] += 1
            answers.refusal_ms.append(1000 * (time.perf_counter() - began))


def _reason_of_refusal(error: Any) -> str | None:
    """Returns why the server took a call not on; None for a status that is no refusal, or that says not when to come
    again."""
    status = rpc_status.from_call(error)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    if status is None or error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
        return None
    told = [detail.Unpack(kind) for kind in (info, retry) for detail in status.details if detail.Is(kind.DESCRIPTOR)]
    return info.reason if told == [True, True] else None
