"""The REST and WebSocket transport for code that blocks."""

from __future__ import annotations

import contextlib
import threading
from socket import SHUT_RDWR
from typing import Any, TypeVar

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.address import Address
from runagent_grpc.client.channel import CANCEL_SECONDS
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.descriptions import AgentDescription, InvocationDescription, LogLine
from runagent_grpc.client.failures import closed_meanwhile, lost
from runagent_grpc.client.http_calls import HttpCalls, HttpFlow, HttpRequest, HttpResponse, StreamOpening
from runagent_grpc.client.http_connection import (
    TRANSPORT_ERRORS,
    KeepaliveTimeouts,
    RefusedError,
    broke,
    close_code,
    failure_of_close,
    failure_of_handshake,
    failure_of_refusal,
    failure_of_request,
    httpx_options,
    httpx_timeout,
    silent,
    too_large,
    websocket_options,
)
from runagent_grpc.client.http_wire import FrameReader, http_url, websocket_url
from runagent_grpc.client.retry import PeerStatus
from runagent_grpc.contract.messages import MAX_MESSAGE_BYTES
from runagent_grpc.errors import RunAgentError

__all__ = ["HttpTransport"]

T = TypeVar("T")


class HttpTransport:
    """Speaks the documented wire: REST for values, a WebSocket for each stream."""

    def __init__(
        self,
        address: Address,
        api_key: str | None,
        *,
        contact: PeerStatus = PeerStatus.NONE,
        patience: KeepaliveTimeouts | None = None,
    ) -> None:
        self._address = address
        self._api_key = api_key
        self._patience = patience or KeepaliveTimeouts()
        self._calls = HttpCalls(address, contact)
        self._http = httpx.Client(**httpx_options(address, api_key))

    @property
    def contact(self) -> PeerStatus:
        """What was had of the server."""
        return self._calls.contact

    def run(self, call: call_pb2.Call, deadline: Deadline) -> Any:
        return self._held(self._calls.run(call, deadline), deadline)

    def open_stream(self, request: pb.RunStreamRequest, deadline: Deadline) -> WebSocketEvents:
        events = WebSocketEvents(self._address, deadline, self._patience)
        try:
            events.open(self._held(self._calls.open_stream(request, deadline), deadline), self._api_key)
        except RunAgentError as error:
            events.fail(error)
        except BaseException:
            events.abort()
            raise
        return events

    def send_cancel(self, cancel_request: pb.CancelInvocationRequest) -> None:
        with contextlib.suppress(RunAgentError):
            self._held(self._calls.send_cancel(cancel_request), Deadline(CANCEL_SECONDS))

    def cancel(self, invocation_id: str, deadline: Deadline) -> None:
        self._held(self._calls.cancel(invocation_id), deadline)

    def list_agents(self, deadline: Deadline) -> list[AgentDescription]:
        return self._held(self._calls.list_agents(), deadline)

    def get_agent(self, agent_id: str, deadline: Deadline) -> AgentDescription:
        return self._held(self._calls.get_agent(agent_id), deadline)

    def get_invocation(self, invocation_id: str, deadline: Deadline) -> InvocationDescription:
        return self._held(self._calls.get_invocation(invocation_id), deadline)

    def list_invocations(self, agent_id: str, limit: int, deadline: Deadline) -> list[InvocationDescription]:
        return self._held(self._calls.list_invocations(agent_id, limit), deadline)

    def list_logs(self, invocation_id: str, limit: int, deadline: Deadline) -> list[LogLine]:
        return self._held(self._calls.list_logs(), deadline)

    def close(self) -> None:
        self._http.close()

    def __del__(self) -> None:
        # For callers who drop their client, as they may. Whatever failed in the constructor left nothing to close.
        if hasattr(self, "_http"):
            self._http.close()

    def _held(self, conversation: HttpFlow[T], deadline: Deadline) -> T:
        """Holds a conversation with the server, and returns what it comes to."""
        try:
            request = next(conversation)
            while True:
                request = conversation.send(self._asked(request, deadline))
        except StopIteration as end:
            result: T = end.value
            return result

    def _asked(self, request: HttpRequest, deadline: Deadline) -> HttpResponse:
        url, body = http_url(self._address, request.path), bytearray()
        try:
            with self._http.stream(
                request.method, url, content=request.content, headers=request.headers, timeout=httpx_timeout(deadline)
            ) as response:
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MAX_MESSAGE_BYTES:
                        raise too_large()
                    if deadline.passed:
                        raise deadline.error()
        except TRANSPORT_ERRORS as error:
            self._calls.met(broke(error))
            raise failure_of_request(error, self._address, deadline) from None
        except RuntimeError:
            # What httpx says of a client that was closed.
            raise closed_meanwhile() from None
        return HttpResponse(status=response.status_code, headers=response.headers, body=bytes(body))


class WebSocketEvents:
    """The events of one stream, on a WebSocket of its own."""

    def __init__(self, address: Address, deadline: Deadline, patience: KeepaliveTimeouts) -> None:
        self._address = address
        self._deadline = deadline
        self._patience = patience
        self._reader = FrameReader(address)
        self._failure: RunAgentError | None = None
        self._socket: ClientConnection | None = None
        self._open_socket = contextlib.ExitStack()

    def open(self, opening: StreamOpening, api_key: str | None) -> None:
        """Opens the WebSocket, and asks for the stream."""
        options = websocket_options(self._address, api_key, self._deadline, opening.headers)
        url = websocket_url(self._address, opening.path)
        try:
            connecting = connect(url, create_connection=_Connection, **options)
            self._socket = self._open_socket.enter_context(connecting)
            self._socket.send(opening.first_frame)
        except RefusedError as error:
            raise failure_of_refusal(error, self._address) from None
        except ConnectionClosed as closed:
            raise failure_of_close(closed, self._address) or lost(str(self._address)) from None
        except TRANSPORT_ERRORS as error:
            raise failure_of_handshake(error, self._address, self._deadline) from None

    def fail(self, failure: RunAgentError) -> None:
        """Makes the next `receive` raise this."""
        self._failure = failure

    def receive(self) -> pb.RunStreamResponse | None:
        if self._failure is not None or self._socket is None:
            raise self._failure or closed_meanwhile()
        try:
            return self._reader.event_of(self._next_frame(self._socket))
        except ConnectionClosed as closed:
            if failure := failure_of_close(closed, self._address):
                raise failure from None
            return None

    def finish(self) -> None:
        self._close(close_code(on_purpose=True))

    def leave(self, cancel_request: pb.CancelInvocationRequest | None, *, wait: bool) -> None:
        """Closes the WebSocket, with the code that cancels or with one that does not."""
        code = close_code(on_purpose=cancel_request is not None)
        if wait:
            self._close(code)
            return
        # Closing waits for the server's answer. At the end of the process no thread can be started, and none is needed.
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=self._close, args=(code,), name="runagent-close", daemon=True).start()

    def abort(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.socket.shutdown(SHUT_RDWR)

    def _close(self, code: int) -> None:
        if self._socket is not None:
            self._socket.close(code)
        self._open_socket.close()

    def _next_frame(self, socket: ClientConnection) -> str | bytes:
        """Waits for a frame. Where none comes, a ping tells whether the server is still there."""
        patience = self._patience
        pong: threading.Event | None = None
        while True:
            try:
                limit = patience.ping_after if pong is None else patience.pong_within
                return socket.recv(self._deadline.remaining(limit))
            except TimeoutError:
                if self._deadline.passed:
                    raise self._deadline.error() from None
                if pong is not None and not pong.is_set():
                    raise silent(patience) from None
                pong = socket.ping()


class _Connection(ClientConnection):
    def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            # As it is, the library would follow a redirect, and the call with all its arguments, too.
            raise RefusedError(error.response) from None
