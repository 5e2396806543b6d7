"""Everything that can be an entrypoint: each way to write a function, and each thing to iterate."""

from __future__ import annotations

import asyncio
import collections
import functools
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from typing import Any, ParamSpec, TypeVar

import pytest

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


@functools.lru_cache
def cached(a: str, b: str = "2") -> str:
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
    "cached": cached,
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
