# Generated from runagent_grpc/client/aio.py by scripts/unasync.py; do not edit.
"""The client for code that blocks."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.client.base import ClientBase, checked_limit
from runagent_grpc.client.connection import Connection, ServerLocator
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.descriptions import AgentDescription, InvocationDescription, LogLine
from runagent_grpc.client.stream import StreamState
from runagent_grpc.client.stream_sync import ChunkStream
from runagent_grpc.client.transport_sync import Transport
from runagent_grpc.errors import RunAgentError

__all__ = ["RunAgentClient"]

T = TypeVar("T")


class RunAgentClient(ClientBase):
    """Calls one entrypoint of one agent. Threads may share it.

        with RunAgentClient("quickstart", "chat_stream") as client:
            for chunk in client.run_stream(message="Tell me a story"):
                print(chunk, end="", flush=True)

    Everything it raises is a RunAgentError.
    """

    def run(self, /, *args: Any, **kwargs: Any) -> Any:
        """Calls the entrypoint with these arguments.

        Returns its value, or, for a tag that ends in `_stream`, an iterator over its chunks. Strings and bytes
        arrive as they were; every other value as JSON has it, and over REST bytes do, too: in base64.
        """
        if self.is_streaming:
            return self.run_stream(*args, **kwargs)
        call = self._call(args, kwargs)
        with self._connection.attending(call):
            return self._with_retries(lambda transport, deadline: transport.run(call, deadline))

    def run_stream(self, /, *args: Any, **kwargs: Any) -> ChunkStream:
        """Calls the entrypoint, which must stream, and returns an iterator over its chunks.

        The call is under way when this returns. To cancel, close the iterator, or drop it; it works in
        a `with`, too.
        """
        return self._stream(pb.RunStreamRequest(call=self._call(args, kwargs)))

    def resume(self, invocation_id: str, after: int = 0) -> ChunkStream:
        """Resumes a stream after its chunk number `after`, in the place of its present reader.

        Closing the iterator cancels nothing: what becomes of the invocation was decided when it started.
        """
        return self._stream(self._resume_request(invocation_id, after))

    def cancel(self, invocation_id: str) -> None:
        """Cancels an invocation. One that has ended stays as it ended. Raises NotFoundError for an unknown id."""
        self._with_retries(lambda transport, deadline: transport.cancel(invocation_id, deadline))

    def get_invocation(self, invocation_id: str) -> InvocationDescription:
        """Returns what the server has on record. Raises NotFoundError for an unknown id."""
        return self._with_retries(lambda transport, deadline: transport.get_invocation(invocation_id, deadline))

    def list_invocations(self, limit: int = 50) -> list[InvocationDescription]:
        """Returns the agent's latest invocations, the newest first, without their results."""
        limit = checked_limit(limit)
        return self._with_retries(
            lambda transport, deadline: transport.list_invocations(self.agent_id, limit, deadline)
        )

    def list_logs(self, invocation_id: str, limit: int = 50) -> list[LogLine]:
        """Returns what an invocation printed and logged, the oldest first. Needs gRPC; REST has no word for it."""
        limit = checked_limit(limit)
        return self._with_retries(lambda transport, deadline: transport.list_logs(invocation_id, limit, deadline))

    def list_agents(self) -> list[AgentDescription]:
        """Returns the agents that the server serves, without their input schemas."""
        return self._with_retries(lambda transport, deadline: transport.list_agents(deadline))

    def get_agent(self) -> AgentDescription:
        """Returns the agent's description, with its entrypoints and their input schemas."""
        return self._with_retries(lambda transport, deadline: transport.get_agent(self.agent_id, deadline))

    def close(self) -> None:
        """Closes the connection, if there is one, and the streams on it. The client connects again when it is used."""
        self._connection.close()

    def __enter__(self) -> RunAgentClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _with_retries(self, attempt: Callable[[Transport, Deadline], T]) -> T:
        """Makes an attempt, and makes it again while the server is unavailable."""
        deadline = Deadline(self.timeout)
        retry = self._retry(deadline)
        transport = self._connection.transport()
        while True:
            try:
                return attempt(transport, deadline)
            except RunAgentError as error:
                pause = retry.pause_after(error, transport.contact)
            time.sleep(pause)
            transport = self._connection.after(transport, retry.failures)

    def _stream(self, request: pb.RunStreamRequest) -> ChunkStream:
        deadline = Deadline(self.timeout)
        state = StreamState(request, self._retry(deadline))
        return ChunkStream(self._connection, state, deadline=deadline)

    def _connect_to(self, server: ServerLocator) -> None:
        self._connection = Connection(server)
