"""What one connection may do: uvicorn's protocols, with bounds that it does not have, and some of its slips mended."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame

from runagent_grpc.settings import BridgeSettings

__all__ = ["DRAIN", "HttpConnection", "WebSocketConnection"]

DRAIN = "runagent.websocket.drain"
"""A message that an application sends to wait until the kernel has taken everything that it sent before."""


# Which parser it is built upon is uvicorn's choice, and known only here.
class HttpConnection(AutoHTTPProtocol):  # type: ignore[misc, valid-type] # a class, though a variable holds it
    """A connection that may take so long, and so much, to say what it wants; and only so many of them."""

    def __init__(self, *, settings: BridgeSettings, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._settings = settings
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        if len(self.connections) >= self._settings.max_connections:
            # Nothing is read of it: whoever opens too many says nothing worth hearing.
            transport.set_protocol(asyncio.Protocol())
            transport.write(_answer("503 Service Unavailable", "Too many connections.", "retry-after: 1\r\n"))
            transport.close()
            return
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._has_head:
            # Behind an answer on a connection that is kept, the first byte starts the time anew; no later one does.
            self._await_head()
            if not self._owes_body:
                self._head_bytes += len(data)
        super().data_received(data)
        if self._has_head or self.transport.is_closing():
            self._stop_awaiting_head()
        elif self._head_bytes > self._settings.max_head_bytes:
            self.transport.write(_answer("431 Request Header Fields Too Large", "The header is too large."))
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Takes a request whose head is there. Only httptools calls this: h11 reads no request before its turn."""
        # uvicorn keeps whatever comes in one read, and reads again after each answer that the socket's buffer takes.
        if len(self.pipeline) >= self._settings.max_pipelined_requests:
            self.transport.abort()
        if not self.transport.is_closing():
            super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        # The rest of what was read is still parsed after the connection was ended.
        if not self.transport.is_closing():
            super().handle_websocket_upgrade()

    @property
    def _has_head(self) -> bool:
        """Whether a request is being answered, or the connection has become a WebSocket."""
        upgraded = self.transport.get_protocol() is not self
        return upgraded or (self.cycle is not None and not self.cycle.response_complete)

    @property
    def _owes_body(self) -> bool:
        """Whether the last request was answered before all of its body had come: it was too large, or not asked for."""
        return self.cycle is not None and self.cycle.more_body

    def _await_head(self) -> None:
        if self._head_timer is None:
            # Many clients read no answer before they have sent everything.
            seconds = self._settings.body_timeout if self._owes_body else self._settings.head_timeout
            self._head_timer = self.loop.call_later(seconds, self._give_up)

    def _stop_awaiting_head(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        # Without a word: a browser that has opened a connection for later would take one for the answer to what it
        # asks next.
        self.transport.abort()


class WebSocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's, with some of its slips mended."""

    asked = False
    """Whether the client has said anything."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # uvicorn hands over a whole head. One that the WebSocket's own parser does not take raises no event, and
        # the connection would stay, with nobody to answer or to close it.
        if not (self.handshake_initiated or self.transport.is_closing()):
            self.transport.write(_answer("400 Bad Request", "This is no WebSocket handshake that could be read."))
            self.transport.close()

    def send_receive_event_to_app(self) -> None:
        self.asked = True
        # uvicorn logs a traceback for text that is no UTF-8, which is the client's fault, and no news.
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(1007, "invalid UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    async def send(self, message: ASGISendEvent) -> None:
        # uvicorn blames the application for what it sends after uvicorn itself has closed: over a frame that breaks
        # the protocol, or a pong that did not come. It also writes to a transport that has lost its connection, and
        # asyncio logs a line for each such write.
        await self.writable.wait()
        if message["type"] == DRAIN:
            await self._drain()
            return
        gone = self.close_sent or self.transport.is_closing()
        if gone and message["type"] in ("websocket.send", "websocket.close"):
            raise ClientDisconnected
        await super().send(message)
        # A handshake that was answered by a refusal is over; uvicorn logs an error about one that is not.
        if self.close_sent:
            self.handshake_complete = True

    async def _drain(self) -> None:
        # The transport says by these limits that it is empty, and whether it is so at once.
        self.transport.set_write_buffer_limits(high=0)
        try:
            await self.writable.wait()
        finally:
            self.transport.set_write_buffer_limits()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        # A client that closes and reads no more would keep what is yet to be written, and its socket, for ever.
        self.loop.call_later(self.close_timeout, self.transport.abort)

    def shutdown(self) -> None:
        # The last frames of a stream that has just ended are on their way, and its close follows.
        if self.asked and not self.close_sent:
            return
        # Raised where the client closed first, and has not read everything yet.
        with contextlib.suppress(InvalidState):
            super().shutdown()


def _answer(status: str, text: str, headers: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\n{headers}content-type: text/plain\r\ncontent-length: {len(text)}\r\n"
        f"connection: close\r\n\r\n{text}"
    ).encode()
