"""What a client asks of a transport, in the contract's own messages: the narrow waist between it and a wire.

A transport is bound to one server. It knows how to reach it and how its failures read; what a stream means is
`StreamState`'s. Everything that a transport raises is a RunAgentError.
"""

from __future__ import annotations

from typing import Any, Protocol

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.descriptions import AgentDescription

__all__ = ["AsyncEvents", "AsyncTransport", "Events", "Transport"]


class Events(Protocol):
    """The events of one stream, for code that blocks."""

    def receive(self) -> pb.RunStreamResponse | None:
        """Waits for the next event. None says that the stream is over and, to the transport, ended well."""

    def finish(self) -> None:
        """Lets go of a stream whose terminal event has come."""

    def leave(self, invocation_id: str | None, *, wait: bool) -> None:
        """Lets go of a stream that goes on, so that the server knows that this was on purpose.

        Another thread may be in `receive`. Without `wait` it never blocks.
        """

    def abandon(self) -> None:
        """Wakes a `receive` on another thread, for nobody answers any more."""


class Transport(Protocol):
    """A server, for code that blocks. Threads may share it. A `timeout` in seconds bounds the whole call."""

    def run(self, call: call_pb2.Call, timeout: float | None) -> Any:
        """Returns an entrypoint's value."""

    def open_stream(self, call: call_pb2.Call, timeout: float | None) -> Events:
        """Begins to stream. Whatever is wrong with that is told by the first `receive`."""

    def cancel(self, invocation_id: str, timeout: float | None) -> None:
        """Cancels an invocation."""

    def list_agents(self, timeout: float | None) -> list[AgentDescription]:
        """Returns the agents that the server serves."""

    def get_agent(self, agent_id: str, timeout: float | None) -> AgentDescription:
        """Returns an agent with the schemas of its entrypoints' input."""

    def close(self) -> None:
        """Closes the connection. Calls that are under way fail."""


class AsyncEvents(Protocol):
    """The events of one stream, for asyncio."""

    async def receive(self) -> pb.RunStreamResponse | None:
        """Waits for the next event. None says that the stream is over and, to the transport, ended well."""

    async def finish(self) -> None:
        """Lets go of a stream whose terminal event has come."""

    async def leave(self, invocation_id: str | None) -> None:
        """Lets go of a stream that goes on, so that the server knows that this was on purpose."""

    def drop(self, invocation_id: str | None) -> Any:
        """Does as `leave`, and waits for nothing."""


class AsyncTransport(Protocol):
    """A server, for one event loop. A `timeout` in seconds bounds the whole call."""

    async def run(self, call: call_pb2.Call, timeout: float | None) -> Any:  # noqa: ASYNC109 - the wire carries it
        """Returns an entrypoint's value."""

    async def open_stream(self, call: call_pb2.Call, timeout: float | None) -> AsyncEvents:  # noqa: ASYNC109 - same
        """Begins to stream. Whatever is wrong with that is told here, or by the first `receive`."""

    async def cancel(self, invocation_id: str, timeout: float | None) -> None:  # noqa: ASYNC109 - same
        """Cancels an invocation."""

    async def list_agents(self, timeout: float | None) -> list[AgentDescription]:  # noqa: ASYNC109 - same
        """Returns the agents that the server serves."""

    async def get_agent(self, agent_id: str, timeout: float | None) -> AgentDescription:  # noqa: ASYNC109 - same
        """Returns an agent with the schemas of its entrypoints' input."""

    async def close(self) -> None:
        """Closes the connection. Calls that are under way fail."""
