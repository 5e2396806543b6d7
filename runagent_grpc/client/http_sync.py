"""The REST and WebSocket transport for code that blocks."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.address import Address
from runagent_grpc.client.descriptions import AgentDescription
from runagent_grpc.client.failures import closed_meanwhile
from runagent_grpc.client.http_connection import (
    TRANSPORT_ERRORS,
    Deadline,
    Patience,
    RefusedError,
    cannot_cancel,
    failure_of_close,
    failure_of_handshake,
    failure_of_refusal,
    failure_of_request,
    httpx_options,
    httpx_timeout,
    lost,
    silent,
    too_large,
    websocket_options,
)
from runagent_grpc.client.http_wire import (
    HOME,
    FrameReader,
    agent_from_documents,
    agent_id_in,
    agent_path,
    body_of,
    document_in,
    http_url,
    listed,
    value_in,
    websocket_url,
)
from runagent_grpc.contract import MAX_MESSAGE_BYTES
from runagent_grpc.errors import RunAgentError

__all__ = ["HttpTransport"]


class HttpTransport:
    """Speaks the documented wire: REST for values, a WebSocket for each stream."""

    def __init__(self, address: Address, api_key: str | None, *, patience: Patience | None = None) -> None:
        self._address = address
        self._api_key = api_key
        self._patience = patience or Patience()
        self._http = httpx.Client(**httpx_options(address, api_key))
        self._streams: weakref.WeakSet[WebSocketEvents] = weakref.WeakSet()
        self._only_id = ""

    def run(self, call: call_pb2.Call, timeout: float | None) -> Any:
        deadline = Deadline(timeout)
        path = agent_path(self._known_id(call.agent_id, deadline), "run")
        return value_in(self._address, *self._request("POST", path, deadline, body_of(call, timeout)))

    def open_stream(self, call: call_pb2.Call, timeout: float | None) -> WebSocketEvents:
        deadline = Deadline(timeout)
        events = WebSocketEvents(self._address, deadline, self._patience)
        self._streams.add(events)
        try:
            path = agent_path(self._known_id(call.agent_id, deadline), "run-stream")
            events.open(path, self._api_key, body_of(call, timeout))
        except RunAgentError as error:
            events.fail(error)
        except BaseException:
            events.abandon()
            raise
        return events

    def cancel(self, invocation_id: str, timeout: float | None) -> None:
        raise cannot_cancel(self._address)

    def list_agents(self, timeout: float | None) -> list[AgentDescription]:
        return [listed(self.get_agent("", timeout))]

    def get_agent(self, agent_id: str, timeout: float | None) -> AgentDescription:
        deadline = Deadline(timeout)
        home = self._document(HOME, deadline)
        path = agent_path(agent_id or agent_id_in(home), "architecture")
        return agent_from_documents(home, self._document(path, deadline))

    def close(self) -> None:
        for stream in list(self._streams):
            stream.finish()
        self._http.close()

    def __del__(self) -> None:
        # For callers who drop their client, as they may. Whatever failed in the constructor left nothing to close.
        if hasattr(self, "_http"):
            self._http.close()

    def _known_id(self, agent_id: str, deadline: Deadline) -> str:
        """Returns the id, or that of the only agent there: published servers know no alias for it."""
        if not agent_id and not self._only_id:
            self._only_id = agent_id_in(self._document(HOME, deadline))
        return agent_id or self._only_id

    def _document(self, path: str, deadline: Deadline) -> dict[str, Any]:
        return document_in(self._address, *self._request("GET", path, deadline))

    def _request(
        self, method: str, path: str, deadline: Deadline, content: str | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        url, body = http_url(self._address, path), bytearray()
        try:
            with self._http.stream(method, url, content=content, timeout=httpx_timeout(deadline)) as response:
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > MAX_MESSAGE_BYTES:
                        raise too_large()
                    if deadline.passed:
                        raise deadline.error()
        except TRANSPORT_ERRORS as error:
            raise failure_of_request(error, self._address, deadline) from None
        except RuntimeError:
            # What httpx says of a client that was closed.
            raise closed_meanwhile() from None
        return response.status_code, response.headers, bytes(body)


class WebSocketEvents:
    """The events of one stream, on a WebSocket of its own."""

    def __init__(self, address: Address, deadline: Deadline, patience: Patience) -> None:
        self._address = address
        self._deadline = deadline
        self._patience = patience
        self._reader = FrameReader(address)
        self._failure: RunAgentError | None = None
        self._open_socket = contextlib.ExitStack()
        self._socket: ClientConnection

    def open(self, path: str, api_key: str | None, first_frame: str) -> None:
        """Opens the WebSocket, and asks for the stream."""
        options = websocket_options(self._address, api_key, self._deadline)
        try:
            self._socket = self._open_socket.enter_context(
                connect(websocket_url(self._address, path), create_connection=_Connection, **options)
            )
            self._socket.send(first_frame)
        except RefusedError as error:
            raise failure_of_refusal(error, self._address) from None
        except ConnectionClosed as closed:
            raise failure_of_close(closed, self._address) or lost(self._address) from None
        except TRANSPORT_ERRORS as error:
            raise failure_of_handshake(error, self._address, self._deadline) from None

    def fail(self, failure: RunAgentError) -> None:
        """Makes the next `receive` raise this."""
        self._failure = failure

    def receive(self) -> pb.RunStreamResponse | None:
        try:
            if self._failure is not None:
                raise self._failure
            return self._reader.event_of(self._next_frame())
        except ConnectionClosed as closed:
            if failure := failure_of_close(closed, self._address):
                raise failure from None
            return None
        except RunAgentError:
            self.finish()
            raise

    def finish(self) -> None:
        self._open_socket.close()

    def leave(self, invocation_id: str | None, *, wait: bool) -> None:
        """Closes the WebSocket, which cancels."""
        if wait:
            self.finish()
            return
        # Closing waits for the server's answer, and for locks that this thread may hold: it may collect garbage.
        # At the end of the process no thread can be started, and none is needed.
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=self.finish, name="runagent-close", daemon=True).start()

    def abandon(self) -> None:
        self.leave(None, wait=False)

    def _next_frame(self) -> str | bytes:
        """Waits for a frame. Where none comes, a ping tells whether the server is still there."""
        patience = self._patience
        pong: threading.Event | None = None
        while True:
            try:
                limit = patience.ping_after if pong is None else patience.pong_within
                return self._socket.recv(self._deadline.remaining(limit))
            except TimeoutError:
                if self._deadline.passed:
                    raise self._deadline.error() from None
                if pong is not None and not pong.is_set():
                    raise silent(patience) from None
                pong = self._socket.ping()


class _Connection(ClientConnection):
    def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            # As it is, the library would follow a redirect, and the call with all its arguments, too.
            raise RefusedError(error.response) from None
