"""The client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any

from runagent_grpc.client.address import Address
from runagent_grpc.client.base import ClientBase
from runagent_grpc.client.descriptions import AgentDescription
from runagent_grpc.client.discovery import find_server
from runagent_grpc.client.grpc_aio import AsyncGrpcTransport
from runagent_grpc.client.stream import StreamState
from runagent_grpc.client.transport import AsyncEvents, AsyncTransport
from runagent_grpc.contract import value_from
from runagent_grpc.errors import RunAgentError

__all__ = ["AsyncChunkStream", "AsyncRunAgentClient"]


class AsyncRunAgentClient(ClientBase):
    """Calls one entrypoint of one agent, on the event loop that it is first used on.

        async with AsyncRunAgentClient("quickstart", "chat_stream") as client:
            async for chunk in client.run_stream(message="Tell me a story"):
                print(chunk, end="", flush=True)

    Everything it raises is a RunAgentError.
    """

    _transport: AsyncTransport | None = None

    async def run(self, /, *args: Any, **kwargs: Any) -> Any:
        """Calls the entrypoint with these arguments.

        Returns its value, or, for a tag that ends in `_stream`, an async iterator over its chunks. Strings and bytes
        arrive as they were; every other value as JSON has it, and over REST bytes do, too: in base64.
        """
        if self.is_streaming:
            return self.run_stream(*args, **kwargs)
        call = self._run_call(args, kwargs)
        return await (await self._connected()).run(call, self.timeout)

    def run_stream(self, /, *args: Any, **kwargs: Any) -> AsyncChunkStream:
        """Calls the entrypoint, which must stream, and returns an async iterator over its chunks.

        The call starts with the first chunk that is asked for. Close the iterator to cancel; it is an `async with`.
        """
        call = self._stream_call(args, kwargs)

        async def start() -> AsyncEvents:
            return await (await self._connected()).open_stream(call, self.timeout)

        return AsyncChunkStream(start)

    async def cancel(self, invocation_id: str) -> None:
        """Cancels an invocation. One that has ended stays as it ended. Raises NotFoundError for an unknown id.

        Needs gRPC; REST has no word for it.
        """
        await (await self._connected()).cancel(invocation_id, self.timeout)

    async def list_agents(self) -> list[AgentDescription]:
        """Returns the agents that the server serves, without their input schemas."""
        return await (await self._connected()).list_agents(self.timeout)

    async def get_agent(self) -> AgentDescription:
        """Returns the agent's description, with its entrypoints and their input schemas."""
        return await (await self._connected()).get_agent(self.agent_id, self.timeout)

    async def close(self) -> None:
        """Closes the connection, if there is one. The client connects again when it is used again."""
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()

    async def __aenter__(self) -> AsyncRunAgentClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _connected(self) -> AsyncTransport:
        if self._transport is None:
            server = await asyncio.to_thread(find_server, self.address, self._api_key, timeout=self.timeout)
            # Whoever came first while this one asked has connected already.
            if self._transport is None:
                self._transport = _transport_to(server, self._api_key)
        return self._transport


class AsyncChunkStream(AsyncIterator[Any]):
    """The chunks of a stream, as they come. Ends when the entrypoint has; raises RunAgentError for any other end."""

    def __init__(self, start: Callable[[], Awaitable[AsyncEvents]]) -> None:
        self._start = start
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state = StreamState()
        self._ready: Iterator[Any] = iter(())
        self._events: AsyncEvents | None = None
        self._closed = False

    @property
    def invocation_id(self) -> str | None:
        """The invocation's id, once the stream has started."""
        return self._state.invocation_id

    async def __anext__(self) -> Any:
        for chunk in self._ready:
            return value_from(chunk)
        return await self._next_after_wait()

    async def close(self) -> None:
        """Cancels, unless the stream has ended. Its `finally` blocks run on the server."""
        if not self._closed:
            self._closed = True
            if self._events is not None:
                await self._events.leave(self._state.invocation_id)

    aclose = close

    async def __aenter__(self) -> AsyncChunkStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        # Whatever failed in the constructor left nothing to end, and a loop that has ended has ended its calls.
        loop = getattr(self, "_loop", None)
        if loop is not None and self._events is not None and not self._closed:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._events.drop, self._state.invocation_id)

    async def _next_after_wait(self) -> Any:
        state = self._state
        while not (self._closed or state.completed):
            try:
                self._ready = iter(await self._receive())
            except BaseException:
                # A stream that makes no sense, or a task that was cancelled: this caller will not come back.
                await self.close()
                raise
            for chunk in self._ready:
                return value_from(chunk)
        if self._events is not None and not self._closed:
            self._closed = True
            await self._events.finish()
        raise StopAsyncIteration

    async def _receive(self) -> Any:
        state = self._state
        try:
            if self._events is None:
                self._events = await self._start()
                self._loop = asyncio.get_running_loop()
            async with asyncio.timeout(state.silence_limit):
                event = await self._events.receive()
        except TimeoutError:
            raise state.fall_silent() from None
        except RunAgentError as error:
            self._closed = True
            raise state.fail(error) from None
        if event is not None:
            return state.receive(event)
        self._closed = True
        state.end()
        return ()


def _transport_to(server: Address, api_key: str | None) -> AsyncTransport:
    if server.transport == "http":
        # Most callers speak gRPC, and need not wait for an HTTP library to load.
        from runagent_grpc.client.http_aio import AsyncHttpTransport

        return AsyncHttpTransport(server, api_key)
    return AsyncGrpcTransport(server, api_key)
