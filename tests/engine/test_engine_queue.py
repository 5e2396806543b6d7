"""Calls that wait for a slot: who goes first, who goes away, and what is told of those that never ran."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from runagent_grpc import current_invocation
from runagent_grpc.core.call import OnDisconnect
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.engine import Engine
from runagent_grpc.errors import (
    DeadlineExceededError,
    InvocationCancelledError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from tests.engine.agent_source import AgentSource
from tests.engine.fake_clock import on_clockwork, passes, turns, until
from tests.engine.gated_generators import now
from tests.engine.gates import Gate, Notes
from tests.engine.running import Recording, begin, engine_of, result_of, served
from tests.waiting import on_a_loop


class Desk:
    """Entrypoints whose calls, named by a letter, are let go one by one."""

    def __init__(self) -> None:
        self._began = Notes()
        self._gates = {name: Gate() for name in "abcde"}

    @property
    def began(self) -> list[str]:
        return self._began.values

    async def serve(self, name: str) -> str:
        self._began.append(name)
        await self._gates[name].wait_async()
        return name

    def let_go(self, name: str) -> None:
        self._gates[name].set()

    async def has_begun(self, names: str) -> None:
        """Waits until these have begun, in this order, and no others."""
        await until(lambda: len(self._began) >= len(names))
        await turns()
        assert self.began == [*names]

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {"serve": self.serve, "serve_too": self.serve}


def called(engine: Engine, name: str, tag: str = "serve", **fields: Any) -> asyncio.Task[Any]:
    return asyncio.create_task(result_of(engine, tag, name, fields=fields))


def cap(engine: Engine, tag: str, most: int) -> None:
    """Lets so many calls of an entrypoint run at once, as a configuration does."""
    served = engine.agents.find("")
    entrypoints = dict(served.manifest.entrypoints)
    entrypoints[tag] = replace(entrypoints[tag], max_concurrent=most)
    engine.agents.replace(replace(served, manifest=replace(served.manifest, entrypoints=entrypoints)))


@on_clockwork
async def test_calls_beyond_the_slots_wait_and_run_in_the_order_in_which_they_came() -> None:
    desk, recording = Desk(), Recording()
    async with engine_of(desk.functions(), recorder=recording, max_invocations=2, clock=now) as engine:
        calls = [called(engine, name) for name in "abcde"]
        await desk.has_begun("ab")
        assert (engine.running, engine.active) == (5, 2)
        # Nothing is told of those that wait.
        assert recording.events == [("started", "RUNNING")] * 2
        for name, begun in zip("badce", ["abc", "abcd", "abcde", "abcde", "abcde"], strict=True):
            desk.let_go(name)
            await desk.has_begun(begun)
        assert await asyncio.gather(*calls) == [*"abcde"]
        assert recording.events.count(("ended", "COMPLETED")) == 5
    assert (engine.running, engine.active, engine._queued) == (0, 0, {})


@on_clockwork
async def test_an_entrypoint_has_slots_of_its_own_and_the_others_go_past_those_who_wait_for_it() -> None:
    desk = Desk()
    async with engine_of(desk.functions(), max_invocations=3, clock=now) as engine:
        cap(engine, "serve", 1)
        calls = [called(engine, name) for name in "ab"] + [called(engine, name, "serve_too") for name in "cde"]
        await desk.has_begun("acd")
        desk.let_go("c")
        await desk.has_begun("acde")
        for name in "adeb":
            desk.let_go(name)
            await desk.has_begun("acdeb")
        await asyncio.gather(*calls)


@on_clockwork
async def test_a_queue_that_is_full_refuses_at_once_and_says_when_to_come_back() -> None:
    desk, recording = Desk(), Recording()
    async with engine_of(desk.functions(), recorder=recording, max_invocations=1, max_queued=2, clock=now) as engine:
        calls = [called(engine, name) for name in "abc"]
        await turns()
        with pytest.raises(ResourceExhaustedError) as caught:
            await begin(engine, "serve", "d")
        assert caught.value.message == "The server runs 1 invocations already, and 2 wait."
        assert (caught.value.reason, caught.value.retry_after) == (Reason.OVERLOADED, 1.0)
        assert engine.running == 3
        for name in "abc":
            desk.let_go(name)
        assert await asyncio.gather(*calls) == [*"abc"]
        desk.let_go("d")
        assert await result_of(engine, "serve", "d") == "d"


@on_clockwork
async def test_a_call_that_is_cancelled_while_it_waits_never_runs_and_frees_its_place() -> None:
    desk, recording = Desk(), Recording()
    async with engine_of(desk.functions(), recorder=recording, max_invocations=1, max_queued=1, clock=now) as engine:
        running = called(engine, "a")
        await desk.has_begun("a")
        for how in ("cancel", "leave"):
            reader = await begin(engine, "serve", "b")
            assert reader.invocation.state is InvocationState.QUEUED
            if how == "cancel":
                engine.cancel(reader.invocation.invocation_id)
                with pytest.raises(InvocationCancelledError):
                    await reader.result()
            reader.leave()
            assert engine.find(reader.invocation.invocation_id).state is InvocationState.CANCELLED
            assert (reader.elapsed, engine.running) == (0.0, 1)
        desk.let_go("a")
        await running
        await until(lambda: engine.active == 0)
    assert desk.began == ["a"]
    # They are part of the history all the same.
    assert recording.events[1:5] == [("started", "CANCELLED"), ("ended", "CANCELLED")] * 2


@on_clockwork
async def test_the_time_to_run_passes_while_a_call_waits() -> None:
    desk, recording = Desk(), Recording()
    async with engine_of(desk.functions(), recorder=recording, max_invocations=1, clock=now) as engine:
        running = called(engine, "a")
        await desk.has_begun("a")
        waiting = called(engine, "b", run_timeout=5.0)
        await turns()
        await passes(5.1)
        with pytest.raises(DeadlineExceededError, match="timed out after 5 s"):
            await waiting
        desk.let_go("a")
        await running
    assert desk.began == ["a"]
    assert ("started", "TIMED_OUT") in recording.events


@pytest.mark.in_process("the fake clock does not drive another process")
@on_clockwork
async def test_a_call_that_waited_has_the_rest_of_its_time() -> None:
    async def left() -> float | None:
        return current_invocation().time_remaining

    desk = Desk()
    async with engine_of({**desk.functions(), "left": left}, max_invocations=1, clock=now) as engine:
        running = called(engine, "a")
        await desk.has_begun("a")
        waiting = asyncio.create_task(result_of(engine, "left", fields={"run_timeout": 5.0}))
        await turns()
        await passes(3)
        desk.let_go("a")
        assert await waiting == 2.0
        await running


@on_clockwork
async def test_a_lingering_call_keeps_its_place_until_its_window_is_over() -> None:
    desk = Desk()
    async with engine_of(desk.functions(), max_invocations=1, clock=now) as engine:
        running = called(engine, "a")
        await desk.has_begun("a")
        for name in "bc":
            (await begin(engine, "serve", name, fields={"on_disconnect": OnDisconnect.LINGER})).leave()
        (await begin(engine, "serve", "d", fields={"on_disconnect": OnDisconnect.DETACH})).leave()
        await passes(9)
        desk.let_go("a")
        await running
        await desk.has_begun("ab")
        await passes(2)
        await desk.has_begun("abd")
        desk.let_go("d")
        await until(lambda: engine.active == 0)


@on_clockwork
async def test_a_drain_lets_those_who_wait_run_within_the_grace() -> None:
    desk = Desk()
    async with engine_of(desk.functions(), max_invocations=1, clock=now) as engine:
        calls = [called(engine, name) for name in "abc"]
        await turns()
        draining = asyncio.create_task(engine.drain(30))
        await turns()
        for name in "abc":
            assert not draining.done()
            desk.let_go(name)
            await calls["abc".index(name)]
        assert await asyncio.gather(*calls) == [*"abc"]
        await draining


@on_clockwork
async def test_what_never_ran_before_the_server_went_is_in_no_history_and_may_be_asked_for_again() -> None:
    desk, recording = Desk(), Recording()
    async with engine_of(desk.functions(), recorder=recording, max_invocations=1, clock=now) as engine:
        running = await begin(engine, "serve", "a")
        await desk.has_begun("a")
        waiting = await begin(engine, "serve", "b", fields={"request_id": "r"})
        draining = asyncio.create_task(engine.drain(30))
        await turns()
        await passes(31)
        await draining

        with pytest.raises(UnavailableError) as caught:
            await waiting.result()
        assert (caught.value.reason, caught.value.retry_after) == (Reason.SHUTTING_DOWN, 1.0)
        with pytest.raises(NotFoundError):
            engine.find(waiting.invocation.invocation_id)
        with pytest.raises(UnavailableError):
            await begin(engine, "serve", "b", fields={"request_id": "r"})
        for reader in (running, waiting):
            reader.leave()
    assert recording.events == [("started", "RUNNING"), ("ended", "LOST")]
    assert desk.began == ["a"]


@on_a_loop
async def test_a_drain_with_nobody_who_could_end_lets_the_loop_go_on() -> None:
    async with engine_of(Desk().functions(), max_invocations=0) as engine:
        waiting = await begin(engine, "serve", "a")
        draining = asyncio.create_task(engine.drain(5))
        await turns()
        # It waits, and has not held the loop until its time was up.
        assert not draining.done()
        waiting.leave()
        await draining


@on_clockwork
async def test_each_caller_has_a_rate_of_its_own_and_joining_costs_nothing() -> None:
    async with engine_of({"fine": lambda: None}, rate_limit=2.0, clock=now) as engine:
        for owner in ("one", "two"):
            for request_id in ("r", "s"):
                for _ in range(3):
                    (await begin(engine, "fine", fields={"owner": owner, "request_id": request_id})).leave()
            with pytest.raises(ResourceExhaustedError) as caught:
                await begin(engine, "fine", fields={"owner": owner, "request_id": "t"})
            assert (caught.value.reason, caught.value.retry_after) == (Reason.RATE_LIMITED, 0.5)
        await passes(0.6)
        (await begin(engine, "fine", fields={"owner": "one"})).leave()
        # What asks for history or cancels is never held back.
        with pytest.raises(NotFoundError):
            engine.cancel("unknown", owner="one")


@on_clockwork
async def test_calls_end_on_the_entrypoints_with_which_they_began() -> None:
    desk = Desk()

    async def newer(name: str) -> str:
        return f"newer {name}"

    async with engine_of(desk.functions(), max_invocations=1, clock=now) as engine:
        calls = [called(engine, name) for name in "ab"]
        await desk.has_begun("a")
        async with served(AgentSource(functions={"serve": newer}, max_payload_bytes=1000)) as agent:
            engine.agents.replace(agent)
            calls.append(called(engine, "c"))
            await turns()
            for name in "ab":
                desk.let_go(name)
            assert await asyncio.gather(*calls) == ["a", "b", "newer c"]
