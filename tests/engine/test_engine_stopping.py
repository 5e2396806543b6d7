from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from runagent_grpc import current_invocation
from runagent_grpc.agent import Agent
from runagent_grpc.engine import (
    Call,
    Engine,
    Invocation,
    InvocationState,
    OnDisconnect,
    Reader,
    StreamChunks,
    StreamEvent,
)
from runagent_grpc.engine.execution import Execution, Terms
from runagent_grpc.engine.threads import Threads
from runagent_grpc.errors import (
    AbortedError,
    DeadlineExceededError,
    InvocationCancelledError,
    Reason,
    RunAgentError,
    UnavailableError,
)
from runagent_grpc.payload import decode
from tests.engine.running import Recording, begin, engine_of, read_all, result_of
from tests.waiting import is_waiting, on_a_loop, soon


class Witness:
    """Entrypoints that go on until they are stopped, and say what they saw."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.threads: set[int] = set()
        self.began = threading.Event()
        self.release = threading.Event()
        """Lets a function go that nothing else can stop."""

    def functions(self) -> dict[str, Callable[..., Any]]:
        stoppable = {
            "coroutine": self.coroutine,
            "listed": self.generator,
            "listed_later": self.async_generator,
            "generator_stream": self.generator,
            "async_generator_stream": self.async_generator,
            "silent_stream": self.silent,
            "coroutine_stream": self.coroutine,
        }
        return stoppable | {"blocking": self.blocking, "blocking_stream": self.blocking}

    def note(self, what: str) -> None:
        self.seen.append(what)
        self.threads.add(threading.get_ident())

    def generator(self) -> Iterator[int]:
        try:
            for number in range(10**9):
                self.note("next")
                self.began.set()
                yield number
        finally:
            self.note("finally")

    async def async_generator(self) -> AsyncIterator[int]:
        try:
            for number in range(10**9):
                self.began.set()
                await asyncio.sleep(0)
                yield number
        finally:
            await asyncio.sleep(0)
            self.note("finally")

    async def silent(self) -> AsyncIterator[int]:
        try:
            self.began.set()
            await asyncio.Event().wait()
            yield 1
        finally:
            await asyncio.sleep(0)
            self.note("finally")

    async def coroutine(self) -> None:
        try:
            self.began.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.note("finally")

    def blocking(self) -> str:
        self.began.set()
        self.release.wait()
        self.note("returned")
        return "too late"


STOPPABLE = [tag for tag in Witness().functions() if not tag.startswith("blocking")]
ALL = list(Witness().functions())


async def outcome_of(reader: Reader) -> Any:
    """What a caller of either mode gets in the end."""
    if reader.invocation.entrypoint_tag.endswith("_stream"):
        return await read_all(reader, [])
    return decode(await reader.result())


@pytest.mark.parametrize("tag", STOPPABLE)
@on_a_loop
async def test_work_stops_when_the_caller_leaves_and_its_finally_runs(
    tag: str, caplog: pytest.LogCaptureFixture
) -> None:
    witness, recording = Witness(), Recording()
    async with engine_of(witness.functions(), recorder=recording) as engine:
        with begin(engine, tag) as reader:
            waiting = asyncio.create_task(outcome_of(reader))
            await soon(witness.began.is_set)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert reader.invocation.state is InvocationState.CANCELLED
        assert reader.invocation.cause == "The caller left."
        await soon(lambda: engine.active == 0)

        # Nothing holds a slot before its `finally` has run.
        assert witness.seen[-1] == "finally"
        assert witness.seen.count("finally") == 1
        assert recording.events == [("started", "RUNNING"), ("ended", "CANCELLED")]
        # It is nothing that anybody has to look into.
        assert [record for record in caplog.records if record.name.startswith("runagent_grpc")] == []


@pytest.mark.parametrize("tag", ALL)
@on_a_loop
async def test_a_cancelled_caller_is_answered_at_once(tag: str) -> None:
    witness, recording = Witness(), Recording()
    async with engine_of(witness.functions(), recorder=recording) as engine:
        with begin(engine, tag) as reader:
            waiting = asyncio.create_task(outcome_of(reader))
            await soon(witness.began.is_set)
            record = engine.cancel(reader.invocation.invocation_id)

            assert record is reader.invocation
            assert record.state is InvocationState.CANCELLED
            assert record.end_time is not None
            with pytest.raises(InvocationCancelledError, match=r"^The invocation was cancelled\.$") as caught:
                await waiting
            assert caught.value.reason is Reason.CANCELLED

            for _ in range(3):
                assert engine.cancel(record.invocation_id) is record
        assert engine.active == (1 if tag.startswith("blocking") else engine.active)
        witness.release.set()
        await soon(lambda: engine.active == 0)
        assert witness.seen[-1] in ("finally", "returned")
        assert engine.find(record.invocation_id).state is InvocationState.CANCELLED
        assert recording.events == [("started", "RUNNING"), ("ended", "CANCELLED")]


@pytest.mark.parametrize("tag", ALL)
@on_a_loop
async def test_work_that_is_cancelled_before_it_began_never_begins(tag: str) -> None:
    witness, recording = Witness(), Recording()
    async with engine_of(witness.functions(), recorder=recording) as engine:
        with begin(engine, tag) as reader:
            pass
        assert reader.invocation.state is InvocationState.CANCELLED
        await soon(lambda: engine.active == 0)

    assert witness.seen == []
    assert not witness.began.is_set()
    assert recording.events == [("started", "RUNNING"), ("ended", "CANCELLED")]


@pytest.mark.parametrize("tag", ["generator_stream", "async_generator_stream"])
@pytest.mark.parametrize("delivered", [0, 1, 5])
@on_a_loop
async def test_a_producer_that_waits_at_the_window_is_stopped(tag: str, delivered: int) -> None:
    witness = Witness()
    async with engine_of(witness.functions(), window_chunks=2) as engine:
        with begin(engine, tag) as reader:
            await take(reader, delivered)
            await soon(witness.began.is_set)
            if tag == "generator_stream":
                await soon(lambda: all(map(is_waiting, witness.threads)))
        await soon(lambda: engine.active == 0)

    assert witness.seen[-1] == "finally"
    assert len(witness.threads) == 1


async def take(reader: Reader, count: int) -> list[StreamEvent]:
    """Takes events until `count` chunks were delivered, and asks for no more."""
    events, chunks = reader.events(), 0
    taken: list[StreamEvent] = [await anext(events)]
    while chunks < count:
        taken.append(await anext(events))
        if isinstance(taken[-1], StreamChunks):
            chunks += len(taken[-1].payloads)
    await events.aclose()
    return taken


async def read_on(events: AsyncIterator[StreamEvent], into: list[int]) -> None:
    async for event in events:
        assert isinstance(event, StreamChunks)
        into += map(decode, event.payloads)


@on_a_loop
async def test_a_cancelled_stream_gives_the_chunks_that_were_ready_and_then_the_error() -> None:
    release = threading.Event()
    ready = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        yield 2
        yield 3
        ready.set()
        release.wait()
        yield 4

    async with engine_of({"items_stream": items}) as engine:
        chunks: list[int] = []
        with begin(engine, "items_stream") as reader:
            events = reader.events()
            while len(chunks) < 2:
                event = await anext(events)
                if isinstance(event, StreamChunks):
                    chunks += map(decode, event.payloads)
            await soon(ready.is_set)
            engine.cancel(reader.invocation.invocation_id)
            with pytest.raises(InvocationCancelledError):
                await read_on(events, chunks)
            release.set()
            await soon(lambda: engine.active == 0)

        assert chunks == [1, 2, 3]
        assert reader.invocation.chunk_count == 3


@on_a_loop
async def test_leaving_after_the_end_changes_nothing() -> None:
    recording = Recording()
    async with engine_of({"fine": lambda: "fine"}, recorder=recording) as engine:
        with begin(engine, "fine") as reader:
            await reader.result()
            reader.leave()
        assert engine.cancel(reader.invocation.invocation_id).state is InvocationState.COMPLETED
        assert reader.invocation.cause == ""

    assert recording.events == [("started", "RUNNING"), ("ended", "COMPLETED")]


@on_a_loop
async def test_a_caller_that_fails_leaves() -> None:
    witness = Witness()
    async with engine_of(witness.functions()) as engine:
        reader = begin(engine, "coroutine")
        await soon(witness.began.is_set)
        with pytest.raises(ZeroDivisionError), reader:
            raise ZeroDivisionError
        assert reader.invocation.state is InvocationState.CANCELLED
        await soon(lambda: engine.active == 0)


@on_a_loop
async def test_an_async_generator_that_shrugs_off_its_cancellation_ends_at_its_next_chunk() -> None:
    began = asyncio.Event()
    closed: list[bool] = []

    async def stubborn() -> AsyncIterator[int]:
        yield 1
        try:
            while True:
                try:
                    began.set()
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    for number in range(100_000):
                        yield number
        finally:
            closed.append(True)

    async with engine_of({"stubborn_stream": stubborn}) as engine:
        with begin(engine, "stubborn_stream") as reader:
            reading = asyncio.create_task(read_all(reader, []))
            await began.wait()
            reading.cancel()
            await asyncio.wait([reading])
        await soon(lambda: engine.active == 0)

    assert closed == [True]


@on_a_loop
async def test_a_coroutine_that_shrugs_off_its_cancellation_changes_no_outcome() -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def stubborn() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await go.wait()
        return "a result"

    recording = Recording()
    async with engine_of({"stubborn": stubborn}, recorder=recording) as engine:
        with begin(engine, "stubborn") as reader:
            await began.wait()
            engine.cancel(reader.invocation.invocation_id)
            with pytest.raises(InvocationCancelledError):
                await reader.result()
            assert engine.active == 1
            go.set()
            await soon(lambda: engine.active == 0)

    assert recording.events == [("started", "RUNNING"), ("ended", "CANCELLED")]
    assert recording.results == [None]


@on_a_loop
async def test_a_coroutine_that_comes_too_late_is_never_run_and_never_complained_of() -> None:
    began, release = threading.Event(), threading.Event()

    async def inner() -> None:
        pytest.fail("Nobody wants it any more.")

    def outer() -> Coroutine[Any, Any, None]:
        began.set()
        release.wait()
        return inner()

    # Python's complaint, a RuntimeWarning, would fail this test.
    async with engine_of({"outer": outer, "outer_stream": outer}) as engine:
        for tag in ("outer", "outer_stream"):
            began.clear()
            release.clear()
            with begin(engine, tag):
                await soon(began.is_set)
            release.set()
            await soon(lambda: engine.active == 0)


@pytest.mark.parametrize("tag", ["finally_stream", "finally_later_stream", "function"])
@on_a_loop
async def test_what_is_raised_while_the_work_is_stopped_is_logged(tag: str, caplog: pytest.LogCaptureFixture) -> None:
    began = threading.Event()

    def fails_in_finally() -> Iterator[int]:
        try:
            while True:
                began.set()
                yield 1
        finally:
            raise ValueError("no good")

    async def fails_in_finally_later() -> AsyncIterator[int]:
        try:
            began.set()
            await asyncio.Event().wait()
            yield 1
        finally:
            raise ValueError("no good")

    def function() -> None:
        began.set()
        invocation = current_invocation()
        while not invocation.cancelled:
            threading.Event().wait(0.001)
        raise ValueError("no good")

    functions = {
        "finally_stream": fails_in_finally,
        "finally_later_stream": fails_in_finally_later,
        "function": function,
    }
    async with engine_of(functions) as engine:
        with begin(engine, tag) as reader:
            await soon(began.is_set)
        await soon(lambda: engine.active == 0)

        [record] = [record for record in caplog.records if record.name.startswith("runagent_grpc")]
        assert (record.levelno, record.getMessage()) == (logging.WARNING, "An entrypoint raised while it was stopped.")
        assert record.exc_info is not None
        assert str(record.exc_info[1]) == "no good"
        assert reader.invocation.state is InvocationState.CANCELLED


@pytest.mark.parametrize("tag", ALL)
@pytest.mark.parametrize("field", ["run_timeout", "deadline"])
@on_a_loop
async def test_a_run_ends_when_its_time_is_up(tag: str, field: str) -> None:
    witness, recording = Witness(), Recording()
    async with engine_of(witness.functions(), recorder=recording) as engine:
        with begin(engine, tag, fields={field: 0.05}) as reader:
            with pytest.raises(DeadlineExceededError, match=f"^Entrypoint `{tag}` timed out after 0.05 s.$") as caught:
                await outcome_of(reader)
            assert caught.value.reason is Reason.TIMEOUT
            assert caught.value.code == "TIMEOUT_ERROR"
            assert reader.invocation.state is InvocationState.TIMED_OUT
            assert engine.cancel(reader.invocation.invocation_id).state is InvocationState.TIMED_OUT
        if tag.startswith("blocking"):
            assert engine.active == 1
            assert witness.seen == []
        witness.release.set()
        await soon(lambda: engine.active == 0)

    assert witness.seen[-1] in ("finally", "returned")
    assert recording.events == [("started", "RUNNING"), ("ended", "TIMED_OUT")]


@pytest.mark.parametrize(
    ("fields", "cap", "expected"),
    [
        ({}, None, None),
        ({}, 50.0, 50.0),
        ({"deadline": 30.0}, None, 30.0),
        ({"deadline": 30.0}, 50.0, 30.0),
        ({"deadline": 90.0}, 50.0, 50.0),
        ({"run_timeout": 20.0}, None, 20.0),
        ({"run_timeout": 20.0, "deadline": 10.0}, None, 20.0),
        ({"run_timeout": 20.0, "deadline": 30.0}, None, 20.0),
        ({"run_timeout": 90.0, "deadline": 30.0}, 50.0, 50.0),
        ({"deadline": 30.0, "on_disconnect": OnDisconnect.LINGER}, None, 30.0),
        ({"deadline": 30.0, "on_disconnect": OnDisconnect.DETACH}, None, None),
        ({"deadline": 30.0, "on_disconnect": OnDisconnect.DETACH}, 50.0, 50.0),
        ({"run_timeout": 20.0, "deadline": 30.0, "on_disconnect": OnDisconnect.DETACH}, None, 20.0),
    ],
    ids=str,
)
@on_a_loop
async def test_the_time_to_run_is_what_the_caller_says_or_waits_within_the_cap(
    fields: dict[str, Any], cap: float | None, expected: float | None
) -> None:
    async with engine_of({"left": lambda: current_invocation().time_remaining}, max_run_timeout=cap) as engine:
        left = await result_of(engine, "left", fields=fields)

    if expected is None:
        assert left is None
    else:
        assert expected - 10 < left <= expected


@on_a_loop
async def test_chunks_before_the_deadline_arrive_before_the_error() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2
        await asyncio.Event().wait()

    async with engine_of({"items_stream": items}) as engine:
        chunks: list[int] = []
        with (
            begin(engine, "items_stream", fields={"run_timeout": 0.05}) as reader,
            pytest.raises(DeadlineExceededError),
        ):
            await read_all(reader, chunks)

    assert chunks == [1, 2]


@pytest.mark.parametrize("tag", ["coroutine", "generator_stream"])
@on_a_loop
async def test_a_caller_that_leaves_as_the_time_is_up_has_timed_out(tag: str) -> None:
    # The caller's own clock may run a few milliseconds ahead of ours.
    async with engine_of(Witness().functions()) as engine:
        with begin(engine, tag, fields={"run_timeout": 0.005}) as reader:
            pass
        assert reader.invocation.state is InvocationState.TIMED_OUT


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.25"), (4.99823, "5"), (999.0, "999"), (3600.0, "3600"), (86400.0, "86400")]
)
@on_a_loop
async def test_a_timeout_is_told_in_plain_numbers(seconds: float, text: str) -> None:
    invocation = Invocation(
        invocation_id="i", agent_id="a", entrypoint_tag="t", owner="", start_time=datetime(2024, 1, 1, tzinfo=UTC)
    )
    execution = Execution(
        invocation,
        Call(entrypoint_tag="t"),
        terms=Terms(heartbeat_interval=1.0, run_timeout=seconds, resumable=False),
        chunks=None,
        on_settled=lambda _: None,
    )
    execution.start()

    execution.expire()

    assert invocation.cause == f"Entrypoint `t` timed out after {text} s."


@on_a_loop
async def test_draining_waits_for_what_runs_and_refuses_what_comes() -> None:
    began, release = threading.Event(), threading.Event()

    def slow() -> str:
        began.set()
        release.wait()
        return "done"

    async with engine_of({"slow": slow}) as engine:
        with begin(engine, "slow") as reader:
            await soon(began.is_set)
            draining = asyncio.create_task(engine.drain(60))
            await asyncio.sleep(0)

            with pytest.raises(UnavailableError) as caught:
                begin(engine, "slow")
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
        with begin(engine, tag) as reader:
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
        with begin(engine, "blocking"):
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


def entrypoint_threads() -> int:
    return sum(thread.name.startswith("runagent-entrypoint-") for thread in threading.enumerate())


@on_a_loop
async def test_threads_return_to_their_baseline_whatever_became_of_the_work() -> None:
    await soon(lambda: entrypoint_threads() == 0)
    witness = Witness()

    def fails() -> Iterator[int]:
        yield 1
        raise ValueError("no good")

    functions = witness.functions() | {"fails_stream": fails, "fine_stream": lambda: [1, 2]}
    async with engine_of(functions, threads=Threads(idle_seconds=0)) as engine:
        for tag in ("fails_stream", "fine_stream"):
            with begin(engine, tag) as reader:
                await asyncio.wait([asyncio.create_task(outcome(reader))])
        for tag in ("generator_stream", "listed", "blocking"):
            witness.began.clear()
            with begin(engine, tag):
                await soon(witness.began.is_set)
        assert entrypoint_threads() > 0
        witness.release.set()

        await soon(lambda: engine.active == 0)
        await soon(lambda: entrypoint_threads() == 0)


async def outcome(reader: Reader) -> RunAgentError | None:
    try:
        await outcome_of(reader)
    except RunAgentError as error:
        return error
    return None


@on_a_loop
async def test_two_hundred_callers_that_leave_mid_stream_leave_nothing_behind() -> None:
    await soon(lambda: entrypoint_threads() == 0)
    closed: list[int] = []

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.append(1)

    async def items_later() -> AsyncIterator[int]:
        try:
            for number in range(10**9):
                yield number
                await asyncio.sleep(0)
        finally:
            closed.append(1)

    functions = {"sync_stream": items, "async_stream": items_later}
    async with engine_of(functions, threads=Threads(idle_seconds=0), window_chunks=8) as engine:

        async def leave_early(tag: str, after: int) -> None:
            with begin(engine, tag) as reader:
                await take(reader, 1 + after % 20)

        await asyncio.gather(*(leave_early(list(functions)[number % 2], number) for number in range(200)))
        await soon(lambda: engine.active == 0)
        await soon(lambda: entrypoint_threads() == 0)
        assert await chunks_of_three(engine) == [0, 1, 2]

    # The last one is of the stream that shows that all is well.
    assert len(closed) == 201


async def chunks_of_three(engine: Engine) -> list[int]:
    with begin(engine, "sync_stream") as reader:
        events = await take(reader, 3)
    payloads = [payload for event in events if isinstance(event, StreamChunks) for payload in event.payloads]
    await soon(lambda: engine.active == 0)
    return [decode(payload) for payload in payloads][:3]


@on_a_loop
async def test_the_work_of_a_loop_that_ends_is_stopped() -> None:
    witness = Witness()

    async def forget_to_drain() -> None:
        engine = Engine(Agent.from_functions(witness.functions()))
        for tag in ("generator_stream", "async_generator_stream", "coroutine"):
            begin(engine, tag)
        await soon(lambda: "next" in witness.seen)

    await asyncio.to_thread(asyncio.run, forget_to_drain())

    assert witness.seen.count("finally") == 3


@on_a_loop
async def test_a_drain_waits_for_nobody_whose_outcome_is_known() -> None:
    began, release = threading.Event(), threading.Event()

    def stuck() -> None:
        began.set()
        release.wait(60)

    engine = Engine(Agent.from_functions({"stuck": stuck}))
    reader = begin(engine, "stuck")
    await soon(began.is_set)
    reader.leave()
    assert (engine.running, engine.active) == (0, 1)

    # Not the hour, but the moment that `finally` blocks are given.
    await asyncio.wait_for(engine.drain(3600), 30)

    assert engine.active == 1
    release.set()
    await soon(lambda: engine.active == 0)
