"""What a client for asyncio asks of a transport, in the contract's own messages.

A transport is bound to one server. It knows how to reach it and how its failures read; what a stream means is
`StreamState`'s, and what is tried again `Retry`'s. Everything that a transport raises is a RunAgentError.
"""

from __future__ import annotations

from typing import Any, Protocol

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.descriptions import AgentDescription, InvocationDescription, LogLine
from runagent_grpc.client.retry import PeerStatus

__all__ = ["AsyncEvents", "AsyncTransport"]


class AsyncEvents(Protocol):
    """The events of one stream, for asyncio."""

    async def receive(self) -> pb.RunStreamResponse | None:
        """Waits for the next event. None says that the stream is over and, to the transport, ended well."""

    async def finish(self) -> None:
        """Lets go of a stream whose terminal event has come."""

    async def leave(self, cancel_request: pb.CancelInvocationRequest | None) -> None:
        """Lets go of a stream that goes on, on purpose; `cancel_request` says what to cancel, None that nothing is."""

    def drop(self, cancel_request: pb.CancelInvocationRequest | None) -> object:
        """Does as `leave`, and waits for nothing."""

    def abort(self) -> None:
        """Drops the connection as if it were cut, and wakes a `receive`. Waits for nothing."""


class AsyncTransport(Protocol):
    """A server, for asyncio. Belongs to one event loop."""

    @property
    def contact(self) -> PeerStatus:
        """What was had of the server."""

    async def run(self, call: call_pb2.Call, deadline: Deadline) -> Any:
        """Returns an entrypoint's value. Whoever interrupts it has dropped the call, and cancelled nothing."""

    async def open_stream(self, request: pb.RunStreamRequest, deadline: Deadline) -> AsyncEvents:
        """Begins to stream. Raises only that the client was closed; any other failure is the first `receive`'s."""

    async def send_cancel(self, cancel_request: pb.CancelInvocationRequest) -> None:
        """Cancels what a caller has left. Waits a second at most, and raises nothing."""

    async def cancel(self, invocation_id: str, deadline: Deadline) -> None:
        """Cancels an invocation."""

    async def list_agents(self, deadline: Deadline) -> list[AgentDescription]:
        """Returns the agents that the server serves."""

    async def get_agent(self, agent_id: str, deadline: Deadline) -> AgentDescription:
        """Returns an agent with the schemas of its entrypoints' input."""

    async def get_invocation(self, invocation_id: str, deadline: Deadline) -> InvocationDescription:
        """Returns what is kept of an invocation."""

    async def list_invocations(self, agent_id: str, limit: int, deadline: Deadline) -> list[InvocationDescription]:
        """Returns the newest invocations."""

    async def list_logs(self, invocation_id: str, limit: int, deadline: Deadline) -> list[LogLine]:
        """Returns the first lines that an invocation printed or logged."""

    async def close(self) -> None:
        """Closes the connection. Calls that are under way fail."""
