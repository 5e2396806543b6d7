"""The gRPC transport for asyncio."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

import grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, call_pb2
from runagent_grpc.client.address import Address
from runagent_grpc.client.channel import CANCEL_SECONDS, channel_options, metadata_of
from runagent_grpc.client.descriptions import AgentDescription, agent_from
from runagent_grpc.client.failures import closed_meanwhile, failure_from, metadata_value
from runagent_grpc.contract import INVOCATION_ID_METADATA, value_from
from runagent_grpc.errors import RunAgentError

__all__ = ["AsyncGrpcTransport"]


class AsyncGrpcTransport:
    """Speaks `runagent.v1` on one channel of grpc.aio."""

    def __init__(self, address: Address, api_key: str | None) -> None:
        self._address = address
        self._metadata = metadata_of(api_key)
        self._channel = _channel(address)
        self._stub: Any = agent_service_pb2_grpc.AgentServiceStub(self._channel)
        self._closed = False
        self._streams: weakref.WeakSet[Any] = weakref.WeakSet()
        """The calls of streams that are read, or may be."""

    async def run(self, call: call_pb2.Call, timeout: float | None) -> Any:  # noqa: ASYNC109 - the deadline of the RPC
        rpc = self._stub.Run(pb.RunRequest(call=call), timeout=timeout, metadata=self._metadata)
        try:
            response = await rpc
        except grpc.aio.AioRpcError as error:
            failure = self.failure(error, timeout)
            failure.invocation_id = _announced_id(error.initial_metadata())
            raise failure from None
        except asyncio.CancelledError:
            if not _task_is_cancelled():
                raise closed_meanwhile() from None
            rpc.cancel()
            raise
        return value_from(response.result)

    async def open_stream(self, call: call_pb2.Call, timeout: float | None) -> AsyncGrpcEvents:  # noqa: ASYNC109 - same
        request = pb.RunStreamRequest(call=call)
        rpc = self._stub.RunStream(request, timeout=timeout, metadata=self._metadata)
        self._streams.add(rpc)
        return AsyncGrpcEvents(self, rpc, timeout)

    async def cancel(self, invocation_id: str, timeout: float | None) -> None:  # noqa: ASYNC109 - same
        await self._ask(self._stub.CancelInvocation, pb.CancelInvocationRequest(invocation_id=invocation_id), timeout)

    async def list_agents(self, timeout: float | None) -> list[AgentDescription]:  # noqa: ASYNC109 - same
        response = await self._ask(self._stub.ListAgents, pb.ListAgentsRequest(), timeout)
        return [agent_from(agent) for agent in response.agents]

    async def get_agent(self, agent_id: str, timeout: float | None) -> AgentDescription:  # noqa: ASYNC109 - same
        return agent_from((await self._ask(self._stub.GetAgent, pb.GetAgentRequest(agent_id=agent_id), timeout)).agent)

    async def close(self) -> None:
        self._closed = True
        # Older grpcio leaves whoever reads a stream of a closed channel waiting for ever.
        for rpc in list(self._streams):
            rpc.cancel()
        await self._channel.close()

    def failure(self, error: grpc.aio.AioRpcError, timeout: float | None) -> RunAgentError:
        """Returns what a failed RPC means."""
        return failure_from(error, address=str(self._address), timeout=timeout)

    async def leave(self, rpc: Any, invocation_id: str | None) -> None:
        """Drops the call, and waits until the server has heard that this was on purpose."""
        telling = self.drop(rpc, invocation_id)
        if telling is not None:
            try:
                await telling
            except grpc.aio.AioRpcError:
                return
            except asyncio.CancelledError:
                # Of the call, which a closing channel ends; or of this task, whose business it is.
                if _task_is_cancelled():
                    raise

    def drop(self, rpc: Any, invocation_id: str | None) -> Any:
        """Drops the call, and returns another, under way already, that tells the server that this was on purpose."""
        rpc.cancel()
        if invocation_id is None or self._closed:
            return None
        request = pb.CancelInvocationRequest(invocation_id=invocation_id)
        return self._stub.CancelInvocation(request, timeout=CANCEL_SECONDS, metadata=self._metadata)

    async def _ask(self, method: Callable[..., Any], request: Any, timeout: float | None) -> Any:  # noqa: ASYNC109 - same
        try:
            return await method(request, timeout=timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self.failure(error, timeout) from None


class AsyncGrpcEvents:
    """The events of one RunStream."""

    def __init__(self, transport: AsyncGrpcTransport, rpc: Any, timeout: float | None) -> None:
        self._transport = transport
        self._rpc = rpc
        self._timeout = timeout

    async def receive(self) -> pb.RunStreamResponse | None:
        try:
            event = await self._rpc.read()
            if event is grpc.aio.EOF:
                # Reads on after an end raise nothing; the status tells how it ended.
                await self._raise_status()
                return None
        except grpc.aio.AioRpcError as error:
            raise self._transport.failure(error, self._timeout) from None
        except asyncio.CancelledError:
            if not _task_is_cancelled():
                raise closed_meanwhile() from None
            raise
        message: pb.RunStreamResponse = event
        return message

    async def finish(self) -> None:
        """Needs to do nothing: the status comes by itself."""

    async def leave(self, invocation_id: str | None) -> None:
        await self._transport.leave(self._rpc, invocation_id)

    def drop(self, invocation_id: str | None) -> Any:
        return self._transport.drop(self._rpc, invocation_id)

    async def _raise_status(self) -> None:
        rpc = self._rpc
        if await rpc.code() is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(
                await rpc.code(), await rpc.initial_metadata(), await rpc.trailing_metadata(), await rpc.details()
            )


def _channel(address: Address) -> grpc.aio.Channel:
    options = channel_options(address)
    if address.tls:
        return grpc.aio.secure_channel(str(address), grpc.ssl_channel_credentials(), options)
    return grpc.aio.insecure_channel(str(address), options)


def _task_is_cancelled() -> bool:
    """Whether it is this task that somebody cancels. A call of grpc.aio that was cancelled looks the same to it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _announced_id(metadata: Any) -> str | None:
    value = metadata_value(metadata, INVOCATION_ID_METADATA)
    return value if isinstance(value, str) else None
