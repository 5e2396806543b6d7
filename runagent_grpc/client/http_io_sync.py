"""The I/O of HTTP for code that blocks: requests, and a WebSocket for each stream.

Apart from its twin for asyncio, for here the two differ: who limits the time, who may close what another thread reads,
and what becomes of a connection that is dropped.
"""

from __future__ import annotations

import contextlib
import threading
from socket import SHUT_RDWR
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.client.address import Address
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.failures import closed_meanwhile, lost
from runagent_grpc.client.http_calls import HttpRequest, HttpResponse, StreamOpening
from runagent_grpc.client.http_connection import (
    TRANSPORT_ERRORS,
    KeepaliveTimeouts,
    RefusedError,
    close_code,
    failure_of_close,
    failure_of_handshake,
    failure_of_refusal,
    httpx_options,
    httpx_timeout,
    silent,
    too_large,
    websocket_options,
)
from runagent_grpc.client.http_wire import FrameReader, http_url, websocket_url
from runagent_grpc.contract.messages import MAX_MESSAGE_BYTES
from runagent_grpc.errors import RunAgentError

__all__ = ["HttpClient", "WebSocketEvents"]


class HttpClient:
    """Makes requests to one server."""

    def __init__(self, address: Address, api_key: str | None) -> None:
        self._address = address
        self._client = httpx.Client(**httpx_options(address, api_key))

    def ask(self, request: HttpRequest, deadline: Deadline) -> HttpResponse:
        """Returns the whole response. Raises one of TRANSPORT_ERRORS where there is none."""
        url, body = http_url(self._address, request.path), bytearray()
        try:
            with self._client.stream(
                request.method, url, content=request.content, headers=request.headers, timeout=httpx_timeout(deadline)
            ) as response:
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MAX_MESSAGE_BYTES:
                        raise too_large()
                    if deadline.passed:
                        raise deadline.error()
        except httpx.StreamError:
            # It is a RuntimeError, too.
            raise
        except RuntimeError:
            # What httpx says of a client that was closed.
            raise closed_meanwhile() from None
        return HttpResponse(status=response.status_code, headers=response.headers, body=bytes(body))

    def close(self) -> None:
        self._client.close()

    def __del__(self) -> None:
        # For callers who drop their client, as they may. Where the constructor failed there is nothing to close.
        if hasattr(self, "_client"):
            self._client.close()


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

    def leave(self, cancel_request: pb.CancelInvocationRequest | None) -> None:
        """Closes the WebSocket, with the code that cancels or with one that does not."""
        self._close(close_code(on_purpose=cancel_request is not None))

    def drop(self, cancel_request: pb.CancelInvocationRequest | None) -> None:
        code = close_code(on_purpose=cancel_request is not None)
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
