"""Results and chunks that cannot travel: whose failure that is, and that none of them grows without end."""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.errors import ExecutionFailedError, Reason, ResourceExhaustedError, RunAgentError
from runagent_grpc.worker.calling import OutputRefusedError
from tests.engine.gates import Notes
from tests.engine.running import begin, chunks_of, engine_of, read_all, result_of
from tests.waiting import on_a_loop


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(1000):
        value = [value]
    return value


UNENCODABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "cyclic": (cyclic, "holds itself"),
    "deep": (deep, "deeper than 100 levels"),
    "long": (lambda: 10**5000, "more than 4,300 digits"),
    "long key": (lambda: {10**5000: 1}, "more than 4,300 digits"),
}


@pytest.mark.parametrize(("make", "text"), UNENCODABLE.values(), ids=UNENCODABLE)
@on_a_loop
async def test_a_value_that_cannot_travel_is_the_entrypoints_failure_not_the_callers(
    make: Callable[[], Any], text: str
) -> None:
    closed = Notes()

    def generator() -> Iterator[Any]:
        try:
            yield "before"
            yield make()
            yield "after"
        finally:
            closed.append(True)

    async def async_generator() -> AsyncIterator[Any]:
        try:
            yield "before"
            yield make()
            yield "after"
        finally:
            closed.append(True)

    async def coroutine() -> Any:
        return make()

    functions = {
        "plain": make,
        "coroutine": coroutine,
        "generator_stream": generator,
        "async_generator_stream": async_generator,
        "one_stream": lambda: {"value": make()},
    }
    async with engine_of(functions) as engine:
        for tag in functions:
            chunks: list[Any] = []
            with await begin(engine, tag) as reader, pytest.raises(ExecutionFailedError, match=text) as caught:
                await (read_all(reader, chunks) if tag.endswith("_stream") else reader.result())
            assert caught.value.reason is Reason.EXECUTION_FAILED
            assert chunks == (["before"] if "generator" in tag else [])

    assert closed.values == [True, True]


@on_a_loop
async def test_a_value_over_the_limit_is_refused_and_one_at_the_limit_is_not() -> None:
    closed = Notes()

    def growing() -> Iterator[str]:
        try:
            for size in (9, 10, 11, 12):
                yield "x" * size
        finally:
            closed.append(True)

    async def growing_later() -> AsyncIterator[str]:
        for chunk in growing():
            yield chunk

    functions: dict[str, Callable[..., Any]] = {
        "text": lambda size: "é" * (size // 2) + "x" * (size % 2),
        "binary": bytes,
        "json": lambda size: ["x" * (size - 4)],
        "growing_stream": growing,
        "growing_later_stream": growing_later,
    }
    async with engine_of(functions, max_payload_bytes=10) as engine:
        for tag in ("text", "binary", "json"):
            await result_of(engine, tag, 10)
            with pytest.raises(ResourceExhaustedError, match=r"of 11 bytes; the limit is 10\.$") as caught:
                await result_of(engine, tag, 11)
            assert caught.value.reason is Reason.PAYLOAD_TOO_LARGE
        for tag in ("growing_stream", "growing_later_stream"):
            chunks: list[str] = []
            with await begin(engine, tag) as reader, pytest.raises(ResourceExhaustedError):
                await read_all(reader, chunks)
            assert [len(chunk) for chunk in chunks] == [9, 10]
            assert reader.invocation.state is InvocationState.FAILED
            assert reader.invocation.chunk_count == 2

    assert closed.values[0]


def test_a_refused_output_is_none_of_the_errors_that_the_author_may_raise() -> None:
    assert not issubclass(OutputRefusedError, RunAgentError)


@pytest.mark.parametrize(
    "wrap", [lambda value: value, frozenset, types.MappingProxyType], ids=["list", "set", "mapping"]
)
@on_a_loop
async def test_a_value_that_would_grow_without_end_is_refused_as_too_large(wrap: Callable[[Any], Any]) -> None:
    def parts() -> Any:
        value: Any = "x" * 100
        for _ in range(60):
            value = [wrap({str(n): "x" for n in range(9)}), value, value]
        return value

    functions = {"value": parts, "value_stream": lambda: iter([parts()])}
    async with engine_of(functions, max_payload_bytes=100_000) as engine:
        with pytest.raises(
            ResourceExhaustedError, match=r"takes more than 100,000 bytes.*Send it in parts\.$"
        ) as caught:
            await result_of(engine, "value")
        assert caught.value.reason is Reason.PAYLOAD_TOO_LARGE
        with pytest.raises(ResourceExhaustedError) as caught:
            await chunks_of(engine, "value_stream")
        assert caught.value.reason is Reason.PAYLOAD_TOO_LARGE


def an_endless_generator() -> Iterator[str]:
    while True:
        yield "x" * 1000


async def an_endless_async_generator() -> AsyncIterator[str]:
    while True:
        yield "x" * 1000


@pytest.mark.parametrize("endless", [an_endless_generator, an_endless_async_generator])
@on_a_loop
async def test_a_generator_behind_a_plain_tag_may_not_grow_without_bound(endless: Callable[[], Any]) -> None:
    async with engine_of({"endless": endless}, max_payload_bytes=100_000) as engine:
        with pytest.raises(ResourceExhaustedError) as caught:
            await result_of(engine, "endless")
    assert caught.value.reason is Reason.PAYLOAD_TOO_LARGE
