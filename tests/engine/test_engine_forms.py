from __future__ import annotations

import asyncio
import collections
import dataclasses
import functools
import io
import threading
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator
from typing import Any, ClassVar, ParamSpec, TypeVar

import pydantic
import pytest

from runagent_grpc.payload import decode, encode
from tests.engine.running import chunks_of, engine_of, result_of
from tests.waiting import on_a_loop

P = ParamSpec("P")
T = TypeVar("T")


def decorated(function: Callable[P, T]) -> Callable[P, T]:
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)

    return call


class LaterValue:
    """Can be awaited, and is no coroutine."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, None, Any]:
        yield from asyncio.sleep(0).__await__()
        return self._value


def plain(a: str, b: str = "2") -> str:
    return a + b


async def coroutine(a: str, b: str = "2") -> str:
    await asyncio.sleep(0)
    return a + b


def returns_coroutine(a: str, b: str = "2") -> Awaitable[str]:
    return coroutine(a, b)


def returns_awaitable(a: str, b: str = "2") -> LaterValue:
    return LaterValue(a + b)


async def returns_coroutine_that_returns_one(a: str, b: str = "2") -> Awaitable[LaterValue]:
    async def inner() -> LaterValue:
        return LaterValue(a + b)

    return inner()


class Methods:
    def method(self, a: str, b: str = "2") -> str:
        return plain(a, b)

    async def async_method(self, a: str, b: str = "2") -> str:
        return await coroutine(a, b)

    @classmethod
    def of_the_class(cls, a: str, b: str = "2") -> str:
        return plain(a, b)

    @staticmethod
    async def of_nothing(a: str, b: str = "2") -> str:
        return await coroutine(a, b)


class CallableObject:
    def __call__(self, a: str, b: str = "2") -> str:
        return plain(a, b)


class AsyncCallableObject:
    async def __call__(self, a: str, b: str = "2") -> str:
        return await coroutine(a, b)


FORMS: dict[str, Callable[..., Any]] = {
    "def": plain,
    "async def": coroutine,
    "lambda": lambda a, b="2": a + b,
    "def that returns a coroutine": returns_coroutine,
    "def that returns an awaitable": returns_awaitable,
    "async def that returns a coroutine": returns_coroutine_that_returns_one,
    "bound method": Methods().method,
    "bound async method": Methods().async_method,
    "class method": Methods.of_the_class,
    "static async method": Methods.of_nothing,
    "partial": functools.partial(plain, b="2"),
    "partial of a coroutine function": functools.partial(coroutine, b="2"),
    "partial of a partial": functools.partial(functools.partial(plain), b="2"),
    "partial of a bound method": functools.partial(Methods().async_method, b="2"),
    "callable object": CallableObject(),
    "async callable object": AsyncCallableObject(),
    "partial of an async callable object": functools.partial(AsyncCallableObject(), b="2"),
    "decorated": decorated(plain),
    "decorated coroutine function": decorated(coroutine),
    "cached": functools.lru_cache(plain),
    "static method as such": staticmethod(coroutine),
}


@pytest.mark.parametrize("function", FORMS.values(), ids=FORMS)
@on_a_loop
async def test_everything_that_can_be_called_is_called(function: Callable[..., Any]) -> None:
    async with engine_of({"greet": function, "greet_stream": function}) as engine:
        assert await result_of(engine, "greet", "1") == "12"
        assert await result_of(engine, "greet", a="1", b="3") == "13"
        # One string is one chunk.
        assert await chunks_of(engine, "greet_stream", "1") == ["12"]


def generator(a: str, b: str = "2") -> Iterator[str]:
    yield a
    yield b


async def async_generator(a: str, b: str = "2") -> AsyncIterator[str]:
    yield a
    await asyncio.sleep(0)
    yield b


class Iterates:
    """An iterator without a `close`."""

    def __init__(self, *items: str) -> None:
        self._items = list(items)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self._items:
            raise StopIteration
        return self._items.pop(0)


class IteratesLater:
    """An async iterator without an `aclose`."""

    def __init__(self, *items: str) -> None:
        self._items = list(items)

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        await asyncio.sleep(0)
        if not self._items:
            raise StopAsyncIteration
        return self._items.pop(0)


async def coroutine_of(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


class GeneratorMethods:
    def method(self, a: str, b: str = "2") -> Iterator[str]:
        yield from (a, b)

    async def async_method(self, a: str, b: str = "2") -> AsyncIterator[str]:
        yield a
        yield b


class GeneratorObject:
    def __call__(self, a: str, b: str = "2") -> Iterator[str]:
        yield from (a, b)


class AsyncGeneratorObject:
    async def __call__(self, a: str, b: str = "2") -> AsyncIterator[str]:
        yield a
        yield b


ITERATOR_FORMS: dict[str, Callable[..., Any]] = {
    "generator": generator,
    "async generator": async_generator,
    "def that returns a generator": lambda a, b="2": generator(a, b),
    "def that returns an async generator": lambda a, b="2": async_generator(a, b),
    "def that returns an iterator": lambda a, b="2": Iterates(a, b),
    "def that returns an async iterator": lambda a, b="2": IteratesLater(a, b),
    "def that returns a map": lambda a, b="2": map(str, (a, b)),
    "def that returns a list's iterator": lambda a, b="2": iter([a, b]),
    "def that returns a coroutine of a generator": lambda a, b="2": coroutine_of(generator(a, b)),
    "def that returns a coroutine of an async generator": lambda a, b="2": coroutine_of(async_generator(a, b)),
    "coroutine of a coroutine of a generator": lambda a, b="2": coroutine_of(coroutine_of(generator(a, b))),
    "bound generator method": GeneratorMethods().method,
    "bound async generator method": GeneratorMethods().async_method,
    "partial of a generator function": functools.partial(generator),
    "partial of an async generator function": functools.partial(functools.partial(async_generator)),
    "object that generates": GeneratorObject(),
    "object that generates asynchronously": AsyncGeneratorObject(),
    "decorated generator function": decorated(generator),
    "decorated async generator function": decorated(async_generator),
    "class of iterators": Iterates,
    "class of async iterators": IteratesLater,
}


@pytest.mark.parametrize("function", ITERATOR_FORMS.values(), ids=ITERATOR_FORMS)
@on_a_loop
async def test_an_iterator_streams_its_items_and_becomes_a_list_for_a_plain_tag(function: Callable[..., Any]) -> None:
    async with engine_of({"items": function, "items_stream": function}) as engine:
        assert await chunks_of(engine, "items_stream", "1", "2") == ["1", "2"]
        assert await result_of(engine, "items", "1", "2") == ["1", "2"]


class Pages:
    def __iter__(self) -> Iterator[str]:
        yield from "12"


class LaterPages:
    async def __aiter__(self) -> AsyncIterator[str]:
        yield "1"
        yield "2"


class ModelWithItems:
    """Iterates over what it holds, as clients of this world do that are no models."""

    def __init__(self) -> None:
        self.items = ["1", "2"]

    def __iter__(self) -> Iterator[str]:
        return iter(self.items)


ITERABLES: dict[str, Callable[[], Any]] = {
    "list": lambda: ["1", "2"],
    "tuple": lambda: ("1", "2"),
    "deque": lambda: collections.deque("12"),
    "keys": lambda: {"1": None, "2": None}.keys(),
    "iterable object": Pages,
    "async iterable object": LaterPages,
    "coroutine of a list": lambda: coroutine_of(["1", "2"]),
    "coroutine of an async iterable": lambda: coroutine_of(LaterPages()),
    "object that holds items": ModelWithItems,
    "file": lambda: map(str.rstrip, io.StringIO("1\n2\n")),
    "range": lambda: map(str, range(1, 3)),
}


@pytest.mark.parametrize("make", ITERABLES.values(), ids=ITERABLES)
@on_a_loop
async def test_an_iterable_streams_its_items(make: Callable[[], Any]) -> None:
    async def from_a_coroutine() -> Any:
        value = make()
        return await value if asyncio.iscoroutine(value) else value

    async with engine_of({"items_stream": make, "more_stream": from_a_coroutine}) as engine:
        assert await chunks_of(engine, "items_stream") == ["1", "2"]
        assert await chunks_of(engine, "more_stream") == ["1", "2"]


class Model(pydantic.BaseModel):
    a: int = 1
    b: list[int] = [2]


class ListModel(pydantic.RootModel[list[int]]):
    def __iter__(self) -> Iterator[int]:  # type: ignore[override]  # as pydantic's own documentation advises
        return iter(self.root)


@dataclasses.dataclass
class Point:
    x: int = 1
    fields: ClassVar[str] = "not one"


class OldModel:
    """Looks like a model of pydantic 1, which iterates over its fields."""

    __fields__: ClassVar[dict[str, Any]] = {"a": None}

    def __iter__(self) -> Iterator[Any]:
        return iter([("a", 1)])

    def dict(self) -> dict[str, Any]:
        return {"a": 1}


SINGLE_VALUES = [
    "text",
    "",
    b"bytes",
    bytearray(b"bytes"),
    memoryview(b"bytes"),
    {"a": [1]},
    {},
    types.MappingProxyType({"a": 1}),
    collections.UserDict({"a": 1}),
    Model(),
    ListModel([1]),
    OldModel(),
    Point(),
    None,
    1,
    2.5,
    True,
]


@pytest.mark.parametrize("value", SINGLE_VALUES, ids=lambda value: type(value).__name__)
@on_a_loop
async def test_one_value_of_a_stream_tag_is_one_chunk(value: Any) -> None:
    async def from_a_coroutine() -> Any:
        return value

    expected = decode(encode(value))
    functions = {"one_stream": lambda: value, "later_stream": from_a_coroutine, "one": lambda: value}
    async with engine_of(functions) as engine:
        assert await chunks_of(engine, "one_stream") == [expected]
        assert await chunks_of(engine, "later_stream") == [expected]
        assert await result_of(engine, "one") == expected


@pytest.mark.parametrize("value", [[1, "a"], (1, "a"), {"a": 1}, "text", None], ids=repr)
@on_a_loop
async def test_what_a_plain_tag_returns_is_one_value(value: Any) -> None:
    async with engine_of({"one": lambda: value}) as engine:
        assert await result_of(engine, "one") == (list(value) if isinstance(value, tuple) else value)


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
