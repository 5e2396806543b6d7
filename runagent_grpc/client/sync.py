"""The client for code that blocks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc
from runagent_grpc.client.address import Address
from runagent_grpc.client.base import CANCEL_SECONDS, ClientBase
from runagent_grpc.client.descriptions import AgentDescription, agent_from
from runagent_grpc.client.discovery import discover
from runagent_grpc.client.failures import failure_from, metadata_value
from runagent_grpc.client.silence import SilenceWatch
from runagent_grpc.client.stream import StreamState
from runagent_grpc.contract import INVOCATION_ID_METADATA, value_from
from runagent_grpc.errors import InvocationCancelledError, RunAgentError

__all__ = ["ChunkStream", "Connection", "RunAgentClient"]

Metadata = tuple[tuple[str, str], ...]


class RunAgentClient(ClientBase):
    """Calls one entrypoint of one agent.

        client = RunAgentClient("quickstart", "chat_stream")
        for chunk in client.run(message="Tell me a story"):
            print(chunk, end="", flush=True)

    Everything it raises is a RunAgentError. Threads may share it.
    """

    _connection: Connection
    """There once it is needed; taken away by `close`."""

    def run(self, /, *args: Any, **kwargs: Any) -> Any:
        """Calls the entrypoint with these arguments.

        Returns its value, or, for a tag that ends in `_stream`, an iterator over its chunks. Strings and bytes arrive
        as they were; every other value as JSON has it.
        """
        if self.is_streaming:
            return self.run_stream(*args, **kwargs)
        request = self._run_request(args, kwargs)
        connection = self._connected()
        with connection.in_use():
            call = connection.stub.Run.future(request, timeout=self.timeout, metadata=self._metadata())
        try:
            return value_from(call.result().result)
        except grpc.RpcError as error:
            failure = failure_from(error, address=str(connection.address), timeout=self.timeout)
            failure.invocation_id = _announced_id(call)
            raise failure from None
        except BaseException:
            # Ctrl-C, most likely.
            call.cancel()
            raise

    def run_stream(self, /, *args: Any, **kwargs: Any) -> ChunkStream:
        """Calls the entrypoint, which must stream, and returns an iterator over its chunks.

        The call is under way when this returns. Close the iterator, or drop it, to cancel; it is a `with`, too.
        """
        request = self._stream_request(args, kwargs)
        connection = self._connected()
        with connection.in_use():
            call = connection.stub.RunStream(request, timeout=self.timeout, metadata=self._metadata())
        return ChunkStream(call, connection, metadata=self._metadata(), timeout=self.timeout)

    def cancel(self, invocation_id: str) -> None:
        """Cancels an invocation. One that has ended stays as it ended. Raises NotFoundError for an unknown id."""
        self._ask(lambda stub: stub.CancelInvocation, pb.CancelInvocationRequest(invocation_id=invocation_id))

    def list_agents(self) -> list[AgentDescription]:
        """Returns the agents that the server serves, without their input schemas."""
        response = self._ask(lambda stub: stub.ListAgents, pb.ListAgentsRequest())
        return [agent_from(agent) for agent in response.agents]

    def get_agent(self) -> AgentDescription:
        """Returns the agent's description, with its entrypoints and their input schemas."""
        return agent_from(self._ask(lambda stub: stub.GetAgent, pb.GetAgentRequest(agent_id=self.agent_id)).agent)

    def close(self) -> None:
        """Closes the connection, if there is one. The client connects again when it is used again."""
        connection = self.__dict__.pop("_connection", None)
        if connection is not None:
            connection.channel.close()

    def __enter__(self) -> RunAgentClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self) -> Connection:
        connection: Connection | None = self.__dict__.get("_connection")
        if connection is None:
            made = self._connect()
            # Of threads that connect at once, all take the connection of the first.
            connection = self.__dict__.setdefault("_connection", made)
            if connection is not made:
                made.channel.close()
        return connection

    def _connect(self) -> Connection:
        address = discover(self.address, self._api_key, timeout=self.timeout)
        options = self._channel_options(address)
        if address.tls:
            return Connection(address, grpc.secure_channel(str(address), grpc.ssl_channel_credentials(), options))
        return Connection(address, grpc.insecure_channel(str(address), options))

    def _ask(self, method_of: Callable[[Any], Callable[..., Any]], request: Any) -> Any:
        connection = self._connected()
        try:
            with connection.in_use():
                return method_of(connection.stub)(request, timeout=self.timeout, metadata=self._metadata())
        except grpc.RpcError as error:
            raise failure_from(error, address=str(connection.address), timeout=self.timeout) from None


class Connection:
    """A channel to the server that discovery found, and the stub on it. Outlives its client's use of it unharmed."""

    def __init__(self, address: Address, channel: grpc.Channel) -> None:
        self.address = address
        self.channel = channel
        # Made at once: a stub on a channel that another thread has closed meanwhile crashes grpcio.
        self.stub = agent_service_pb2_grpc.AgentServiceStub(channel)
        self.watch = SilenceWatch()

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Tells of a channel that was closed, as RpcErrors tell of everything else."""
        try:
            yield
        except ValueError as error:
            # "Cannot invoke RPC: Channel closed!"
            raise InvocationCancelledError("The client was closed.", details=str(error)) from None

    def leave(self, call: Any, invocation_id: str | None, metadata: Metadata, *, wait: bool) -> None:
        """Drops a call, and tells the server that this was on purpose."""
        call.cancel()
        if invocation_id is None:
            return
        request = pb.CancelInvocationRequest(invocation_id=invocation_id)
        # A channel that was closed has dropped the call by that.
        with contextlib.suppress(grpc.RpcError, grpc.FutureTimeoutError, ValueError):
            cancelling = self.stub.CancelInvocation.future(request, timeout=CANCEL_SECONDS, metadata=metadata)
            if wait:
                cancelling.result(CANCEL_SECONDS)
            else:
                # A call that nobody holds is cancelled; its callbacks hold it until it is done.
                cancelling.add_done_callback(lambda _: None)


class ChunkStream(Iterator[Any]):
    """The chunks of a stream, as they come. Ends when the entrypoint has; raises RunAgentError for any other end."""

    def __init__(self, call: Any, connection: Connection, *, metadata: Metadata, timeout: float | None) -> None:
        self._call = call
        self._connection = connection
        self._metadata = metadata
        self._timeout = timeout
        self._state = StreamState()
        self._ready: Iterator[Any] = iter(())
        self._waits_since: float | None = None
        self._silent = False
        self._closed = False
        self._closed_by: int | None = None
        """The thread that closed it before its end."""
        connection.watch.add(self)

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
            self._leave(wait=True)

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
            self._leave(wait=False)

    @property
    def silent_after(self) -> float | None:
        """When the server counts as gone, on the watch's clock. Never while it is the caller who takes their time."""
        limit, since = self._state.silence_limit, self._waits_since
        return None if limit is None or since is None or self._closed else since + limit

    def on_silence(self) -> None:
        """Wakes the reader, which blocks."""
        self._silent = True
        self._call.cancel()

    def _next_after_wait(self) -> Any:
        state = self._state
        while not (self._closed or state.completed):
            try:
                self._waits_since = self._connection.watch.clock()
                message = next(self._call)
                self._waits_since = None
                self._ready = iter(state.receive(message))
            except StopIteration:
                self._finish()
                state.end()
            except grpc.RpcError as error:
                self._finish()
                raise self._failure(error) from None
            except BaseException:
                # Ctrl-C, or a stream that makes no sense: this caller will not come back.
                self.close()
                raise
            for chunk in self._ready:
                return value_from(chunk)
        self._drain()
        if self._closed_elsewhere():
            raise InvocationCancelledError("The stream was closed.", invocation_id=state.invocation_id)
        raise StopIteration

    def _failure(self, error: Any) -> RunAgentError:
        if self._silent:
            return self._state.fall_silent()
        if self._closed_elsewhere():
            return InvocationCancelledError("The stream was closed.", invocation_id=self._state.invocation_id)
        failure = failure_from(error, address=str(self._connection.address), timeout=self._timeout)
        failure.invocation_id = _announced_id(self._call)
        return self._state.fail(failure)

    def _closed_elsewhere(self) -> bool:
        return self._closed_by not in (None, threading.get_ident())

    def _drain(self) -> None:
        """Reads the status that follows the terminal event, so that the call counts as ended well."""
        if not self._closed:
            with contextlib.suppress(StopIteration, grpc.RpcError):
                next(self._call)
            self._finish()

    def _finish(self) -> None:
        self._closed = True
        self._connection.watch.remove(self)

    def _leave(self, *, wait: bool) -> None:
        self._connection.leave(self._call, self._state.invocation_id, self._metadata, wait=wait)


def _announced_id(call: Any) -> str | None:
    """Returns the id in the initial metadata of a call that is over; until then, asking would block."""
    value = metadata_value(call.initial_metadata(), INVOCATION_ID_METADATA)
    return value if isinstance(value, str) else None
