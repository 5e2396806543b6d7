"""The HTTP server: uvicorn on the event loop that is there, without its signals, its logs, and its idea of an end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Collection

import uvicorn
from starlette.types import ASGIApp
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame

from runagent_grpc.bridge.settings import BridgeSettings

__all__ = ["HttpServer"]


class HttpServer:
    """Serves an application on a port. Must be started and stopped on one running event loop."""

    def __init__(self, app: ASGIApp, *, settings: BridgeSettings) -> None:
        config = uvicorn.Config(
            app,
            ws=_WebSocketProtocol,
            ws_max_size=settings.max_body_bytes,
            ws_ping_interval=settings.ping_interval,
            ws_ping_timeout=settings.ping_timeout,
            interface="asgi3",
            lifespan="off",
            # Its lines hold whole addresses, and those hold keys.
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._clock: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Takes the port, and returns it: the one that was found where `port` is 0. Raises OSError where it cannot."""
        listener = _listen(host, port)
        await self._server.startup(sockets=[listener])
        self._clock = asyncio.create_task(self._keep_time())
        return int(listener.getsockname()[1])

    async def stop(self, grace: float) -> None:
        """Closes the port, and after `grace` seconds the requests that are left."""
        if self._clock is None:
            return
        self._clock.cancel()
        for server in self._server.servers:
            server.close()
        state = self._server.server_state
        for connection in list(state.connections):
            connection.shutdown()
        await _wait(state.tasks, grace)
        # Whoever does not read the answer keeps it from ending; without a connection it ends by itself.
        for connection in list(state.connections):
            connection.transport.abort()
        await _wait(state.tasks, grace)

    async def _keep_time(self) -> None:
        """Keeps the Date header right."""
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await self._server.on_tick(0)
                await asyncio.sleep(1)


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, with some of its slips mended."""

    asked = False
    """Whether the client has said anything."""

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
        # the protocol, or a pong that did not come.
        await self.writable.wait()
        if self.close_sent and message["type"] in ("websocket.send", "websocket.close"):
            raise ClientDisconnected
        await super().send(message)

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


async def _wait(tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host.strip("[]") or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
