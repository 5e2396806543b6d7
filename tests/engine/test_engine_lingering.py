"""What becomes of streams whose reader has left."""

from __future__ import annotations

import pytest

from runagent_grpc.core.call import OnDisconnect
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.engine import Engine
from runagent_grpc.errors import (
    InvocationCancelledError,
)
from tests.engine.fake_clock import on_clockwork, passes, turns, until
from tests.engine.gated_generators import DETACH, TAGS, Tap, now, opened, resumed
from tests.engine.running import Recording, engine_of

EACH = pytest.mark.parametrize("tag", TAGS)


def state_of(engine: Engine, invocation_id: str) -> InvocationState:
    return engine.find(invocation_id).state


@on_clockwork
async def test_a_lingering_stream_goes_on_for_its_window_and_is_then_cancelled() -> None:
    tap, recording = Tap(), Recording()
    async with engine_of(tap.functions(), recorder=recording, clock=now) as engine:
        invocation_id, reading = await opened(engine)
        tap.open(1)
        await until(lambda: reading.values == [1])
        await reading.stop()
        tap.open(3)
        await until(lambda: tap.produced == 4)
        await passes(9.9)
        assert (tap.produced, state_of(engine, invocation_id)) == (4, InvocationState.RUNNING)

        # Whoever comes back in time stops the clock, and whoever leaves again starts it anew.
        second = await resumed(engine, invocation_id, 1)
        await until(lambda: second.values == [2, 3, 4])
        await passes(3600)
        assert second.values == [2, 3, 4]
        await second.stop()
        await passes(9.9)
        assert state_of(engine, invocation_id) is InvocationState.RUNNING
        await passes(0.2)

        invocation = engine.find(invocation_id)
        assert invocation.state is InvocationState.CANCELLED
        assert invocation.cause == "The connection was cut; nobody came back within 10 s."
        await until(lambda: tap.closed == 1)
        # It can still be looked at, as any that has failed.
        third = await (await resumed(engine, invocation_id, 2)).rest()
        assert third.values == [3, 4]
        assert isinstance(third.error, InvocationCancelledError)
        assert third.error.message == invocation.cause
    assert recording.events == [("started", "RUNNING"), ("ended", "CANCELLED")]


@on_clockwork
async def test_a_lingering_caller_who_leaves_for_good_is_not_waited_for() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, reading = await opened(engine)
        tap.open(1)
        await until(lambda: reading.values == [1])
        await reading.stop(for_good=True)
        assert state_of(engine, invocation_id) is InvocationState.CANCELLED
        assert engine.find(invocation_id).cause == "The connection was cut."


@on_clockwork
async def test_ten_seconds_are_the_window_of_a_caller_who_says_none() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, reading = await opened(engine, {"on_disconnect": OnDisconnect.LINGER})
        await turns()
        await reading.stop()
        await passes(9.9)
        assert state_of(engine, invocation_id) is InvocationState.RUNNING
        await passes(0.2)
        assert state_of(engine, invocation_id) is InvocationState.CANCELLED


@EACH
@pytest.mark.parametrize("for_good", [False, True])
@on_clockwork
async def test_a_detached_stream_runs_to_its_end_without_anybody(tag: str, for_good: bool) -> None:
    tap = Tap()
    async with engine_of(tap.functions(), window_chunks=2, clock=now) as engine:
        invocation_id, reading = await opened(engine, DETACH, tag)
        await turns()
        await reading.stop(for_good=for_good)
        tap.open(50)
        tap.end()
        # Far beyond the window.
        await until(lambda: state_of(engine, invocation_id) is InvocationState.COMPLETED)
        late = await (await resumed(engine, invocation_id, 0)).rest()
        assert late.values == [*range(1, 51)]
