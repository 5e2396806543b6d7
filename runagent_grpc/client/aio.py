"""The client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Any

import grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc
from runagent_grpc.client.address import Address
from runagent_grpc.client.base import CANCEL_SECONDS, ClientBase
from runagent_grpc.client.descriptions import AgentDescription, agent_from
from runagent_grpc.client.discovery import discover
from runagent_grpc.client.failures import failure_from, metadata_value
from runagent_grpc.client.stream import StreamState
from runagent_grpc.contract import INVOCATION_ID_METADATA, value_from
from runagent_grpc.errors import InvocationCancelledError, RunAgentError

__all__ = ["AsyncChunkStream", "AsyncRunAgentClient"]


class AsyncRunAgentClient(ClientBase):
    """Calls one entrypoint of one agent, on the event loop that it is first used on.

        async with AsyncRunAgentClient("quickstart", "chat_stream") as client:
            async for chunk in client.run_stream(message="Tell me a story"):
                print(chunk, end="", flush=True)

    Everything it raises is a RunAgentError.
    """

    _channel: grpc.aio.Channel | None = None
    _server: Address | None = None

    @functools.cached_property
    def _streams(self) -> weakref.WeakSet[Any]:
        """The calls of streams that are read, or may be."""
        return weakref.WeakSet()

    async def run(self, /, *args: Any, **kwargs: Any) -> Any:
        """Calls the entrypoint with these arguments.

        Returns its value, or, for a tag that ends in `_stream`, an async iterator over its chunks. Strings and bytes
        arrive as they were; every other value as JSON has it.
        """
        if self.is_streaming:
            return self.run_stream(*args, **kwargs)
        stub = await self._connected()
        call = stub.Run(self._run_request(args, kwargs), timeout=self.timeout, metadata=self._metadata())
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            failure = self._failure(error)
            failure.invocation_id = _announced_id(error.initial_metadata())
            raise failure from None
        except asyncio.CancelledError:
            if not _task_is_cancelled():
                raise _closed_meanwhile() from None
            call.cancel()
            raise
        return value_from(response.result)

    def run_stream(self, /, *args: Any, **kwargs: Any) -> AsyncChunkStream:
        """Calls the entrypoint, which must stream, and returns an async iterator over its chunks.

        The call starts with the first chunk that is asked for. Close the iterator to cancel; it is an `async with`.
        """
        request = self._stream_request(args, kwargs)

        async def start() -> Any:
            stub = await self._connected()
            call = stub.RunStream(request, timeout=self.timeout, metadata=self._metadata())
            self._streams.add(call)
            return call

        return AsyncChunkStream(start, leave=self._leave, drop=self._drop, failure=self._failure)

    async def cancel(self, invocation_id: str) -> None:
        """Cancels an invocation. One that has ended stays as it ended. Raises NotFoundError for an unknown id."""
        stub = await self._connected()
        await self._ask(stub.CancelInvocation, pb.CancelInvocationRequest(invocation_id=invocation_id))

    async def list_agents(self) -> list[AgentDescription]:
        """Returns the agents that the server serves, without their input schemas."""
        stub = await self._connected()
        response = await self._ask(stub.ListAgents, pb.ListAgentsRequest())
        return [agent_from(agent) for agent in response.agents]

    async def get_agent(self) -> AgentDescription:
        """Returns the agent's description, with its entrypoints and their input schemas."""
        stub = await self._connected()
        return agent_from((await self._ask(stub.GetAgent, pb.GetAgentRequest(agent_id=self.agent_id))).agent)

    async def close(self) -> None:
        """Closes the connection, if there is one. The client connects again when it is used again."""
        channel, self._channel, self._server = self._channel, None, None
        if channel is not None:
            # Older grpcio leaves whoever reads a stream of a closed channel waiting for ever.
            for call in list(self._streams):
                call.cancel()
            await channel.close()

    async def __aenter__(self) -> AsyncRunAgentClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _connected(self) -> Any:
        if self._channel is None:
            address = await asyncio.to_thread(discover, self.address, self._api_key, timeout=self.timeout)
            # Whoever came first while this one asked has connected already.
            self._channel = self._channel or self._open(address)
        return agent_service_pb2_grpc.AgentServiceStub(self._channel)

    def _open(self, address: Address) -> grpc.aio.Channel:
        self._server = address
        options = self._channel_options(address)
        if address.tls:
            return grpc.aio.secure_channel(str(address), grpc.ssl_channel_credentials(), options)
        return grpc.aio.insecure_channel(str(address), options)

    async def _ask(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return await method(request, timeout=self.timeout, metadata=self._metadata())
        except grpc.aio.AioRpcError as error:
            raise self._failure(error) from None

    def _failure(self, error: grpc.aio.AioRpcError) -> RunAgentError:
        return failure_from(error, address=str(self._server), timeout=self.timeout)

    async def _leave(self, call: Any, invocation_id: str | None) -> None:
        """Drops the call, and waits until the server has heard that this was on purpose."""
        telling = self._drop(call, invocation_id)
        if telling is not None:
            try:
                await telling
            except grpc.aio.AioRpcError:
                return
            except asyncio.CancelledError:
                # Of the call, which a closing channel ends; or of this task, whose business it is.
                if _task_is_cancelled():
                    raise

    def _drop(self, call: Any, invocation_id: str | None) -> Any:
        """Drops the call, and returns another, under way already, that tells the server that this was on purpose."""
        call.cancel()
        if invocation_id is None or self._channel is None:
            return None
        stub = agent_service_pb2_grpc.AgentServiceStub(self._channel)
        request = pb.CancelInvocationRequest(invocation_id=invocation_id)
        return stub.CancelInvocation(request, timeout=CANCEL_SECONDS, metadata=self._metadata())


class AsyncChunkStream(AsyncIterator[Any]):
    """The chunks of a stream, as they come. Ends when the entrypoint has; raises RunAgentError for any other end."""

    def __init__(
        self,
        start: Callable[[], Awaitable[Any]],
        *,
        leave: Callable[[Any, str | None], Awaitable[None]],
        drop: Callable[[Any, str | None], Any],
        failure: Callable[[grpc.aio.AioRpcError], RunAgentError],
    ) -> None:
        self._start = start
        self._leave = leave
        self._drop = drop
        self._failure = failure
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state = StreamState()
        self._ready: Iterator[Any] = iter(())
        self._call: Any = None
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
            if self._call is not None:
                await self._leave(self._call, self._state.invocation_id)

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
        if loop is not None and not self._closed:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._drop, self._call, self._state.invocation_id)

    async def _next_after_wait(self) -> Any:
        state = self._state
        while not (self._closed or state.completed):
            try:
                self._ready = iter(await self._receive())
            except grpc.aio.AioRpcError as error:
                self._closed = True
                raise state.fail(self._failure(error)) from None
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError) and not _task_is_cancelled():
                    self._closed = True
                    raise state.fail(_closed_meanwhile()) from None
                # A task that was cancelled, most likely: this caller will not come back.
                await self.close()
                raise
            for chunk in self._ready:
                return value_from(chunk)
        self._closed = True
        raise StopAsyncIteration

    async def _receive(self) -> Any:
        state = self._state
        if self._call is None:
            self._call = await self._start()
            self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(state.silence_limit):
                message = await self._call.read()
        except TimeoutError:
            raise state.fall_silent() from None
        if message is not grpc.aio.EOF:
            return state.receive(message)
        # Reads on after an end raise nothing; the status tells how it ended.
        await self._raise_status()
        state.end()
        return ()

    async def _raise_status(self) -> None:
        call = self._call
        if await call.code() is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(
                await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
            )


def _task_is_cancelled() -> bool:
    """Whether it is this task that somebody cancels. A call of grpc.aio that was cancelled looks the same to it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _closed_meanwhile() -> RunAgentError:
    return InvocationCancelledError("The client was closed while it waited.")


def _announced_id(metadata: Any) -> str | None:
    value = metadata_value(metadata, INVOCATION_ID_METADATA)
    return value if isinstance(value, str) else None
