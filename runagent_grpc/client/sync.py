"""The client for code that blocks."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.client.base import ClientBase
from runagent_grpc.client.descriptions import AgentDescription
from runagent_grpc.client.discovery import find_server
from runagent_grpc.client.grpc_sync import GrpcTransport
from runagent_grpc.client.silence import SilenceWatch
from runagent_grpc.client.stream import StreamState
from runagent_grpc.client.transport import Events, Transport
from runagent_grpc.contract import value_from
from runagent_grpc.errors import RunAgentError

__all__ = ["ChunkStream", "RunAgentClient"]


class RunAgentClient(ClientBase):
    """Calls one entrypoint of one agent.

        client = RunAgentClient("quickstart", "chat_stream")
        for chunk in client.run(message="Tell me a story"):
            print(chunk, end="", flush=True)

    Everything it raises is a RunAgentError. Threads may share it.
    """

    def run(self, /, *args: Any, **kwargs: Any) -> Any:
        """Calls the entrypoint with these arguments.

        Returns its value, or, for a tag that ends in `_stream`, an iterator over its chunks. Strings and bytes arrive
        as they were; every other value as JSON has it, and over REST bytes do, too: in base64.
        """
        if self.is_streaming:
            return self.run_stream(*args, **kwargs)
        return self._transport.run(self._call(args, kwargs), self.timeout)

    def run_stream(self, /, *args: Any, **kwargs: Any) -> ChunkStream:
        """Calls the entrypoint, which must stream, and returns an iterator over its chunks.

        The call is under way when this returns. Close the iterator, or drop it, to cancel; it is a `with`, too.
        """
        events = self._transport.open_stream(self._call(args, kwargs), self.timeout)
        return ChunkStream(events, watch=self._watch)

    def cancel(self, invocation_id: str) -> None:
        """Cancels an invocation. One that has ended stays as it ended. Raises NotFoundError for an unknown id.

        Needs gRPC; REST has no word for it.
        """
        self._transport.cancel(invocation_id, self.timeout)

    def list_agents(self) -> list[AgentDescription]:
        """Returns the agents that the server serves, without their input schemas."""
        return self._transport.list_agents(self.timeout)

    def get_agent(self) -> AgentDescription:
        """Returns the agent's description, with its entrypoints and their input schemas."""
        return self._transport.get_agent(self.agent_id, self.timeout)

    def close(self) -> None:
        """Closes the connection, if there is one. The client connects again when it is used again."""
        if transport := self.__dict__.pop("_transport", None):
            transport.close()

    def __enter__(self) -> RunAgentClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @functools.cached_property
    def _transport(self) -> Transport:
        server = find_server(self.address, self._api_key)
        if server.transport == "http":
            # Most callers speak gRPC, and need not wait for an HTTP library to load.
            from runagent_grpc.client.http_sync import HttpTransport

            return HttpTransport(server, self._api_key)
        return GrpcTransport(server, self._api_key)

    @functools.cached_property
    def _watch(self) -> SilenceWatch:
        return SilenceWatch()


class ChunkStream(Iterator[Any]):
    """The chunks of a stream, as they come. Ends when the entrypoint has; raises RunAgentError for any other end."""

    def __init__(self, events: Events, *, watch: SilenceWatch) -> None:
        self._events = events
        self._watch = watch
        self._state = StreamState()
        self._ready: Iterator[Any] = iter(())
        self._waits_since: float | None = None
        self._silent = False
        self._closed = False
        watch.add(self)

    @property
    def invocation_id(self) -> str | None:
        """The invocation's id, once the stream has started."""
        return self._state.invocation_id

    def __next__(self) -> Any:
        for chunk in self._ready:
            return value_from(chunk)
        return self._next_after_wait()

    def close(self) -> None:
        """Cancels, unless the stream has ended. Its `finally` blocks run on the server."""
        self._end(wait=True)

    def __enter__(self) -> ChunkStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Whatever failed in the constructor left nothing to end.
        if hasattr(self, "_closed"):
            self._end(wait=False)

    @property
    def silent_after(self) -> float | None:
        """When the server counts as gone, on the watch's clock. Never while it is the caller who takes their time."""
        limit, since = self._state.silence_limit, self._waits_since
        return None if limit is None or since is None else since + limit

    def on_silence(self) -> None:
        """Wakes the reader, which blocks."""
        self._silent = True
        self._events.abandon()

    def _next_after_wait(self) -> Any:
        state = self._state
        while not (self._closed or state.completed):
            try:
                event = self._receive()
                if event is None:
                    self._finish()
                    state.end()
                else:
                    self._ready = iter(state.receive(event))
            except BaseException:
                # Ctrl-C, or a stream that makes no sense: this caller will not come back.
                self.close()
                raise
            for chunk in self._ready:
                return value_from(chunk)
        if not self._closed:
            self._events.finish()
            self._finish()
        raise StopIteration

    def _receive(self) -> pb.RunStreamResponse | None:
        self._waits_since = self._watch.clock()
        try:
            event = self._events.receive()
        except RunAgentError as error:
            self._finish()
            raise (self._state.fall_silent() if self._silent else self._state.fail(error)) from None
        self._waits_since = None
        return event

    def _finish(self) -> None:
        self._closed = True
        self._watch.remove(self)

    def _end(self, *, wait: bool) -> None:
        if not self._closed:
            self._finish()
            self._events.leave(self._state.invocation_id, wait=wait)
