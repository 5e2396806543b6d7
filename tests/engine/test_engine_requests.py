"""One request_id, many calls: what counts as the same, who runs, and how long the outcome is there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from runagent_grpc.core.call import OnDisconnect
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.core.principal import Principal
from runagent_grpc.errors import (
    ConflictError,
    ExecutionFailedError,
    InvalidRequestError,
    InvocationCancelledError,
    NotFoundError,
    Reason,
    ReplayExpiredError,
    ResourceExhaustedError,
    UnavailableError,
)
from runagent_grpc.values.payload import Json
from tests.engine.fake_clock import on_clockwork, passes, turns, until
from tests.engine.fake_journal import Shelf
from tests.engine.gated_generators import Tap, now, opened, refused
from tests.engine.gates import Gate, Notes
from tests.engine.running import Recording, begin, call_of, engine_of, result_of
from tests.waiting import on_a_loop, soon

REQUEST = {"request_id": "r", "owner": "one"}


class Slow:
    """An entrypoint that takes its time, and counts."""

    def __init__(self) -> None:
        self._happened = Notes()
        self.go = Gate()

    @property
    def runs(self) -> int:
        return self._happened.values.count("began")

    @property
    def stopped(self) -> int:
        return self._happened.values.count("stopped")

    async def double(self, value: str = "") -> str:
        self._happened.append("began")
        try:
            await self.go.wait_async()
        except asyncio.CancelledError:
            self._happened.append("stopped")
            raise
        return value * 2


CALL = call_of("echo", 1, b="2", fields={"request_id": "r", "owner": "one", "user_id": "u"})


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"args": (Json("1"),)}, True),
        ({"args": [Json("1.0")]}, False),
        ({"args": [Json("true")]}, False),
        ({"args": ["1"]}, False),
        ({"args": [Json("1"), Json("null")]}, False),
        ({"args": []}, False),
        ({"kwargs": {}}, False),
        ({"kwargs": {"b": Json("2")}}, False),
        ({"kwargs": {"b": b"2"}}, False),
        ({"kwargs": {"b": Json(' "2"')}}, True),
        ({"kwargs": {"b": "2", "c": Json("null")}}, False),
        ({"kwargs": {"c": "2"}}, False),
        ({"entrypoint_tag": "echo_too"}, False),
        ({"user_id": ""}, False),
        ({"persistent_memory": True}, False),
        ({"principal": Principal(subject="two")}, None),
        ({"request_id": "R"}, None),
        ({"agent_id": "test-agent"}, True),
        # How long the caller waits, and over which wire, is not what it asks for.
        ({"deadline": 30.0, "run_timeout": 20.0, "transport": "http"}, True),
        ({"on_disconnect": OnDisconnect.DETACH, "resume_window": 1.0}, True),
    ],
    ids=str,
)
@on_a_loop
async def test_a_request_is_the_same_where_it_asks_for_the_same(changes: dict[str, Any], same: bool | None) -> None:
    """`same` is None where it is a request of its own."""

    def echo(*args: Any, **kwargs: Any) -> str:
        return repr((args, kwargs))

    recording = Recording()
    async with engine_of({"echo": echo, "echo_too": echo}, recorder=recording) as engine:
        for call in (CALL, CALL):
            with await engine.start(call, streaming=False) as reader:
                await reader.result()
        assert len(recording.invocations) == 1

        if same is False:
            with pytest.raises(ConflictError) as caught:
                await engine.start(replace(CALL, **changes), streaming=False)
            assert caught.value.reason is Reason.REQUEST_ID_REUSED
        else:
            with await engine.start(replace(CALL, **changes), streaming=False) as reader:
                await reader.result()
            assert len(recording.invocations) == (1 if same else 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"a", {"binary": "61"}),
        (b"a", "61"),
        (b"", None),
        (b"a", ["61"]),
        ("a", ["a"]),
        ({"a": {"b": 1}}, {"a": 1, "b": 1}),
        (2**53, 2**53 + 1),
        (["a", "b"], ["a,b"]),
    ],
    ids=str,
)
@on_a_loop
async def test_arguments_that_look_alike_are_told_apart(one: Any, other: Any) -> None:
    async with engine_of({"echo": lambda value: None}) as engine:
        await result_of(engine, "echo", one, fields=REQUEST)
        with pytest.raises(ConflictError):
            await begin(engine, "echo", other, fields=REQUEST)


@on_a_loop
async def test_the_order_of_names_tells_nothing_apart() -> None:
    calls = Notes()
    async with engine_of({"echo": lambda value, more: calls.append(value)}) as engine:
        await result_of(engine, "echo", fields=REQUEST, value={"a": 1, "b": 2}, more=3)
        await result_of(engine, "echo", fields=REQUEST, more=3, value={"b": 2, "a": 1})
    assert len(calls) == 1


@on_a_loop
async def test_a_request_id_that_is_too_long_is_refused() -> None:
    async with engine_of({"fine": lambda: "fine"}) as engine:
        assert await result_of(engine, "fine", fields={"request_id": "é" * 200}) == "fine"
        with pytest.raises(InvalidRequestError) as caught:
            await begin(engine, "fine", fields={"request_id": "é" * 201})
        assert caught.value.field == "request_id"


@on_a_loop
async def test_fifty_calls_at_once_run_once() -> None:
    slow, recording = Slow(), Recording()
    async with engine_of({"double": slow.double}, recorder=recording, max_invocations=1, max_queued=0) as engine:
        calls = [asyncio.create_task(result_of(engine, "double", "ab", fields=REQUEST)) for _ in range(50)]
        await soon(lambda: slow.runs)
        assert (engine.running, engine.active) == (1, 1)
        slow.go.set()
        assert await asyncio.gather(*calls) == ["abab"] * 50
        # And once more, now that it is done.
        assert await result_of(engine, "double", "ab", fields=REQUEST) == "abab"
    assert slow.runs == 1
    assert recording.events == [("started", "RUNNING"), ("ended", "COMPLETED")]


@on_clockwork
async def test_it_is_the_last_callers_leaving_that_cancels() -> None:
    slow = Slow()
    async with engine_of({"double": slow.double}, clock=now) as engine:
        first, *others = [await begin(engine, "double", fields=REQUEST) for _ in range(5)]
        for reader in others:
            reader.leave(for_good=True)
            reader.leave(for_good=True)
        await until(lambda: slow.runs)
        assert first.invocation.state is InvocationState.RUNNING
        first.leave("The last one left.")
        assert first.invocation.cause == "The last one left."
        await until(lambda: slow.stopped == 1)

        # What was cancelled is the outcome, not a reason to run again.
        with await begin(engine, "double", fields=REQUEST) as reader, pytest.raises(InvocationCancelledError) as caught:
            await reader.result()
        assert caught.value.message == "The last one left."
    assert slow.runs == 1


@on_clockwork
async def test_a_caller_that_lost_its_connection_gets_the_result_that_came_in_between() -> None:
    slow = Slow()
    async with engine_of({"double": slow.double}, clock=now) as engine:
        (await begin(engine, "double", "a", fields={**REQUEST, "on_disconnect": OnDisconnect.LINGER})).leave()
        await passes(9)
        slow.go.set()
        await until(lambda: engine.running == 0)
        await passes(3600 / 10)
        assert await result_of(engine, "double", "a", fields=REQUEST) == "aa"
    assert slow.runs == 1


@pytest.mark.parametrize("seconds", [599.0, 601.0])
@on_clockwork
async def test_a_result_is_kept_for_ten_minutes(seconds: float) -> None:
    slow = Slow()
    slow.go.set()
    async with engine_of({"double": slow.double}, clock=now) as engine:
        assert await result_of(engine, "double", "a", fields=REQUEST) == "aa"
        assert engine._budget.used == 2
        await passes(seconds)
        if seconds < 600:
            assert await result_of(engine, "double", "a", fields=REQUEST) == "aa"
        else:
            # By itself: no call has to come.
            assert engine._budget.used == 0
            with pytest.raises(ReplayExpiredError, match=r"^The result of this request is no longer kept\.$"):
                await begin(engine, "double", "a", fields=REQUEST)
    assert slow.runs == 1


@on_clockwork
async def test_a_result_is_recorded_though_nobody_waits_for_it() -> None:
    slow, recording = Slow(), Recording()
    async with engine_of({"double": slow.double}, recorder=recording, kept_bytes=0, clock=now) as engine:
        for fields in ({}, REQUEST):
            (await begin(engine, "double", "a", fields={**fields, "on_disconnect": OnDisconnect.DETACH})).leave()
            await turns()
        slow.go.set()
        await until(lambda: engine.running == 0)
    assert recording.results == ["aa", "aa"]


@on_clockwork
async def test_a_failure_is_the_outcome_as_long_as_the_request_is_known() -> None:
    runs = Notes()

    def fail() -> None:
        runs.append(1)
        raise ValueError("no good")

    async with engine_of({"fail": fail}, clock=now) as engine:
        for seconds in (0, 1000):
            await passes(seconds)
            with (
                await begin(engine, "fail", fields=REQUEST) as reader,
                pytest.raises(ExecutionFailedError, match="no good"),
            ):
                await reader.result()
    assert runs.values == [1]


@on_clockwork
async def test_a_result_that_memory_let_go_of_comes_from_the_archive() -> None:
    slow, shelf, recording = Slow(), Shelf(), Recording()
    slow.go.set()
    async with engine_of({"double": slow.double}, store=shelf, recorder=recording, clock=now) as engine:
        assert await result_of(engine, "double", "a", fields=REQUEST) == "aa"
        shelf.keep(recording.ended_records[0], result="aa")
        await passes(601)
        assert await result_of(engine, "double", "a", fields=REQUEST) == "aa"
        with pytest.raises(ConflictError):
            await begin(engine, "double", "b", fields=REQUEST)
    assert slow.runs == 1


@on_clockwork
async def test_a_stream_that_is_asked_for_again_is_taken_over_from_its_first_chunk() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        _, first = await opened(engine, REQUEST)
        tap.open(3)
        await until(lambda: first.values == [1, 2, 3])
        _, second = await opened(engine, REQUEST)
        await until(lambda: first.error is not None)
        assert first.error is not None
        assert first.error.reason is Reason.READER_REPLACED
        tap.open(1)
        tap.end()
        assert (await second.rest()).values == [1, 2, 3, 4]
        _, third = await opened(engine, REQUEST)
        assert (await third.rest()).values == [1, 2, 3, 4]
        assert third.started == first.started
    assert tap.runs == 1


@on_clockwork
async def test_a_stream_that_is_asked_for_again_too_late_is_not_run_again() -> None:
    tap = Tap()
    async with engine_of(tap.functions(), clock=now) as engine:
        invocation_id, first = await opened(engine, REQUEST)
        tap.open(3)
        tap.end()
        await first.rest()
        await passes(100)
        with pytest.raises(ReplayExpiredError):
            await opened(engine, REQUEST)
        assert (await refused(engine, invocation_id, 0, owner="one")).reason is Reason.REPLAY_EXPIRED
    assert tap.runs == 1


@on_clockwork
async def test_a_request_can_be_cancelled_by_its_own_id() -> None:
    slow = Slow()
    async with engine_of({"double": slow.double}, clock=now) as engine:
        with await begin(engine, "double", fields=REQUEST) as reader:
            for request_id, owner in [("r", "two"), ("r", ""), ("R", "one"), ("", "one")]:
                with pytest.raises(NotFoundError) as caught:
                    engine.cancel_request(request_id, owner=owner)
                assert caught.value.reason is Reason.INVOCATION_NOT_FOUND
            assert engine.cancel_request("r", owner="one") == reader.invocation
            assert engine.cancel_request("r", owner="one").state is InvocationState.CANCELLED


@on_clockwork
async def test_calls_without_a_request_id_never_meet() -> None:
    slow = Slow()
    slow.go.set()
    async with engine_of({"double": slow.double}, clock=now) as engine:
        for _ in range(3):
            await result_of(engine, "double")
        with pytest.raises(NotFoundError):
            engine.cancel_request("")
    assert slow.runs == 3


@on_clockwork
async def test_what_runs_is_joined_while_the_server_drains_and_nothing_new_begins() -> None:
    slow = Slow()
    async with engine_of({"double": slow.double}, clock=now) as engine:
        first = asyncio.create_task(result_of(engine, "double", fields=REQUEST))
        await until(lambda: slow.runs)
        draining = asyncio.create_task(engine.drain(30))
        await turns()
        second = asyncio.create_task(result_of(engine, "double", fields=REQUEST))
        with pytest.raises(UnavailableError) as caught:
            await begin(engine, "double", fields={"request_id": "another"})
        assert (caught.value.reason, caught.value.retry_after) == (Reason.SHUTTING_DOWN, 1.0)
        await turns()
        slow.go.set()
        assert [await first, await second] == ["", ""]
        await draining
    assert slow.runs == 1


@on_clockwork
async def test_a_full_server_still_lets_requests_be_joined() -> None:
    slow = Slow()
    async with engine_of({"double": slow.double}, max_invocations=1, max_queued=0, clock=now) as engine:
        with await begin(engine, "double", fields=REQUEST) as reader:
            with pytest.raises(ResourceExhaustedError):
                await begin(engine, "double")
            with await begin(engine, "double", fields=REQUEST) as again:
                assert again.invocation_id == reader.invocation_id
