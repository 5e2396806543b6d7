"""The gRPC transport for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import (
    agent_service_pb2_grpc,
    call_pb2,
    history_service_pb2,
    history_service_pb2_grpc,
)
from runagent_grpc.client.address import Address
from runagent_grpc.client.channel import CANCEL_SECONDS, channel_options, metadata_of
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.descriptions import (
    AgentDescription,
    InvocationDescription,
    LogLine,
    agent_from,
    invocation_from,
    log_line_from,
)
from runagent_grpc.client.failures import closed_meanwhile, contact_in, failure_from, metadata_value
from runagent_grpc.client.retry import PeerStatus
from runagent_grpc.contract.messages import INVOCATION_ID_METADATA, value_from
from runagent_grpc.errors import RunAgentError

__all__ = ["AsyncGrpcTransport"]


class AsyncGrpcTransport:
    """Speaks `runagent.v1` on one channel of grpc.aio."""

    def __init__(self, address: Address, api_key: str | None, *, contact: PeerStatus = PeerStatus.NONE) -> None:
        self.contact = contact
        self._address = address
        self._metadata = metadata_of(api_key)
        self._channel = _channel(address)
        self._stub: Any = agent_service_pb2_grpc.AgentServiceStub(self._channel)
        self._history: Any = history_service_pb2_grpc.HistoryServiceStub(self._channel)
        self._closed = False
        """The calls of streams that are read, or may be."""

    async def run(self, call: call_pb2.Call, deadline: Deadline) -> Any:
        self._require_open()
        rpc = self._stub.Run(pb.RunRequest(call=call), timeout=deadline.remaining(), metadata=self._metadata)
        try:
            response = await rpc
        except grpc.aio.AioRpcError as error:
            announced = _announced_id(error.initial_metadata())
            raise self.failure(error, deadline).replace(invocation_id=announced) from None
        except asyncio.CancelledError:
            if not _task_is_cancelled():
                raise closed_meanwhile() from None
            rpc.cancel()
            raise
        self.contact = PeerStatus.ANSWER
        return value_from(response.result)

    async def open_stream(self, request: pb.RunStreamRequest, deadline: Deadline) -> AsyncGrpcEvents:
        self._require_open()
        rpc = self._stub.RunStream(request, timeout=deadline.remaining(), metadata=self._metadata)
        return AsyncGrpcEvents(self, rpc, deadline)

    async def send_cancel(self, cancel_request: pb.CancelInvocationRequest) -> None:
        if not self._closed:
            try:
                await self.withdrawing(cancel_request)
            except grpc.aio.AioRpcError:
                return
            except asyncio.CancelledError:
                # Of the call, which a closing channel ends; or of this task, whose business it is.
                if _task_is_cancelled():
                    raise

    def withdrawing(self, cancel_request: pb.CancelInvocationRequest) -> Any:
        """Returns the call that cancels what a caller has left, which is under way already."""
        return self._stub.CancelInvocation(cancel_request, timeout=CANCEL_SECONDS, metadata=self._metadata)

    async def cancel(self, invocation_id: str, deadline: Deadline) -> None:
        await self._ask(self._stub.CancelInvocation, pb.CancelInvocationRequest(invocation_id=invocation_id), deadline)

    async def list_agents(self, deadline: Deadline) -> list[AgentDescription]:
        response = await self._ask(self._stub.ListAgents, pb.ListAgentsRequest(), deadline)
        return [agent_from(agent) for agent in response.agents]

    async def get_agent(self, agent_id: str, deadline: Deadline) -> AgentDescription:
        response = await self._ask(self._stub.GetAgent, pb.GetAgentRequest(agent_id=agent_id), deadline)
        return agent_from(response.agent)

    async def get_invocation(self, invocation_id: str, deadline: Deadline) -> InvocationDescription:
        request = history_service_pb2.GetInvocationRequest(invocation_id=invocation_id)
        return invocation_from((await self._ask(self._history.GetInvocation, request, deadline)).invocation)

    async def list_invocations(self, agent_id: str, limit: int, deadline: Deadline) -> list[InvocationDescription]:
        request = history_service_pb2.ListInvocationsRequest(agent_id=agent_id, page_size=limit)
        response = await self._ask(self._history.ListInvocations, request, deadline)
        return [invocation_from(invocation) for invocation in response.invocations]

    async def list_logs(self, invocation_id: str, limit: int, deadline: Deadline) -> list[LogLine]:
        request = history_service_pb2.ListLogsRequest(invocation_id=invocation_id, page_size=limit)
        response = await self._ask(self._history.ListLogs, request, deadline)
        return [log_line_from(line) for line in response.lines]

    async def close(self) -> None:
        self._closed = True
        await self._channel.close()

    def failure(self, error: grpc.aio.AioRpcError, deadline: Deadline) -> RunAgentError:
        """Returns what a failed RPC means."""
        self.contact = max(self.contact, contact_in(error))
        return failure_from(error, address=str(self._address), deadline=deadline)

    def drop(self, rpc: Any, cancel_request: pb.CancelInvocationRequest | None) -> Any:
        """Drops a stream's call, and returns another, under way already, that says that this was on purpose."""
        rpc.cancel()
        return None if cancel_request is None or self._closed else self.withdrawing(cancel_request)

    async def _ask(self, method: Callable[..., Any], request: Any, deadline: Deadline) -> Any:
        self._require_open()
        try:
            response = await method(request, timeout=deadline.remaining(), metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise self.failure(error, deadline) from None
        self.contact = PeerStatus.ANSWER
        return response

    def _require_open(self) -> None:
        if self._closed:
            raise closed_meanwhile()


class AsyncGrpcEvents:
    """The events of one RunStream."""

    def __init__(self, transport: AsyncGrpcTransport, rpc: Any, deadline: Deadline) -> None:
        self._transport = transport
        self._rpc = rpc
        self._deadline = deadline

    async def receive(self) -> pb.RunStreamResponse | None:
        try:
            event = await self._rpc.read()
            if event is grpc.aio.EOF:
                # Reads on after an end raise nothing; the status tells how it ended.
                await self._raise_status()
                return None
        except grpc.aio.AioRpcError as error:
            raise self._transport.failure(error, self._deadline) from None
        except asyncio.CancelledError:
            if not _task_is_cancelled():
                raise closed_meanwhile() from None
            raise
        self._transport.contact = PeerStatus.ANSWER
        message: pb.RunStreamResponse = event
        return message

    async def finish(self) -> None:
        """Needs to do nothing: the status comes by itself."""

    async def leave(self, cancel_request: pb.CancelInvocationRequest | None) -> None:
        self._rpc.cancel()
        if cancel_request is not None:
            await self._transport.send_cancel(cancel_request)

    def drop(self, cancel_request: pb.CancelInvocationRequest | None) -> Any:
        return self._transport.drop(self._rpc, cancel_request)

    def abort(self) -> None:
        self._rpc.cancel()

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
