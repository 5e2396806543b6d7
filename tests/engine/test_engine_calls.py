from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pydantic
import pytest

from runagent_grpc import current_invocation
from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.engine import Engine
from runagent_grpc.errors import (
    ExecutionFailedError,
    InvalidRequestError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from runagent_grpc.values.payload import Json, Payload, encode
from tests.engine.gates import Gate
from tests.engine.running import Recording, begin, call_of, chunks_of, engine_of, read_all, result_of
from tests.waiting import on_a_loop, soon, soon_true


def never_called(a: int) -> None:
    pytest.fail("No code of the author's runs for a call that is refused.")


@pytest.mark.parametrize(
    ("call", "streaming", "reason", "text"),
    [
        (Call(agent_id="x", entrypoint_tag="x"), False, Reason.AGENT_NOT_FOUND, "Agent not found"),
        (Call(entrypoint_tag="x", args=["no"]), True, Reason.ENTRYPOINT_NOT_FOUND, "Entrypoint x not found"),
        (Call(entrypoint_tag=""), False, Reason.ENTRYPOINT_NOT_FOUND, "Entrypoint  not found"),
        (Call(entrypoint_tag="x" * 9999), False, Reason.ENTRYPOINT_NOT_FOUND, f"Entrypoint {'x' * 200} not found"),
        (
            Call(entrypoint_tag="it_stream", args=["no"]),
            False,
            Reason.STREAM_ENTRYPOINT,
            "Can't use Streaming Entrypoint `it_stream` through non-streaming endpoint.",
        ),
        (
            Call(entrypoint_tag="it", args=["no"]),
            True,
            Reason.NON_STREAM_ENTRYPOINT,
            "Entrypoint `it` is not a streaming entrypoint. Use a streaming entrypoint (ending with '_stream').",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("state", ["idle", "full", "draining"])
@on_a_loop
async def test_a_call_is_checked_agent_first_then_tag_then_mode_whatever_the_server_can_take(
    call: Call, streaming: bool, reason: Reason, text: str, state: str
) -> None:
    recording = Recording()
    functions = {"it": never_called, "it_stream": never_called}
    async with engine_of(functions, recorder=recording, max_invocations=int(state != "full"), max_queued=0) as engine:
        if state == "draining":
            await engine.drain(0)
        with pytest.raises((InvalidRequestError, NotFoundError)) as caught:
            await engine.start(call, streaming=streaming)

        assert (caught.value.reason, caught.value.message) == (reason, text)
        assert engine.active == 0
    assert recording.events == []


@pytest.mark.parametrize(
    ("call", "streaming", "reason", "text"),
    [
        (
            Call(entrypoint_tag="it", args=["no"]),
            False,
            Reason.VALIDATION_ERROR,
            "Argument `a`: expected an integer, got the string 'no'.",
        ),
        (
            Call(entrypoint_tag="it_stream"),
            True,
            Reason.VALIDATION_ERROR,
            "Argument `a`: required, but missing.",
        ),
    ],
    ids=["argument", "missing"],
)
@on_a_loop
async def test_arguments_that_do_not_fit_leave_nothing_behind(
    call: Call, streaming: bool, reason: Reason, text: str
) -> None:
    recording = Recording()
    functions = {"it": never_called, "it_stream": never_called}
    async with engine_of(functions, recorder=recording, max_invocations=1, max_queued=0) as engine:
        for _ in range(3):
            with pytest.raises(InvalidRequestError) as caught:
                await engine.start(call, streaming=streaming)
            assert (caught.value.reason, caught.value.message) == (reason, text)
            assert (engine.running, engine.active) == (0, 0)
    assert recording.events == []


@pytest.mark.parametrize(("state", "reason"), [("full", Reason.OVERLOADED), ("draining", Reason.SHUTTING_DOWN)])
@on_a_loop
async def test_a_server_that_takes_no_calls_needs_no_worker_to_say_so(state: str, reason: Reason) -> None:
    async with engine_of({"it": never_called}, max_invocations=int(state != "full"), max_queued=0) as engine:
        if state == "draining":
            await engine.drain(0)
        with pytest.raises((ResourceExhaustedError, UnavailableError)) as caught:
            await begin(engine, "it", "no")
        assert caught.value.reason is reason


@on_a_loop
async def test_arguments_that_do_not_fit_are_the_outcome_of_a_call_that_waited() -> None:
    release = Gate()
    recording = Recording()

    async with engine_of(
        {"wait": release.wait, "it": never_called}, recorder=recording, max_invocations=1, max_queued=1
    ) as engine:
        with (
            await begin(engine, "wait") as first,
            await begin(engine, "it", "no", fields={"request_id": "r"}) as second,
        ):
            release.set()
            with pytest.raises(InvalidRequestError, match=r"^Argument `a`: expected an integer"):
                await second.result()
            await first.result()
            with pytest.raises(NotFoundError):
                engine.find(second.invocation_id)
        await soon(lambda: engine.active == 0)
    assert recording.events == [("started", "RUNNING"), ("ended", "COMPLETED")]


@on_a_loop
async def test_an_unknown_tag_comes_with_the_tags_that_are_known() -> None:
    async with engine_of({"one": never_called, "two_stream": never_called}) as engine:
        with pytest.raises(NotFoundError) as caught:
            await begin(engine, "three")

    assert caught.value.suggestion == "The agent's entrypoints are: one, two_stream."


@pytest.mark.parametrize("agent_id", ["", "test-agent"])
@on_a_loop
async def test_the_only_agent_needs_no_naming(agent_id: str) -> None:
    async with engine_of({"fine": lambda: "fine"}) as engine:
        assert await result_of(engine, "fine", fields={"agent_id": agent_id}) == "fine"


@on_a_loop
async def test_a_full_engine_refuses_at_once_and_takes_calls_again_when_there_is_room() -> None:
    release = Gate()
    async with engine_of({"blocking": release.wait, "fine": lambda: "fine"}, max_invocations=2, max_queued=0) as engine:
        running = [asyncio.create_task(result_of(engine, "blocking")) for _ in range(2)]
        await soon(lambda: engine.active == 2)

        with pytest.raises(ResourceExhaustedError, match="The server runs 2 invocations already") as caught:
            await begin(engine, "fine")
        assert caught.value.reason is Reason.OVERLOADED
        assert caught.value.retry_after is not None

        release.set()
        assert await asyncio.gather(*running) == [True, True]
        await soon(lambda: engine.active == 0)
        assert await result_of(engine, "fine") == "fine"


@on_a_loop
async def test_a_slot_is_taken_until_its_thread_ends() -> None:
    began, release = Gate(), Gate()

    def stuck() -> None:
        began.set()
        release.wait()

    async with engine_of({"stuck": stuck}, max_invocations=1, max_queued=0) as engine:
        with await begin(engine, "stuck"):
            await soon(began.is_set)
        with pytest.raises(ResourceExhaustedError):
            await begin(engine, "stuck")
        release.set()
        await soon(lambda: engine.active == 0)


@on_a_loop
async def test_a_draining_engine_says_so_before_it_says_that_it_is_full() -> None:
    async with engine_of({"fine": lambda: "fine"}, max_invocations=0) as engine:
        await engine.drain(0)
        with pytest.raises(UnavailableError) as caught:
            await begin(engine, "fine")

    assert caught.value.reason is Reason.SHUTTING_DOWN


@on_a_loop
async def test_ids_and_times_are_those_that_were_passed_in() -> None:
    moments = (datetime(2024, 1, 1, second=second, tzinfo=UTC) for second in range(60))
    ids = (f"id-{number}" for number in itertools.count(1))
    recording = Recording()
    functions = {"two": lambda: 2, "two_stream": lambda: "ab"}
    options = {"now": lambda: next(moments), "new_id": lambda: next(ids)}

    async with engine_of(functions, agent_id="an-agent", recorder=recording, options=options) as engine:
        assert await result_of(engine, "two", fields={"owner": "somebody"}) == 2
        assert await chunks_of(engine, "two_stream") == ["ab"]

    first, second = recording.ended_records
    assert (first.invocation_id, first.agent_id, first.entrypoint_tag, first.owner) == (
        "id-1",
        "an-agent",
        "two",
        "somebody",
    )
    assert (first.start_time.second, first.end_time and first.end_time.second, first.chunk_count) == (0, 1, 0)
    assert (second.invocation_id, second.start_time.second, second.chunk_count) == ("id-2", 2, 1)
    assert first.state is second.state is InvocationState.COMPLETED
    assert recording.results == [Json("2"), None]
    assert recording.events == [("started", "RUNNING"), ("ended", "COMPLETED")] * 2


@on_a_loop
async def test_each_invocation_has_an_id_of_its_own() -> None:
    async with engine_of({"fine": lambda: current_invocation().invocation_id}) as engine:
        ids = await asyncio.gather(*(result_of(engine, "fine") for _ in range(50)))

    assert len(set(ids)) == 50


@on_a_loop
async def test_an_invocation_is_known_to_its_owner_alone() -> None:
    release = Gate()
    async with engine_of({"blocking": release.wait}) as engine:
        with await begin(engine, "blocking", fields={"owner": "one"}) as reader:
            invocation_id = reader.invocation.invocation_id
            for moment in ("running", "ended"):
                assert engine.find(invocation_id, owner="one") == reader.invocation
                foreign = [(invocation_id, "two"), (invocation_id, ""), ("no-such-id", "one"), ("", "one")]
                for some_id, owner in foreign:
                    for ask in (engine.find, engine.cancel):
                        with pytest.raises(NotFoundError) as caught:
                            ask(some_id, owner=owner)
                        # The same words for one that is another's and one that is not there.
                        assert caught.value.reason is Reason.INVOCATION_NOT_FOUND
                        assert caught.value.message == "Invocation not found"
                assert reader.invocation.state.ended == (moment == "ended")
                release.set()
                await reader.result()


@on_a_loop
async def test_the_oldest_of_the_ended_invocations_are_forgotten() -> None:
    async with engine_of({"fine": lambda: current_invocation().invocation_id}, remembered_invocations=2) as engine:
        first, second, third = [await result_of(engine, "fine") for _ in range(3)]

        assert engine.find(second).state is engine.find(third).state is InvocationState.COMPLETED
        with pytest.raises(NotFoundError):
            engine.find(first)


class Arguments(list[Payload]):
    """Arguments that can be referred to weakly."""


class Heavy(pydantic.BaseModel):
    """Stands for what a call brings along or makes, which may be large. The worker makes it of an argument."""

    model_config = pydantic.ConfigDict(extra="allow")

    def model_post_init(self, _: Any) -> None:
        made.append(weakref.ref(self))


made: list[weakref.ref[Heavy]] = []
"""What was made where entrypoints run."""


async def all_gone() -> bool:
    """Whether there are none left."""
    gc.collect()
    return not any(reference() for reference in made)


async def keep_later(heavy: Heavy) -> Heavy:
    await asyncio.sleep(0)
    return heavy


async def keep_and_yield_later(heavy: Heavy) -> AsyncIterator[Heavy]:
    yield heavy


def fail_with(heavy: Heavy) -> None:
    raise ValueError(heavy)


KEEPING: dict[str, Callable[..., Any]] = {
    "def": lambda heavy: heavy,
    "async_def": keep_later,
    "generator_stream": lambda heavy: map(Heavy.model_copy, [heavy]),
    "async_generator_stream": keep_and_yield_later,
    "failing": fail_with,
}


async def call_and_forget(engine: Engine, tag: str) -> list[weakref.ref[object]]:
    """Calls, and returns references to what may be gone when the call is over."""
    call = call_of(tag, fields={"run_timeout": 3600.0})
    call = replace(call, args=Arguments([encode({"weight": "x" * 1000})]))
    with await engine.start(call, streaming=tag.endswith("_stream")) as reader:
        with contextlib.suppress(ExecutionFailedError):
            await (read_all(reader, []) if tag.endswith("_stream") else reader.result())
        return [weakref.ref(call.args), weakref.ref(reader)]


@pytest.mark.parametrize("tag", KEEPING)
@on_a_loop
async def test_an_invocation_that_has_ended_keeps_nothing_but_its_record(
    tag: str, caplog: pytest.LogCaptureFixture
) -> None:
    # pytest would keep the traceback.
    caplog.set_level(logging.CRITICAL, logger="runagent_grpc")
    recording = Recording()
    # Longer than the test waits: neither the timer, which has an hour to go, nor the thread, which is idle, nor the
    # error may hold on to it.
    async with engine_of({**KEEPING, "all_gone": all_gone}, recorder=recording, idle_seconds=15) as engine:
        kept = await call_and_forget(engine, tag)
        await soon(lambda: engine.active == 0)
        recording.calls.clear()

        await soon(lambda: gc.collect() >= 0 and not any(reference() for reference in kept))
        await soon_true(lambda: result_of(engine, "all_gone"))
        assert engine.find(recording.invocations[0].invocation_id).state.ended


@on_a_loop
async def test_arguments_arrive_as_the_signature_says() -> None:
    def call(a: int, *rest: str, b: float = 0.5, **more: bool) -> list[Any]:
        return [a, rest, b, more]

    async with engine_of({"call": call}) as engine:
        assert await result_of(engine, "call", "1", 2, b="3", self="true") == [1, ["2"], 3.0, {"self": True}]


@on_a_loop
async def test_the_recorder_hears_of_a_call_as_it_was_made() -> None:
    recording = Recording()
    call = call_of("echo", "1", fields={"user_id": "a-user", "request_id": "an-id", "owner": "one"})
    async with engine_of({"echo": lambda value: value}, recorder=recording) as engine:
        with await engine.start(call, streaming=False) as reader:
            assert recording.events == [("started", "RUNNING")]
            await reader.result()

    assert recording.calls == [call]
    assert recording.results == ["1"]
