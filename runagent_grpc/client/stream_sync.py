"""A stream of chunks for code that blocks: drives a `StreamState` by the events of one transport after the other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.client.connection import Connection
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.stream import ChunkStreamBase, StreamState
from runagent_grpc.client.transport_sync import Events, Transport
from runagent_grpc.contract.messages import value_from
from runagent_grpc.errors import InvalidRequestError, RunAgentError

__all__ = ["ChunkStream"]


class ChunkStream(ChunkStreamBase, Iterator[Any]):
    """The chunks of a stream, as they come. Ends when the entrypoint has; raises RunAgentError for any other end.

    A connection that is cut, or falls silent, is made again, and the stream goes on behind the last chunk that came.
    One thread may read it at a time; any may close it.
    """

    def __init__(self, connection: Connection, state: StreamState, *, deadline: Deadline) -> None:
        self._connection = connection
        super().__init__(state)
        self._deadline = deadline
        self._watchdog = connection.watchdog
        self._ready: Iterator[Any] = iter(())
        self._reading = threading.Lock()
        self._waits_since: float | None = None
        self._silent = False
        self._over = threading.Event()
        self._closed_by: int | None = None
        """The thread that closed it before its end; 0 where its client was closed."""
        self._transport: Transport = connection.transport()
        self._events: Events = self._transport.open_stream(state.request, deadline)
        self._watchdog.add(self)

    def __next__(self) -> Any:
        for chunk in self._ready:
            return value_from(chunk)
        if not self._reading.acquire(blocking=False):
            raise InvalidRequestError("Another thread is reading this stream. Let one thread read it.")
        try:
            return self._next_after_wait()
        finally:
            self._reading.release()

    def close(self) -> None:
        """Cancels, unless the stream has ended, or may go on without its caller. `finally` blocks run on the server.

        A thread that still reads it gets an InvocationCancelledError.
        """
        self._close(threading.get_ident())

    def on_client_closed(self) -> None:
        """Is `close`, but for whoever reads it, to whom this is no end."""
        self._close(0)

    def __enter__(self) -> ChunkStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # The thread that collects garbage may hold any lock, gRPC's own among them, so the watchdog's thread drops the
        # events. Where the constructor failed there are none.
        if hasattr(self, "_events") and not self._over.is_set():
            self._watchdog.drop(self._events, self._state.cancel_request)

    @property
    def silent_after(self) -> float | None:
        """When the server counts as gone, on the watchdog's clock. Never while the caller takes their time."""
        limit, since = self._state.silence_limit, self._waits_since
        return None if limit is None or since is None or self._silent else since + limit

    def on_silence(self) -> None:
        """Wakes the reader, which blocks."""
        self._silent = True
        self._events.abort()

    def _close(self, closed_by: int) -> None:
        if not self._over.is_set():
            self._closed_by = closed_by
            self._finish()
            self._events.leave(self._state.cancel_request)

    def _next_after_wait(self) -> Any:
        state = self._state
        while not (self._over.is_set() or state.completed):
            try:
                self._ready = iter(self._receive())
            except BaseException:
                # Ctrl-C, or a failure that is the end: this caller will not come back.
                self.close()
                raise
            for chunk in self._ready:
                return value_from(chunk)
        if not self._over.is_set():
            self._events.finish()
            self._finish()
        if self._closed_elsewhere():
            raise self._closed_error(with_client=not self._closed_by)
        raise StopIteration

    def _receive(self) -> Any:
        """Returns what the next event brings, or nothing where the stream had to be taken up again."""
        state = self._state
        self._waits_since = self._watchdog.clock()
        try:
            event: pb.RunStreamResponse | None = self._events.receive()
        except RunAgentError as error:
            self._take_up_after(error)
        else:
            if event is not None:
                return state.receive(event)
            self._take_up_after(None)
        finally:
            self._waits_since = None
        return ()

    def _take_up_after(self, error: RunAgentError | None) -> None:
        """Asks again for what has not come, after a pause that `close` cuts short. Raises what is the stream's end."""
        if self._closed_elsewhere():
            raise self._closed_error(with_client=not self._closed_by) from None
        state, contact = self._state, self._transport.contact
        try:
            if self._silent:
                pause = state.fall_silent(contact)
            else:
                pause = state.end(contact) if error is None else state.fail(error, contact)
        except RunAgentError as final:
            # There is nothing to cancel: the server said how it ended, or cannot be reached.
            self._finish()
            self._events.leave(None)
            raise final from None
        self._events.abort()
        if not self._over.wait(pause):
            self._transport = self._connection.after(self._transport, state.failures, silent=self._silent)
            self._silent = False
            self._events = self._transport.open_stream(state.request, self._deadline)
            if self._over.is_set():
                self._events.abort()

    def _closed_elsewhere(self) -> bool:
        return self._closed_by not in (None, threading.get_ident())

    def _finish(self) -> None:
        self._over.set()
        self._watchdog.remove(self)
