"""What entrypoints print and log: each line once, in order, with its invocation, before the outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.engine.probe_entrypoints import outcome_of
from tests.engine.running import Recording, begin, engine_of
from tests.waiting import on_a_loop

logger = logging.getLogger("an-authors")


def speak(name: str) -> None:
    print(f"{name} begins")  # noqa: T201 - what is tested
    logger.warning("%s warns", name)
    print(f"{name} en", "ds", sep="", end="")  # noqa: T201 - as above


async def speak_later(name: str) -> None:
    await asyncio.sleep(0)
    speak(name)


def speak_and_yield(name: str) -> Iterator[int]:
    yield 1
    speak(name)


async def speak_and_yield_later(name: str) -> AsyncIterator[int]:
    yield 1
    speak(name)


SPEAKING: dict[str, Callable[..., Any]] = {
    "def": speak,
    "async_def": speak_later,
    "listed": speak_and_yield,
    "generator_stream": speak_and_yield,
    "async_generator_stream": speak_and_yield_later,
    "value_stream": speak,
}


@pytest.mark.parametrize("tag", SPEAKING)
@on_a_loop
async def test_what_an_entrypoint_prints_and_logs_is_recorded_in_order_before_its_outcome(tag: str) -> None:
    recording = Recording()

    async def call(name: str) -> None:
        with await begin(engine, tag, name) as reader:
            await outcome_of(reader)
            lines = [line for line in recording.lines if line.invocation_id == reader.invocation_id]
            said = [(line.level, line.text) for line in lines]
            assert said == [("INFO", f"{name} begins"), ("WARNING", f"{name} warns"), ("INFO", f"{name} ends")]

    async with engine_of(SPEAKING, recorder=recording) as engine:
        await asyncio.gather(*(call(f"caller {number}") for number in range(5)))
    assert len(recording.lines) == 15
