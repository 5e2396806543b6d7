"""The client for code that blocks."""

from __future__ import annotations

import functools
import threading
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
from runagent_grpc.errors import InvocationCancelledError, RunAgentError

__all__ = ["ChunkStream", "RunAgentClient"]


class RunAgentClient(ClientBase):
    """Calls one entrypoint of one agent.

        client = RunAgentClient("quickstart", "chat_stream")
        for chunk in client.run(message="Tell me a story"):
            print(chunk, end="", flush=True)

    Everything it raises is a RunAgentError. Threads may share it.
    """

    _transport: Transport
    """There once it is needed; taken away by `close`."""

    def run(self, /, *args: Any, **kwargs: Any) -> Any:
        """Calls the entrypoint with these arguments.

        Returns its value, or, for a tag that ends in `_stream`, an iterator over its chunks. Strings and bytes arrive
        as they were; every other value as JSON has it, and over REST bytes do, too: in base64.
        """
        if self.is_streaming:
            return self.run_stream(*args, **kwargs)
        return self._connected().run(self._run_call(args, kwargs), self.timeout)

    def run_stream(self, /, *args: Any, **kwargs: Any) -> ChunkStream:
        """Calls the entrypoint, which must stream, and returns an iterator over its chunks.

        The call is under way when this returns. Close the iterator, or drop it, to cancel; it is a `with`, too.
        """
        events = self._connected().open_stream(self._stream_call(args, kwargs), self.timeout)
        return ChunkStream(events, watch=self._watch)

    def cancel(self, invocation_id: str) -> None:
        """Cancels an invocation. One that has ended stays as it ended. Raises NotFoundError for an unknown id.

        Needs gRPC; REST has no word for it.
        """
        self._connected().cancel(invocation_id, self.timeout)

    def list_agents(self) -> list[AgentDescription]:
        """Returns the agents that the server serves, without their input schemas."""
        return self._connected().list_agents(self.timeout)

    def get_agent(self) -> AgentDescription:
        """Returns the agent's description, with its entrypoints and their input schemas."""
        return self._connected().get_agent(self.agent_id, self.timeout)

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

    def _connected(self) -> Transport:
        transport: Transport | None = self.__dict__.get("_transport")
        if transport is None:
            made = self._connect()
            # Of threads that connect at once, all take the connection of the first.
            transport = self.__dict__.setdefault("_transport", made)
            if transport is not made:
                made.close()
        return transport

    def _connect(self) -> Transport:
        server = find_server(self.address, self._api_key, timeout=self.timeout)
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
        self._closed_by: int | None = None
        """The thread that closed it before its end."""
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
        """Cancels, unless the stream has ended. Its `finally` blocks run on the server.

        A thread that still reads it gets an InvocationCancelledError.
        """
        if not self._closed:
            self._closed_by = threading.get_ident()
            self._finish()
            self._events.leave(self._state.invocation_id, wait=True)

    def __enter__(self) -> ChunkStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # Whatever failed in the constructor left nothing to end. Takes no lock of the watch's, under which garbage may
        # be collected; the watch notices by itself.
        if not getattr(self, "_closed", True):
            self._closed = True
            self._events.leave(self._state.invocation_id, wait=False)

    @property
    def silent_after(self) -> float | None:
        """When the server counts as gone, on the watch's clock. Never while it is the caller who takes their time."""
        limit, since = self._state.silence_limit, self._waits_since
        return None if limit is None or since is None or self._closed else since + limit

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
        if self._closed_elsewhere():
            raise self._closed_error()
        raise StopIteration

    def _receive(self) -> pb.RunStreamResponse | None:
        self._waits_since = self._watch.clock()
        try:
            event = self._events.receive()
        except RunAgentError as error:
            self._finish()
            raise self._meaning_of(error) from None
        self._waits_since = None
        return event

    def _meaning_of(self, error: RunAgentError) -> RunAgentError:
        if self._silent:
            return self._state.fall_silent()
        return self._closed_error() if self._closed_elsewhere() else self._state.fail(error)

    def _closed_elsewhere(self) -> bool:
        return self._closed_by not in (None, threading.get_ident())

    def _closed_error(self) -> RunAgentError:
        return InvocationCancelledError("The stream was closed.", invocation_id=self._state.invocation_id)

    def _finish(self) -> None:
        self._closed = True
        self._watch.remove(self)
