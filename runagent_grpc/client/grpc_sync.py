"""The gRPC transport for code that blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
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
from runagent_grpc.client.channel import CANCEL_SECONDS, metadata_of, open_channel
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.descriptions import (
    AgentDescription,
    InvocationDescription,
    LogLine,
    agent_from,
    invocation_from,
    log_line_from,
)
from runagent_grpc.client.failures import contact_in, failure_from, metadata_value
from runagent_grpc.client.retry import PeerStatus
from runagent_grpc.contract.messages import INVOCATION_ID_METADATA, value_from
from runagent_grpc.errors import InvocationCancelledError, RunAgentError

__all__ = ["GrpcTransport"]


class GrpcTransport:
    """Speaks `runagent.v1` on one channel."""

    def __init__(
        self,
        address: Address,
        api_key: str | None,
        *,
        contact: PeerStatus = PeerStatus.NONE,
        channel: grpc.Channel | None = None,
    ) -> None:
        self.contact = contact
        self._address = address
        self._metadata = metadata_of(api_key)
        self._channel = channel or open_channel(address)
        self._stub = agent_service_pb2_grpc.AgentServiceStub(self._channel)
        self._history = history_service_pb2_grpc.HistoryServiceStub(self._channel)

    def run(self, call: call_pb2.Call, deadline: Deadline) -> Any:
        with _on_open_channel():
            rpc = self._stub.Run.future(pb.RunRequest(call=call), timeout=deadline.remaining(), metadata=self._metadata)
        try:
            response = rpc.result()
        except grpc.RpcError as error:
            raise self.failure(error, deadline, rpc) from None
        except BaseException:
            # Ctrl-C, most likely.
            rpc.cancel()
            raise
        self.contact = PeerStatus.ANSWER
        return value_from(response.result)

    def open_stream(self, request: pb.RunStreamRequest, deadline: Deadline) -> GrpcEvents:
        with _on_open_channel():
            rpc = self._stub.RunStream(request, timeout=deadline.remaining(), metadata=self._metadata)
        return GrpcEvents(self, rpc, deadline)

    def send_cancel(self, cancel_request: pb.CancelInvocationRequest, *, wait: bool = True) -> None:
        with contextlib.suppress(grpc.RpcError, grpc.FutureTimeoutError, grpc.FutureCancelledError, ValueError):
            telling = self._stub.CancelInvocation.future(
                cancel_request, timeout=CANCEL_SECONDS, metadata=self._metadata
            )
            if wait:
                telling.result(CANCEL_SECONDS)
            else:
                # A call that nobody holds is cancelled; its callbacks hold it until it is done.
                telling.add_done_callback(lambda _: None)

    def cancel(self, invocation_id: str, deadline: Deadline) -> None:
        self._ask(self._stub.CancelInvocation, pb.CancelInvocationRequest(invocation_id=invocation_id), deadline)

    def list_agents(self, deadline: Deadline) -> list[AgentDescription]:
        response = self._ask(self._stub.ListAgents, pb.ListAgentsRequest(), deadline)
        return [agent_from(agent) for agent in response.agents]

    def get_agent(self, agent_id: str, deadline: Deadline) -> AgentDescription:
        return agent_from(self._ask(self._stub.GetAgent, pb.GetAgentRequest(agent_id=agent_id), deadline).agent)

    def get_invocation(self, invocation_id: str, deadline: Deadline) -> InvocationDescription:
        request = history_service_pb2.GetInvocationRequest(invocation_id=invocation_id)
        return invocation_from(self._ask(self._history.GetInvocation, request, deadline).invocation)

    def list_invocations(self, agent_id: str, limit: int, deadline: Deadline) -> list[InvocationDescription]:
        request = history_service_pb2.ListInvocationsRequest(agent_id=agent_id, page_size=limit)
        response = self._ask(self._history.ListInvocations, request, deadline)
        return [invocation_from(invocation) for invocation in response.invocations]

    def list_logs(self, invocation_id: str, limit: int, deadline: Deadline) -> list[LogLine]:
        request = history_service_pb2.ListLogsRequest(invocation_id=invocation_id, page_size=limit)
        return [log_line_from(line) for line in self._ask(self._history.ListLogs, request, deadline).lines]

    def close(self) -> None:
        self._channel.close()

    def failure(self, error: Any, deadline: Deadline, rpc: Any = None) -> RunAgentError:
        """Returns what a failed RPC means, with the id of the invocation that `rpc` announced."""
        self.contact = max(self.contact, contact_in(error))
        failure = failure_from(error, address=str(self._address), deadline=deadline)
        return failure.replace(invocation_id=None if rpc is None else _announced_id(rpc))

    def _ask(self, method: Callable[..., Any], request: Any, deadline: Deadline) -> Any:
        try:
            with _on_open_channel():
                response = method(request, timeout=deadline.remaining(), metadata=self._metadata)
        except grpc.RpcError as error:
            raise self.failure(error, deadline) from None
        self.contact = PeerStatus.ANSWER
        return response


class GrpcEvents:
    """The events of one RunStream."""

    def __init__(self, transport: GrpcTransport, rpc: Any, deadline: Deadline) -> None:
        self._transport = transport
        self._rpc = rpc
        self._deadline = deadline

    def receive(self) -> pb.RunStreamResponse | None:
        try:
            event: pb.RunStreamResponse | None = next(self._rpc, None)
        except grpc.RpcError as error:
            raise self._transport.failure(error, self._deadline, self._rpc) from None
        self._transport.contact = PeerStatus.ANSWER
        return event

    def finish(self) -> None:
        """Reads the status that follows the terminal event, so that the call counts as ended well."""
        with contextlib.suppress(StopIteration, grpc.RpcError):
            next(self._rpc)

    def leave(self, cancel_request: pb.CancelInvocationRequest | None) -> None:
        self._rpc.cancel()
        if cancel_request is not None:
            self._transport.send_cancel(cancel_request)

    def drop(self, cancel_request: pb.CancelInvocationRequest | None) -> None:
        self._rpc.cancel()
        if cancel_request is not None:
            self._transport.send_cancel(cancel_request, wait=False)

    def abort(self) -> None:
        self._rpc.cancel()


@contextlib.contextmanager
def _on_open_channel() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        # "Cannot invoke RPC: Channel closed!", which is no RpcError.
        raise InvocationCancelledError("The client was closed.", details=str(error)) from None


def _announced_id(rpc: Any) -> str | None:
    """Returns the id in the initial metadata of a call that is over; until then, asking would block."""
    value = metadata_value(rpc.initial_metadata(), INVOCATION_ID_METADATA)
    return value if isinstance(value, str) else None
