from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from runagent_grpc import current_invocation
from runagent_grpc.core.call import Call, OnDisconnect
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.engine.active import ActiveInvocation, RunOptions
from runagent_grpc.errors import (
    DeadlineExceededError,
    Reason,
)
from tests.engine.fake_clock import on_clockwork, passes, until
from tests.engine.probe_entrypoints import ALL, Witness, outcome_of
from tests.engine.running import Recording, begin, engine_of, identity_of, read_all, result_of
from tests.waiting import on_a_loop


@pytest.mark.parametrize("tag", ALL)
@pytest.mark.parametrize("field", ["run_timeout", "deadline"])
@on_clockwork
async def test_a_run_ends_when_its_time_is_up(tag: str, field: str) -> None:
    witness, recording = Witness(), Recording()
    async with engine_of(witness.functions(), recorder=recording) as engine:
        with await begin(engine, tag, fields={field: 0.05}) as reader:
            await until(witness.began.is_set)
            await passes(0.06)
            with pytest.raises(DeadlineExceededError, match=f"^Entrypoint `{tag}` timed out after 0.05 s.$") as caught:
                await outcome_of(reader)
            assert caught.value.reason is Reason.TIMEOUT
            assert caught.value.code == "TIMEOUT_ERROR"
            assert reader.invocation.state is InvocationState.TIMED_OUT
            assert engine.cancel(reader.invocation.invocation_id).state is InvocationState.TIMED_OUT
        if tag.startswith("blocking"):
            assert engine.active == 1
            assert witness.seen.values == []
        witness.release.set()
        await until(lambda: engine.active == 0)

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


@on_clockwork
async def test_chunks_before_the_deadline_arrive_before_the_error() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2
        await asyncio.Event().wait()

    async with engine_of({"items_stream": items}) as engine:
        chunks: list[int] = []
        with await begin(engine, "items_stream", fields={"run_timeout": 0.05}) as reader:
            reading = asyncio.create_task(read_all(reader, chunks))
            await until(lambda: len(chunks) == 2)
            await passes(0.06)
            with pytest.raises(DeadlineExceededError):
                await reading

    assert chunks == [1, 2]


@pytest.mark.parametrize("tag", ["coroutine", "generator_stream"])
@on_a_loop
async def test_a_caller_that_leaves_as_the_time_is_up_has_timed_out(tag: str) -> None:
    # The caller's own clock may run a few milliseconds ahead of ours.
    async with engine_of(Witness().functions()) as engine:
        with await begin(engine, tag, fields={"run_timeout": 0.005}) as reader:
            pass
        assert reader.invocation.state is InvocationState.TIMED_OUT


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.25"), (4.99823, "5"), (999.0, "999"), (3600.0, "3600"), (86400.0, "86400")]
)
@on_a_loop
async def test_a_timeout_is_told_in_plain_numbers(seconds: float, text: str) -> None:
    active = ActiveInvocation(
        identity_of("i"),
        Call(entrypoint_tag="t"),
        options=RunOptions(heartbeat_interval=1.0, run_timeout=seconds, resumable=False),
        chunks=None,
        now=lambda: datetime(2024, 1, 1, tzinfo=UTC),
        on_settled=lambda _: None,
    )

    active.expire()

    assert active.record().cause == f"Entrypoint `t` timed out after {text} s."
