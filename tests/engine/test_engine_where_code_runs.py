"""What runs on the event loop and what does not: nothing that may block, and each generator in one place."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from tests.engine.running import chunks_of, engine_of, result_of
from tests.waiting import on_a_loop


@on_a_loop
async def test_a_class_makes_an_object_off_the_loop() -> None:
    made_on: list[int] = []

    class Greeting:
        def __init__(self, name: str) -> None:
            made_on.append(threading.get_ident())
            self.text = f"Hello {name}"

    async with engine_of({"greet": Greeting}) as engine:
        assert await result_of(engine, "greet", "you") == {"text": "Hello you"}

    assert made_on != [threading.get_ident()]


@on_a_loop
async def test_nothing_that_may_block_runs_on_the_loop() -> None:
    ran_on: dict[str, int] = {}

    def here(name: str) -> str:
        ran_on[name] = threading.get_ident()
        return name

    def items() -> Iterator[str]:
        yield here("generator")

    def lazy() -> Iterable[str]:
        here("def")
        return map(here, ["map"])

    async def mixed() -> Iterable[str]:
        here("async def")
        return map(here, ["map of an async def"])

    async def later() -> AsyncIterator[str]:
        yield here("async generator")

    functions = {"items": items, "lazy": lazy, "mixed": mixed, "later": later}
    async with engine_of({tag + suffix: f for tag, f in functions.items() for suffix in ("", "_stream")}) as engine:
        for tag in functions:
            for outcome in (result_of(engine, tag), chunks_of(engine, tag + "_stream")):
                assert len(await outcome) == 1
                on_the_loop = {name for name, thread in ran_on.items() if thread == threading.get_ident()}
                assert on_the_loop <= {"async def", "async generator"}

    assert set(ran_on) == {"generator", "def", "map", "async def", "map of an async def", "async generator"}


@on_a_loop
async def test_a_generator_is_driven_and_closed_by_one_thread() -> None:
    threads: list[int] = []

    def items() -> Iterator[int]:
        try:
            for number in range(300):
                threads.append(threading.get_ident())
                yield number
        finally:
            threads.append(threading.get_ident())

    async with engine_of({"items_stream": items}, window_chunks=3) as engine:
        assert await chunks_of(engine, "items_stream") == list(range(300))

    assert len(threads) == 301
    assert len(set(threads)) == 1


@on_a_loop
async def test_an_async_generator_sees_one_task() -> None:
    tasks: list[Any] = []

    async def items() -> AsyncIterator[int]:
        try:
            for number in range(3):
                tasks.append(asyncio.current_task())
                yield number
        finally:
            tasks.append(asyncio.current_task())

    async with engine_of({"items_stream": items}) as engine:
        assert await chunks_of(engine, "items_stream") == [0, 1, 2]

    assert len(tasks) == 4
    assert len(set(tasks)) == 1
