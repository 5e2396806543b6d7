from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.core.runner import ChunkSink
from runagent_grpc.core.store import RequestKey
from runagent_grpc.engine.active import ActiveInvocation, RunOptions
from runagent_grpc.engine.cache import InvocationCache
from runagent_grpc.engine.chunks import ChunkBuffer
from runagent_grpc.engine.ring import ByteBudget, RingLimits
from runagent_grpc.values.payload import Payload
from tests.engine.fake_clock import on_clockwork, passes
from tests.engine.running import identity_of

KIB = 1024


class Endless:
    def discard(self) -> None: ...

    """Work that is in progress for ever."""

    async def result(self) -> Payload:
        await asyncio.Event().wait()
        return ""

    async def stream(self, sink: ChunkSink) -> None:
        await asyncio.Event().wait()


class Room:
    """A memory, and executions that begin and end in it."""

    def __init__(self, *, most: int = 100, limit: int = 10_000 * KIB) -> None:
        self.budget = ByteBudget(limit)
        self.memory = InvocationCache(
            most=most,
            most_requests=most,
            chunk_seconds=60,
            result_seconds=600,
            budget=self.budget,
            clock=asyncio.get_running_loop().time,
        )

    def begin(self, name: str, request_id: str = "", *, streams: bool = False) -> ActiveInvocation:
        loop = asyncio.get_running_loop()
        ring = RingLimits(chunks=1000, bytes=1000 * KIB)
        chunks = ChunkBuffer(loop, window_chunks=9, window_bytes=KIB, ring=ring, budget=self.budget)
        active = ActiveInvocation(
            identity_of(name, request_id=request_id, owner="one"),
            Call(entrypoint_tag="t"),
            options=RunOptions(heartbeat_interval=1.0, run_timeout=None, resumable=True),
            chunks=chunks if streams else None,
            now=lambda: datetime(2024, 1, 1, tzinfo=UTC),
            on_settled=self._end,
        )
        self.memory.add(active, key_of(request_id) if request_id else None)
        active.start(Endless(), on_ended=lambda: None)
        return active

    def _end(self, execution: ActiveInvocation) -> None:
        streams = execution.chunks is not None
        self.memory.end(
            execution, keeps_chunks=streams, keeps_result=not streams and bool(execution.identity.request_id)
        )

    def ended(self, name: str, *, size: int = KIB, streams: bool = False) -> ActiveInvocation:
        """One that has ended with a result, or with chunks, of that size."""
        execution = self.begin(name, request_id=name, streams=streams)
        if execution.chunks is not None:
            execution.chunks.put("x" * size)
        execution.settle(InvocationState.COMPLETED, result=None if streams else "x" * size)
        return execution

    def knows(self, *names: str) -> list[str]:
        """Those of the names whose request is still known, and whose result is still there."""
        found = [self.memory.of_request(key_of(name)) for name in names]
        return [each.invocation_id for each in found if each is not None and each.has_result]


def key_of(request_id: str) -> RequestKey:
    return RequestKey("one", "a", request_id)


@on_clockwork
async def test_what_lives_is_known_by_its_id_and_by_its_request() -> None:
    room = Room()
    assert room.memory.all_ended.is_set()
    one, two = room.begin("1", "r"), room.begin("2")
    memory = room.memory
    assert (memory.live, memory.live_count) == ([one, two], 2)
    assert (memory.get("1"), memory.get("2"), memory.get("3")) == (one, two, None)
    assert (memory.of_request(key_of("r")), memory.of_request(key_of(""))) == (one, None)
    assert not memory.all_ended.is_set()

    one.settle(InvocationState.FAILED)
    assert (memory.live, memory.get("1"), memory.of_request(key_of("r"))) == ([two], one, one)
    memory.drop(two)
    assert (memory.live, memory.get("2"), memory.all_ended.is_set()) == ([], None, True)


@on_clockwork
async def test_what_was_dropped_may_be_asked_for_anew() -> None:
    room = Room()
    first = room.begin("1", "r")
    room.memory.drop(first)
    assert room.memory.of_request(key_of("r")) is None
    second = room.begin("2", "r")
    # Late, and about another one.
    room.memory.drop(first)
    assert room.memory.of_request(key_of("r")) is second


@on_clockwork
async def test_of_too_many_the_one_that_ended_first_is_forgotten_with_all_that_was_kept_of_it() -> None:
    room = Room(most=2)
    long = room.begin("long", "long")
    for name in "abc":
        room.ended(name)
    long.settle(InvocationState.COMPLETED, result="x")
    assert room.knows("a", "b", "c", "long") == ["c", "long"]
    assert [room.memory.get(name) is None for name in ("a", "b", "c", "long")] == [True, True, False, False]
    assert room.budget.used == KIB + 1


@on_clockwork
async def test_calls_that_nobody_can_repeat_push_out_none_that_somebody_may() -> None:
    room = Room(most=2)
    room.ended("a")
    for name in "xyz":
        room.begin(name).settle(InvocationState.COMPLETED)
    assert room.knows("a") == ["a"]
    assert [room.memory.get(name) is None for name in "axyz"] == [False, True, False, False]


@pytest.mark.parametrize("streams", [False, True])
@on_clockwork
async def test_each_thing_is_kept_for_its_time(streams: bool) -> None:
    room = Room()
    seconds = 60 if streams else 600
    room.ended("a", size=100 * KIB, streams=streams)
    await passes(seconds / 2)
    room.ended("b", size=100 * KIB, streams=streams)
    assert room.budget.used == 200 * KIB
    await passes(seconds / 2 + 0.1)
    assert room.budget.used == 100 * KIB
    await passes(seconds / 2)
    await passes(1.0)
    assert room.budget.used == 0
    # The record stays.
    assert room.memory.get("a") is not None


@on_clockwork
async def test_over_the_budget_the_oldest_chunks_go_first_and_then_the_oldest_results() -> None:
    room = Room(limit=350 * KIB)
    result = room.ended("result", size=100 * KIB)
    streams = [room.ended(name, size=100 * KIB, streams=True) for name in "ab"]

    def kept() -> list[bool]:
        return [result.result is not None, *(bool(each.chunks and each.chunks._chunks) for each in streams)]

    assert kept() == [True, True, True]
    room.ended("c", size=100 * KIB)
    assert kept() == [True, False, True]
    room.ended("d", size=200 * KIB)
    assert (kept(), room.budget.used) == ([False, False, False], 300 * KIB)
    assert room.knows("result", "c", "d") == ["c", "d"]
    # Larger than all that may be kept.
    room.ended("e", size=400 * KIB)
    assert (room.knows("c", "d", "e"), room.budget.used) == ([], 0)


@on_clockwork
async def test_a_memory_that_closes_keeps_records_and_nothing_else() -> None:
    room = Room()
    room.ended("a")
    room.ended("b", size=100 * KIB, streams=True)
    room.memory.close()
    assert room.budget.used == 0
    assert room.memory.get("a") is not None
    await passes(3600)
    room.memory.close()


def test_nothing_of_the_keys_runs_together() -> None:
    # A tuple, not a text: no choice of characters makes two of them one.
    keys: list[Any] = [RequestKey("a", "b", "c"), RequestKey("a b", "", "c"), RequestKey("", "a", "b c")]
    assert len({*keys}) == 3
