"""A stream of chunks for asyncio: drives a `StreamState` by the events of one transport after the other."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any

from runagent_grpc.client.connection import AsyncConnection
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.retry import PeerStatus
from runagent_grpc.client.stream import ChunkStreamBase, StreamState
from runagent_grpc.client.transport_aio import AsyncEvents, AsyncTransport
from runagent_grpc.contract.messages import value_from
from runagent_grpc.errors import InvalidRequestError, RunAgentError

__all__ = ["AsyncChunkStream"]


class AsyncChunkStream(ChunkStreamBase, AsyncIterator[Any]):
    """The chunks of a stream, as they come. Ends when the entrypoint has; raises RunAgentError for any other end.

    A connection that is cut, or falls silent, is made again, and the stream goes on behind the last chunk that came.
    One task may read it at a time.
    """

    def __init__(self, connection: AsyncConnection, state: StreamState, *, deadline: Deadline) -> None:
        self._connection = connection
        super().__init__(state)
        self._deadline = deadline
        self._ready: Iterator[Any] = iter(())
        self._reading = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._transport: AsyncTransport | None = None
        self._events: AsyncEvents | None = None
        self._over = False
        self._client_closed = False
        connection.add(self)

    async def __anext__(self) -> Any:
        for chunk in self._ready:
            return value_from(chunk)
        if self._reading:
            raise InvalidRequestError("Another task is reading this stream. Let one task read it.")
        self._reading = True
        try:
            return await self._next_after_wait()
        finally:
            self._reading = False

    async def close(self) -> None:
        """Cancels, unless the stream has ended, or may go on without its caller. `finally` blocks run on the server."""
        if not self._over:
            self._over = True
            if self._events is not None:
                await self._events.leave(self._state.cancel_request)

    aclose = close

    async def on_client_closed(self) -> None:
        """Is `close`, but for whoever reads it, to whom this is no end."""
        if self._events is not None and not self._over:
            self._client_closed = True
            await self.close()

    async def __aenter__(self) -> AsyncChunkStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        # Whatever failed in the constructor left nothing to end, and a loop that has ended has ended its calls.
        loop = getattr(self, "_loop", None)
        if loop is not None and self._events is not None and not self._over:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._events.drop, self._state.cancel_request)

    async def _next_after_wait(self) -> Any:
        state = self._state
        while not (self._over or state.completed):
            try:
                self._ready = iter(await self._receive())
            except BaseException:
                # A task that was cancelled, or a failure that is the end: this caller will not come back.
                await self.close()
                raise
            for chunk in self._ready:
                return value_from(chunk)
        if self._events is not None and not self._over:
            self._over = True
            await self._events.finish()
        if self._client_closed:
            raise self._closed_error(with_client=self._client_closed)
        raise StopAsyncIteration

    async def _receive(self) -> Any:
        """Returns what the next event brings, or nothing where the stream has to be taken up again."""
        state = self._state
        if self._transport is None:
            self._loop = asyncio.get_running_loop()
            self._deadline.begin()
            self._transport = await self._connection.transport()
        try:
            if self._events is None:
                self._events = await self._transport.open_stream(state.request, self._deadline)
                self._require_open()
            async with asyncio.timeout(state.silence_limit):
                event = await self._events.receive()
        except TimeoutError:
            await self._take_up_after(self._transport, state.fall_silent, silent=True)
        except RunAgentError as error:
            await self._take_up_after(self._transport, functools.partial(state.fail, error))
        else:
            if event is not None:
                return state.receive(event)
            await self._take_up_after(self._transport, state.end)
        return ()

    async def _take_up_after(
        self, transport: AsyncTransport, pause_after: Callable[[PeerStatus], float], *, silent: bool = False
    ) -> None:
        """Lets what has not come be asked for again, after a pause. Raises what is the stream's end."""
        try:
            pause = pause_after(transport.contact)
        except RunAgentError as final:
            # There is nothing to cancel: the server said how it ended, or cannot be reached.
            self._over = True
            if self._events is not None:
                await self._events.leave(None)
            raise final from None
        if self._events is not None:
            self._events.abort()
        await asyncio.sleep(pause)
        self._require_open()
        self._events = None
        self._transport = await self._connection.after(transport, self._state.failures, silent=silent)

    def _require_open(self) -> None:
        """Raises InvocationCancelledError where another task has closed the stream."""
        if self._over:
            if self._events is not None:
                self._events.abort()
            raise self._closed_error(with_client=self._client_closed)
