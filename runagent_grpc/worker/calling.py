"""How an entrypoint is called, and how what it gives becomes payloads.

Nothing of the author's runs on the event loop but coroutines and async generators. A plain function is called on a
thread; a plain iterator has one thread that takes its items and closes it, for two threads on one generator race
("generator already executing").
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runagent_grpc.core.records import record
from runagent_grpc.core.runner import ChunkSink
from runagent_grpc.errors import (
    ExecutionFailedError,
    InvalidRequestError,
    Reason,
    ResourceExhaustedError,
    RunAgentError,
)
from runagent_grpc.values.payload import Json, Payload, array_of, decode, encode, plain, size_of
from runagent_grpc.worker.extractor import Extractor
from runagent_grpc.worker.handles import events_of, result_of
from runagent_grpc.worker.iterating import goes_both_ways, iterating, iterating_async
from runagent_grpc.worker.threads import Threads

__all__ = ["BoundFunction", "FunctionCaller", "OutputRefusedError"]


@record
class BoundFunction:
    """A function of the author's, with the arguments of one call."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    is_cancelled: Callable[[], bool]
    returns_handle: bool = False
    """Whether it is called on the event loop, since it declares to return what can be made nowhere else."""
    extractor: Extractor | None = None
    """What is taken out of the result, or out of each chunk; None: it goes out whole."""


class OutputRefusedError(Exception):
    """A result or a chunk that no payload can carry. Not a RunAgentError, which the author's code may raise itself."""

    def __init__(self, error: RunAgentError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class _Encoded:
    """What a thread comes back with that made the result ready for the wire, not with something asynchronous."""

    payload: Payload


class _Pumped:
    """What a thread comes back with that put every chunk into the sink."""


class _Items:
    """The items of an iterator that is to be one value. Refuses to grow beyond what may travel."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._payloads: list[Payload] = []

    def append(self, payload: Payload) -> None:
        self._payloads.append(payload)
        self._size += size_of(payload)
        if self._size > self._limit:
            raise _too_large(self._size, self._limit)

    def joined(self) -> Json:
        array = array_of(self._payloads)
        if size_of(array) > self._limit:
            raise _too_large(size_of(array), self._limit)
        return array


class FunctionCaller:
    """Calls entrypoints: async ones on the event loop, all others on threads.

    Both methods raise what the author's code raises, and OutputRefusedError. When their task is cancelled they stop
    the work as soon as it lets itself be stopped, and return only then: a task that has ended holds no thread.
    """

    def __init__(self, *, max_payload_bytes: int, threads: Threads) -> None:
        self._max_payload_bytes = max_payload_bytes
        self._threads = threads

    async def run(self, work: BoundFunction) -> Payload:
        """Returns what the function returns; the items, as a list, where it returns an iterator."""
        if _starts_on_loop(work):
            value = work.function(*work.args, **work.kwargs)
        else:
            value = await self._threads.run(functools.partial(self._call_for_value, work))
        value = await _awaited(value)
        if isinstance(value, Iterator):
            value = await self._threads.run(functools.partial(self._encode_value, value, work))
        if isinstance(value, _Encoded):
            return value.payload
        if isinstance(value, AsyncIterable):
            return await self._encode_async_items(value, work)
        return self._encode(value, work.extractor)

    async def stream(self, work: BoundFunction, sink: ChunkSink) -> None:
        """Puts what the function yields into `sink`."""
        if _starts_on_loop(work):
            value = work.function(*work.args, **work.kwargs)
        else:
            value = await self._threads.run(functools.partial(self._call_for_chunks, work, sink), stop=sink.close)
        value = await _awaited(value, events=True)
        if isinstance(value, _Pumped):
            return
        if isinstance(value, AsyncIterable):
            async with iterating_async(value) as items:
                async for item in items:
                    if not await sink.put_async(self._encode(item, work.extractor)):
                        return
        elif _is_many(value):
            await self._threads.run(functools.partial(self._pump, value, work, sink), stop=sink.close)
        else:
            await sink.put_async(self._encode(value, work.extractor))

    def _call_for_value(self, work: BoundFunction) -> Any:
        value = work.function(*work.args, **work.kwargs)
        return value if _continues_on_loop(value) else self._encode_value(value, work)

    def _encode_value(self, value: Any, work: BoundFunction) -> _Encoded:
        if isinstance(value, Iterator) or goes_both_ways(value):
            return _Encoded(self._encode_items(value, work))
        return _Encoded(self._encode(value, work.extractor))

    def _encode_items(self, value: Iterable[Any], work: BoundFunction) -> Payload:
        items = _Items(self._max_payload_bytes)
        with iterating(value) as iterator:
            for item in iterator:
                if work.is_cancelled():
                    break
                items.append(self._encode(item))
        return self._extracted(items.joined(), work.extractor)

    async def _encode_async_items(self, value: AsyncIterable[Any], work: BoundFunction) -> Payload:
        items = _Items(self._max_payload_bytes)
        async with iterating_async(value) as iterator:
            async for item in iterator:
                items.append(self._encode(item))
        return self._extracted(items.joined(), work.extractor)

    def _call_for_chunks(self, work: BoundFunction, sink: ChunkSink) -> Any:
        value = work.function(*work.args, **work.kwargs)
        if _continues_on_loop(value):
            return value
        self._pump(value if _is_many(value) else [value], work, sink)
        return _Pumped()

    def _pump(self, items: Iterable[Any], work: BoundFunction, sink: ChunkSink) -> None:
        extractor = work.extractor
        with iterating(items) as iterator:
            for item in iterator:
                if not sink.put(self._encode(item, extractor)):
                    return

    def _extracted(self, items: Json, extractor: Extractor | None) -> Payload:
        # The value is the list: it was encoded item by item so that it could not grow beyond what may travel.
        return items if extractor is None else self._encode(decode(items), extractor)

    def _encode(self, value: Any, extractor: Extractor | None = None) -> Payload:
        limit = self._max_payload_bytes
        try:
            payload = encode(value if extractor is None else extractor.apply(plain(value)), limit=limit)
        except InvalidRequestError as error:
            # The entrypoint's fault, not the caller's.
            raise OutputRefusedError(ExecutionFailedError(error.message)) from error
        except ResourceExhaustedError as error:
            if error.reason is not Reason.PAYLOAD_TOO_LARGE:
                # From a call of the author's, within a method that says what the value is.
                raise
            raise OutputRefusedError(error) from error
        if size_of(payload) > limit:
            raise _too_large(size_of(payload), limit)
        return payload


def _starts_on_loop(work: BoundFunction) -> bool:
    return work.returns_handle or _is_async(work.function)


async def _awaited(value: Any, *, events: bool = False) -> Any:
    """Returns what an awaitable comes to; where `events` are wanted, and a handle has some, those instead."""
    while isinstance(value, Awaitable):
        if events and (stream := events_of(value)) is not None:
            return stream
        value = await result_of(value)
    return value


def _is_async(function: Callable[..., Any]) -> bool:
    """Whether a call only makes a coroutine or an async generator, and runs nothing yet."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):
        # A class's own call makes an object, which is the author's code at work.
        function = getattr(type(function), "__call__", function)  # noqa: B004 - the method itself is wanted
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _continues_on_loop(value: Any) -> bool:
    return isinstance(value, Awaitable) or (isinstance(value, AsyncIterable) and not goes_both_ways(value))


def _is_many(value: Any) -> bool:
    """Whether a streaming entrypoint's result is iterated, and not one chunk. Models iterate over their fields."""
    return (
        isinstance(value, Iterable)
        and not isinstance(value, str | bytes | bytearray | memoryview | Mapping)
        and not (hasattr(type(value), "model_dump") or hasattr(type(value), "__fields__"))
    )


def _too_large(size: int, limit: int) -> OutputRefusedError:
    text = f"The entrypoint produced a value of {size:,} bytes; the limit is {limit:,}."
    return OutputRefusedError(ResourceExhaustedError(text, reason=Reason.PAYLOAD_TOO_LARGE))
