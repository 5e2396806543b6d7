"""The gRPC transport for code that blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc, call_pb2
from runagent_grpc.client.address import Address
from runagent_grpc.client.channel import CANCEL_SECONDS, metadata_of, open_channel
from runagent_grpc.client.descriptions import AgentDescription, agent_from
from runagent_grpc.client.failures import failure_from, metadata_value
from runagent_grpc.contract import INVOCATION_ID_METADATA, value_from
from runagent_grpc.errors import InvocationCancelledError, RunAgentError

__all__ = ["GrpcTransport"]


class GrpcTransport:
    """Speaks `runagent.v1` on one channel."""

    def __init__(self, address: Address, api_key: str | None, *, channel: grpc.Channel | None = None) -> None:
        self._address = address
        self._metadata = metadata_of(api_key)
        self._channel = channel or open_channel(address)
        self._stub = agent_service_pb2_grpc.AgentServiceStub(self._channel)

    def run(self, call: call_pb2.Call, timeout: float | None) -> Any:
        with _on_open_channel():
            rpc = self._stub.Run.future(pb.RunRequest(call=call), timeout=timeout, metadata=self._metadata)
        try:
            return value_from(rpc.result().result)
        except grpc.RpcError as error:
            raise self.failure(error, timeout, rpc) from None
        except BaseException:
            # Ctrl-C, most likely.
            rpc.cancel()
            raise

    def open_stream(self, call: call_pb2.Call, timeout: float | None) -> GrpcEvents:
        request = pb.RunStreamRequest(call=call)
        with _on_open_channel():
            rpc = self._stub.RunStream(request, timeout=timeout, metadata=self._metadata)
        return GrpcEvents(self, rpc, timeout)

    def cancel(self, invocation_id: str, timeout: float | None) -> None:
        self._ask(self._stub.CancelInvocation, pb.CancelInvocationRequest(invocation_id=invocation_id), timeout)

    def list_agents(self, timeout: float | None) -> list[AgentDescription]:
        response = self._ask(self._stub.ListAgents, pb.ListAgentsRequest(), timeout)
        return [agent_from(agent) for agent in response.agents]

    def get_agent(self, agent_id: str, timeout: float | None) -> AgentDescription:
        return agent_from(self._ask(self._stub.GetAgent, pb.GetAgentRequest(agent_id=agent_id), timeout).agent)

    def close(self) -> None:
        self._channel.close()

    def failure(self, error: Any, timeout: float | None, rpc: Any = None) -> RunAgentError:
        """Returns what a failed RPC means, with the id of the invocation that `rpc` announced."""
        failure = failure_from(error, address=str(self._address), timeout=timeout)
        failure.invocation_id = None if rpc is None else _announced_id(rpc)
        return failure

    def leave(self, rpc: grpc.Call, invocation_id: str | None, *, wait: bool = True) -> None:
        """Drops the call, and tells the server that this was on purpose."""
        rpc.cancel()
        request = pb.CancelInvocationRequest(invocation_id=invocation_id or "")
        with contextlib.suppress(grpc.RpcError, grpc.FutureTimeoutError, ValueError):
            if invocation_id is not None:
                cancelling = self._stub.CancelInvocation.future(
                    request, timeout=CANCEL_SECONDS, metadata=self._metadata
                )
                if wait:
                    cancelling.result(CANCEL_SECONDS)
                else:
                    # A call that nobody holds is cancelled; its callbacks hold it until it is done.
                    cancelling.add_done_callback(lambda _: None)

    def _ask(self, method: Callable[..., Any], request: Any, timeout: float | None) -> Any:
        try:
            with _on_open_channel():
                return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise self.failure(error, timeout) from None


class GrpcEvents:
    """The events of one RunStream."""

    def __init__(self, transport: GrpcTransport, rpc: Any, timeout: float | None) -> None:
        self._transport = transport
        self._rpc = rpc
        self._timeout = timeout

    def receive(self) -> pb.RunStreamResponse | None:
        try:
            event: pb.RunStreamResponse | None = next(self._rpc, None)
        except grpc.RpcError as error:
            raise self._transport.failure(error, self._timeout, self._rpc) from None
        return event

    def finish(self) -> None:
        """Reads the status that follows the terminal event, so that the call counts as ended well."""
        with contextlib.suppress(StopIteration, grpc.RpcError):
            next(self._rpc)

    def leave(self, invocation_id: str | None, *, wait: bool) -> None:
        self._transport.leave(self._rpc, invocation_id, wait=wait)

    def abandon(self) -> None:
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
