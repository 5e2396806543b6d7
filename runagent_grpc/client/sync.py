"""The client for code that blocks."""

from __future__ import annotations

import contextlib
import functools
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
        as they were; every other value as JSON has it.
        """
        if self.is_streaming:
            return self.run_stream(*args, **kwargs)
        request = self._run_request(args, kwargs)
        call = self._stub.Run.future(request, timeout=self.timeout, metadata=self._metadata())
        try:
            return value_from(call.result().result)
        except grpc.RpcError as error:
            raise self._failure(error, call) from None
        except BaseException:
            # Ctrl-C, most likely.
            call.cancel()
            raise

    def run_stream(self, /, *args: Any, **kwargs: Any) -> ChunkStream:
        """Calls the entrypoint, which must stream, and returns an iterator over its chunks.

        The call is under way when this returns. Close the iterator, or drop it, to cancel; it is a `with`, too.
        """
        request = self._stream_request(args, kwargs)
        call = self._stub.RunStream(request, timeout=self.timeout, metadata=self._metadata())
        return ChunkStream(call, leave=self._leave, failure=self._failure, watch=self._watch)

    def cancel(self, invocation_id: str) -> None:
        """Cancels an invocation. One that has ended stays as it ended. Raises NotFoundError for an unknown id."""
        self._ask(self._stub.CancelInvocation, pb.CancelInvocationRequest(invocation_id=invocation_id))

    def list_agents(self) -> list[AgentDescription]:
        """Returns the agents that the server serves, without their input schemas."""
        response = self._ask(self._stub.ListAgents, pb.ListAgentsRequest())
        return [agent_from(agent) for agent in response.agents]

    def get_agent(self) -> AgentDescription:
        """Returns the agent's description, with its entrypoints and their input schemas."""
        return agent_from(self._ask(self._stub.GetAgent, pb.GetAgentRequest(agent_id=self.agent_id)).agent)

    def close(self) -> None:
        """Closes the connection, if there is one. The client connects again when it is used again."""
        if "_channel" in self.__dict__:
            self._channel.close()
            for name in ("_stub", "_channel", "_server"):
                self.__dict__.pop(name, None)

    def __enter__(self) -> RunAgentClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @functools.cached_property
    def _server(self) -> Address:
        return discover(self.address, self._api_key)

    @functools.cached_property
    def _channel(self) -> grpc.Channel:
        address = self._server
        options = self._channel_options(address)
        if address.tls:
            return grpc.secure_channel(str(address), grpc.ssl_channel_credentials(), options)
        return grpc.insecure_channel(str(address), options)

    @functools.cached_property
    def _stub(self) -> agent_service_pb2_grpc.AgentServiceStub:
        return agent_service_pb2_grpc.AgentServiceStub(self._channel)

    @functools.cached_property
    def _watch(self) -> SilenceWatch:
        return SilenceWatch()

    def _ask(self, method: Callable[..., Any], request: Any) -> Any:
        try:
            return method(request, timeout=self.timeout, metadata=self._metadata())
        except grpc.RpcError as error:
            raise self._failure(error) from None

    def _failure(self, error: Any, call: Any = None) -> RunAgentError:
        # Not by way of the property, which would ask around again for a client that was closed meanwhile.
        server = self.__dict__.get("_server", self.address)
        failure = failure_from(error, address=str(server), timeout=self.timeout)
        failure.invocation_id = None if call is None else _announced_id(call)
        return failure

    def _leave(self, call: grpc.Call, invocation_id: str | None, *, wait: bool = True) -> None:
        """Drops the call, and tells the server that this was on purpose."""
        call.cancel()
        request = pb.CancelInvocationRequest(invocation_id=invocation_id or "")
        with contextlib.suppress(grpc.RpcError, grpc.FutureTimeoutError, ValueError):
            if invocation_id is not None:
                cancelling = self._stub.CancelInvocation.future(
                    request, timeout=CANCEL_SECONDS, metadata=self._metadata()
                )
                if wait:
                    cancelling.result(CANCEL_SECONDS)
                else:
                    # A call that nobody holds is cancelled; its callbacks hold it until it is done.
                    cancelling.add_done_callback(lambda _: None)


class ChunkStream(Iterator[Any]):
    """The chunks of a stream, as they come. Ends when the entrypoint has; raises RunAgentError for any other end."""

    def __init__(
        self,
        call: Any,
        *,
        leave: Callable[..., None],
        failure: Callable[[Any], RunAgentError],
        watch: SilenceWatch,
    ) -> None:
        self._call = call
        self._leave = leave
        self._failure = failure
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
        self._call.cancel()

    def _next_after_wait(self) -> Any:
        state = self._state
        while not (self._closed or state.completed):
            try:
                self._waits_since = self._watch.clock()
                message = next(self._call)
                self._waits_since = None
                self._ready = iter(state.receive(message))
            except StopIteration:
                self._finish()
                state.end()
            except grpc.RpcError as error:
                self._finish()
                raise (state.fall_silent() if self._silent else state.fail(self._failure(error))) from None
            except BaseException:
                # Ctrl-C, or a stream that makes no sense: this caller will not come back.
                self.close()
                raise
            for chunk in self._ready:
                return value_from(chunk)
        self._drain()
        raise StopIteration

    def _drain(self) -> None:
        """Reads the status that follows the terminal event, so that the call counts as ended well."""
        if not self._closed:
            with contextlib.suppress(StopIteration, grpc.RpcError):
                next(self._call)
            self._finish()

    def _finish(self) -> None:
        self._closed = True
        self._watch.remove(self)

    def _end(self, *, wait: bool) -> None:
        if not self._closed:
            self._finish()
            self._leave(self._call, self._state.invocation_id, wait=wait)


def _announced_id(call: Any) -> str | None:
    """Returns the id in the initial metadata of a call that is over; until then, asking would block."""
    value = metadata_value(call.initial_metadata(), INVOCATION_ID_METADATA)
    return value if isinstance(value, str) else None
