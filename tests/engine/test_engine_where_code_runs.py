"""What runs on the event loop and what does not: nothing that may block, and each generator in one place."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator

from tests.engine.gates import Notes
from tests.engine.probe_entrypoints import loop_thread
from tests.engine.running import chunks_of, engine_of, result_of
from tests.waiting import on_a_loop


@on_a_loop
async def test_a_class_makes_an_object_off_the_loop() -> None:
    made_on = Notes()

    class Greeting:
        def __init__(self, name: str) -> None:
            made_on.append(threading.get_ident())
            self.text = f"Hello {name}"

    async with engine_of({"greet": Greeting, "loop_thread": loop_thread}) as engine:
        assert await result_of(engine, "greet", "you") == {"text": "Hello you"}
        assert len(made_on) == 1
        assert made_on.values != [await result_of(engine, "loop_thread")]


@on_a_loop
async def test_nothing_that_may_block_runs_on_the_loop() -> None:
    ran_on = Notes()

    def here(name: str) -> str:
        ran_on.append([name, threading.get_ident()])
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
    both = {tag + suffix: function for tag, function in functions.items() for suffix in ("", "_stream")}
    async with engine_of({**both, "loop_thread": loop_thread}) as engine:
        loop = await result_of(engine, "loop_thread")
        for tag in functions:
            for outcome in (result_of(engine, tag), chunks_of(engine, tag + "_stream")):
                assert len(await outcome) == 1
                on_the_loop = {name for name, thread in ran_on if thread == loop}
                assert on_the_loop <= {"async def", "async generator"}

    assert on_the_loop == {"async def", "async generator"}
    assert {name for name, _ in ran_on} == {
        "generator",
        "def",
        "map",
        "async def",
        "map of an async def",
        "async generator",
    }


@on_a_loop
async def test_a_generator_is_driven_and_closed_by_one_thread() -> None:
    threads = Notes()

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
    assert len(set(threads.values)) == 1


@on_a_loop
async def test_an_async_generator_sees_one_task() -> None:
    tasks = Notes()

    async def items() -> AsyncIterator[int]:
        try:
            for number in range(3):
                tasks.append(id(asyncio.current_task()))
                yield number
        finally:
            tasks.append(id(asyncio.current_task()))

    async with engine_of({"items_stream": items}) as engine:
        assert await chunks_of(engine, "items_stream") == [0, 1, 2]

    assert len(tasks) == 4
    assert len(set(tasks.values)) == 1
