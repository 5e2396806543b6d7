from __future__ import annotations

import asyncio

import pytest

from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.errors import (
    AbortedError,
    Reason,
    UnavailableError,
)
from runagent_grpc.values.payload import decode
from tests.engine.gates import Gate
from tests.engine.probe_entrypoints import STOPPABLE, Witness, outcome_of
from tests.engine.running import begin, engine_of
from tests.waiting import on_a_loop, soon


@on_a_loop
async def test_draining_waits_for_what_runs_and_refuses_what_comes() -> None:
    began, release = Gate(), Gate()

    def slow() -> str:
        began.set()
        release.wait()
        return "done"

    async with engine_of({"slow": slow}) as engine:
        with await begin(engine, "slow") as reader:
            await soon(began.is_set)
            draining = asyncio.create_task(engine.drain(60))
            await asyncio.sleep(0)

            with pytest.raises(UnavailableError) as caught:
                await begin(engine, "slow")
            assert caught.value.reason is Reason.SHUTTING_DOWN
            assert caught.value.retry_after is not None

            assert not draining.done()
            release.set()
            assert decode(await reader.result()) == "done"
            await draining
        assert engine.active == 0


@pytest.mark.parametrize("tag", STOPPABLE)
@on_a_loop
async def test_draining_gives_up_what_takes_too_long(tag: str) -> None:
    witness = Witness()
    async with engine_of(witness.functions()) as engine:
        with await begin(engine, tag) as reader:
            waiting = asyncio.create_task(outcome_of(reader))
            await soon(witness.began.is_set)
            await engine.drain(0.01)

            assert engine.active == 0
            assert witness.seen[-1] == "finally"
            with pytest.raises(AbortedError, match=r"^The server shut down before the invocation ended\.$") as caught:
                await waiting
        assert caught.value.reason is Reason.INVOCATION_LOST
        assert reader.invocation.state is InvocationState.LOST


@on_a_loop
async def test_draining_leaves_a_thread_behind_that_nothing_can_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runagent_grpc.engine.engine._CLEAN_UP_SECONDS", 0.02)
    witness = Witness()
    async with engine_of(witness.functions()) as engine:
        with await begin(engine, "blocking"):
            await soon(witness.began.is_set)
            await engine.drain(0)
            assert engine.active == 1
        witness.release.set()
        await soon(lambda: engine.active == 0)


@on_a_loop
async def test_draining_an_idle_engine_takes_no_time_and_may_be_repeated() -> None:
    async with engine_of({"fine": lambda: "fine"}) as engine:
        for _ in range(3):
            await engine.drain(3600)


@on_a_loop
async def test_a_drain_waits_for_nobody_whose_outcome_is_known() -> None:
    began, release = Gate(), Gate()

    def stuck() -> None:
        began.set()
        release.wait()

    async with engine_of({"stuck": stuck}) as engine:
        reader = await begin(engine, "stuck")
        await soon(began.is_set)
        reader.leave()
        assert (engine.running, engine.active) == (0, 1)

        # Not the hour, but the moment that `finally` blocks are given.
        await asyncio.wait_for(engine.drain(3600), 30)

        assert engine.active == 1
        release.set()
        await soon(lambda: engine.active == 0)
