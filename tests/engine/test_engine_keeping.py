"""What all that is kept may take together, and when it is let go."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from runagent_grpc.core.call import OnDisconnect
from runagent_grpc.engine import Engine
from runagent_grpc.errors import Reason, ReplayExpiredError
from runagent_grpc.values.payload import decode
from tests.engine.fake_clock import on_clockwork, passes, turns, until
from tests.engine.gated_generators import Follower, now, refused, resumed
from tests.engine.running import begin, engine_of, read_all, result_of

REQUEST = {"request_id": "r", "owner": "one"}


async def double(value: str) -> str:
    return value * 2


async def items(count: int) -> AsyncIterator[str]:
    for _ in range(count):
        yield "x" * 15_000


FUNCTIONS: dict[str, Callable[..., Any]] = {"double": double, "items_stream": items}


async def ended_stream(engine: Engine, count: int) -> str:
    reader = await begin(engine, "items_stream", count, fields={"on_disconnect": OnDisconnect.DETACH})
    await Follower(reader).rest()
    return reader.invocation.invocation_id


@on_clockwork
async def test_a_large_result_stays_with_those_who_wait_for_it_and_goes_when_they_leave() -> None:
    async with engine_of({"double": double}, kept_bytes=1000, clock=now) as engine:
        readers = [await begin(engine, "double", "x" * 1000, fields=REQUEST) for _ in range(5)]
        await until(lambda: engine.running == 0)
        await turns()
        # There was no room for it; the five have it all the same.
        assert engine._budget.used == 0
        for reader in readers:
            assert decode(await reader.result()) == "x" * 2000
        execution = engine._lookup.active(readers[0].invocation_id, "one")
        for reader in readers:
            assert execution.result is not None
            reader.leave()
        assert execution.result is None
        with pytest.raises(ReplayExpiredError):
            await begin(engine, "double", "x" * 1000, fields=REQUEST)


@on_clockwork
async def test_the_oldest_results_give_way_when_all_of_them_take_too_much() -> None:
    async with engine_of({"double": double}, kept_bytes=1000, clock=now) as engine:
        for number in range(10):
            await result_of(engine, "double", "x" * 100, fields={"request_id": str(number)})
            await turns()
            assert engine._budget.used <= 1000
        known = []
        for number in range(10):
            try:
                await result_of(engine, "double", "x" * 100, fields={"request_id": str(number)})
                known.append(number)
            except ReplayExpiredError:
                pass
        assert known == [5, 6, 7, 8, 9]


@on_clockwork
async def test_chunks_give_way_before_results_and_those_that_ended_first_go_first() -> None:
    async with engine_of(FUNCTIONS, kept_bytes=300_000, window_chunks=8, clock=now) as engine:
        await result_of(engine, "double", "x" * 100, fields=REQUEST)
        first, second, third = [await ended_stream(engine, 8) for _ in range(3)]
        await turns()
        assert engine._budget.used <= 300_000
        assert (await refused(engine, first, 0)).reason is Reason.REPLAY_EXPIRED
        for invocation_id in (second, third):
            assert len((await (await resumed(engine, invocation_id, 0)).rest()).values) == 8
        assert await result_of(engine, "double", "x" * 100, fields=REQUEST) == "x" * 200
        await passes(3600)
        await passes(1)
        assert engine._budget.used == 0


@on_clockwork
async def test_the_chunks_are_let_go_in_time_though_a_result_is_kept_for_longer() -> None:
    async with engine_of(FUNCTIONS, clock=now) as engine:
        await result_of(engine, "double", "x", fields=REQUEST)
        await ended_stream(engine, 8)
        assert engine._budget.used == 120_002
        await passes(61)
        assert engine._budget.used == 2


@on_clockwork
async def test_a_result_is_let_go_in_time_though_chunks_are_kept_for_longer() -> None:
    async with engine_of(FUNCTIONS, ring_seconds=3600, clock=now) as engine:
        await ended_stream(engine, 8)
        await result_of(engine, "double", "x", fields=REQUEST)
        assert engine._budget.used == 120_002
        await passes(601)
        assert engine._budget.used == 120_000


@pytest.mark.parametrize(("tag", "fields"), [("double", REQUEST), ("items_stream", {}), ("items_stream", REQUEST)])
@on_clockwork
async def test_what_is_remembered_of_a_call_is_little(tag: str, fields: dict[str, Any]) -> None:
    calls = 100
    async with engine_of(FUNCTIONS, clock=now) as engine:

        async def call(number: int) -> None:
            own = {**fields, "request_id": fields and f"request {number}"}
            with await begin(engine, tag, "x" if tag == "double" else 16, fields=own) as reader:
                await (read_all(reader, []) if tag == "items_stream" else reader.result())

        for number in range(10):
            await call(-number)
        await passes(61)
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, calls + 1):
            await call(number)
        await turns()
        # The chunks are gone; the record, and a result, are there.
        await passes(61)
        await passes(1)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (after - before) / calls < 2000
