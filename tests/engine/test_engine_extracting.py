from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runagent_grpc.engine import Engine
from runagent_grpc.errors import ExecutionFailedError, ResourceExhaustedError
from tests.engine.gates import Gate, Notes
from tests.engine.running import chunks_of, engine_of, result_of
from tests.waiting import on_a_loop


@dataclasses.dataclass
class Answer:
    content: str
    score: float
    _hidden: str = "never"


@asynccontextmanager
async def extracting(
    functions: Mapping[str, Callable[..., Any]], paths: Mapping[str, str], **settings: Any
) -> AsyncIterator[Engine]:
    """An engine whose every entrypoint has an extractor."""
    async with engine_of(functions, paths=paths, **settings) as engine:
        yield engine


def answer() -> Answer:
    return Answer("Hello", 0.5)


async def answer_async() -> Answer:
    return answer()


def answers() -> Iterator[Answer]:
    yield Answer("Hel", 0.1)
    yield Answer("lo", 0.2)


async def answers_async() -> AsyncIterator[Answer]:
    for each in answers():
        yield each


async def returns_answers() -> Iterator[Answer]:
    return answers()


PATHS = {"text": "$.content", "nothing": "$.nothing", "hidden": "$._hidden"}


@pytest.mark.parametrize("function", [answer, answer_async])
@on_a_loop
async def test_a_result_is_replaced_by_what_the_paths_find(function: Callable[..., Any]) -> None:
    async with extracting({"run": function, "run_stream": function}, PATHS) as engine:
        assert await result_of(engine, "run") == {"text": "Hello", "nothing": None, "hidden": None}
        assert await chunks_of(engine, "run_stream") == [{"text": "Hello", "nothing": None, "hidden": None}]


@pytest.mark.parametrize("function", [answers, answers_async, returns_answers])
@on_a_loop
async def test_each_chunk_is_replaced_and_of_a_plain_entrypoint_the_list(function: Callable[..., Any]) -> None:
    async with extracting({"run_stream": function}, PATHS) as engine:
        assert await chunks_of(engine, "run_stream") == [
            {"text": "Hel", "nothing": None, "hidden": None},
            {"text": "lo", "nothing": None, "hidden": None},
        ]
    async with extracting({"run": function}, {"last": "$[-1].content", "first": "$[0].score"}) as engine:
        assert await result_of(engine, "run") == {"last": "lo", "first": 0.1}


@pytest.mark.parametrize("value", ["text", b"bytes", None, 5, [1, 2], [{"content": 1}]])
@on_a_loop
async def test_a_value_that_the_path_does_not_fit_gives_null(value: Any) -> None:
    async with extracting({"run": lambda: value}, {"text": "$.content"}) as engine:
        assert await result_of(engine, "run") == {"text": None}


@on_a_loop
async def test_what_is_found_travels_as_it_would_have_within_the_whole() -> None:
    value = {"a": {b"key": {1, 2}}, "inf": float("inf"), "bytes": b"\x00", "tuple": (1, (2,)), "big": 10**30}
    paths = {"all": "$", "big": "$.big", "bytes": "$.bytes", "inf": "$.inf", "last": "$.tuple[-1]"}
    async with engine_of({"run": lambda: value}) as engine:
        whole = await result_of(engine, "run")
    async with extracting({"run": lambda: value}, paths) as engine:
        found = await result_of(engine, "run")
    assert found == {"all": whole, "big": 10**30, "bytes": "AA==", "inf": "inf", "last": [2]}


@on_a_loop
async def test_plain_functions_are_looked_into_on_their_own_thread() -> None:
    threads = Notes()

    class Watched:
        def to_dict(self) -> dict[str, Any]:
            threads.append(threading.get_ident())
            return {"content": "seen"}

    def run() -> Watched:
        return Watched()

    def run_stream() -> Iterator[Watched]:
        yield Watched()

    async def loop_thread() -> dict[str, Any]:
        return {"content": threading.get_ident()}

    functions = {"run": run, "run_stream": run_stream, "loop_thread": loop_thread}
    async with extracting(functions, {"text": "$.content"}) as engine:
        assert await result_of(engine, "run") == {"text": "seen"}
        assert await chunks_of(engine, "run_stream") == [{"text": "seen"}]
        assert len(threads) == 2
        assert (await result_of(engine, "loop_thread"))["text"] not in threads.values


@on_a_loop
async def test_a_long_search_of_a_plain_function_holds_nobody_up() -> None:
    over = Gate()

    async def tick() -> AsyncIterator[int]:
        while not over.is_set():
            yield 1
            await asyncio.sleep(0.005)

    rows = [{"parts": [0] * 8} for _ in range(9_000)]
    # The ticks come from the loop that looks, wherever that is; each is replaced by null.
    async with extracting({"run": lambda: rows, "tick_stream": tick}, {"a": "$..nothing"}) as engine:
        ticking = asyncio.create_task(chunks_of(engine, "tick_stream"))
        assert await result_of(engine, "run") == {"a": None}
        over.set()
        assert len(await ticking) > 2


@pytest.mark.parametrize("tag", ["run", "run_stream"])
@on_a_loop
async def test_a_path_that_fails_fails_the_call(tag: str) -> None:
    async with extracting({tag: lambda: [{"row": [0] * 100_000}]}, {"text": "$..nothing"}) as engine:
        with pytest.raises(ExecutionFailedError, match="The extractor `text` looked at 100,000 values"):
            await (chunks_of(engine, tag) if tag == "run_stream" else result_of(engine, tag))


@on_a_loop
async def test_a_value_that_is_too_large_to_travel_may_hold_something_that_is_not() -> None:
    value = {"small": 1, "large": "x" * 2000}
    async with extracting({"run": lambda: value}, {"small": "$.small"}, max_payload_bytes=1000) as engine:
        assert await result_of(engine, "run") == {"small": 1}
    async with extracting({"run": lambda: value}, {"large": "$.large"}, max_payload_bytes=1000) as engine:
        with pytest.raises(ResourceExhaustedError):
            await result_of(engine, "run")
