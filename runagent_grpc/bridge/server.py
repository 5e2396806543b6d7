"""The HTTP server: uvicorn on the event loop that is there, without its signals, its logs, and its idea of an end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Collection
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from runagent_grpc.addresses import take_port
from runagent_grpc.bridge.connections import HttpConnection, WebSocketConnection
from runagent_grpc.core.transport import CLOSE_GRACE
from runagent_grpc.settings import DEFAULT_HTTP_PORT, BridgeSettings

__all__ = ["HttpServer"]


class HttpServer:
    """The transport of HTTP: serves an application on a port, from `async with` to the end of the block."""

    name = "http"

    def __init__(self, app: ASGIApp, *, settings: BridgeSettings, host: str, port: int | None) -> None:
        """Takes no port yet. As a `port`, None takes 8450, or the next that is free, and 0 takes any."""
        self.port = 0
        self._host = host
        self._wanted_port = port
        config = uvicorn.Config(
            app,
            http=functools.partial(HttpConnection, settings=settings),  # type: ignore[arg-type] # it is called, no more
            ws=WebSocketConnection,
            ws_max_size=settings.max_body_bytes,
            ws_ping_interval=settings.ping_interval,
            ws_ping_timeout=settings.ping_timeout,
            timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type] # fractions are as good
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

    async def __aenter__(self) -> Self:
        """Takes the port, and answers requests."""
        listener = take_port(self._host, self._wanted_port, DEFAULT_HTTP_PORT, functools.partial(_listen, self._host))
        try:
            await self._server.startup(sockets=[listener])
        except BaseException:
            listener.close()
            raise
        self._clock = asyncio.create_task(self._keep_time())
        self.port = int(listener.getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._clock is not None:
            self._clock.cancel()
        await self._take_no_more()
        for server in self._server.servers:
            server.close()
        state = self._server.server_state
        for connection in list(state.connections):
            connection.shutdown()
        await _wait(state.tasks, CLOSE_GRACE)
        # Whoever does not read the answer keeps it from ending; without a connection it ends by itself.
        for connection in list(state.connections):
            connection.transport.abort()
        await _wait(state.tasks, CLOSE_GRACE)

    async def announce_shutdown(self) -> None:
        """Does nothing: the answer to a health check says that the engine is draining."""

    async def _take_no_more(self) -> None:
        # asyncio fails over a connection that it took in the turn before its server was closed, and forgets to close
        # it (AssertionError in `Server._attach`). So those are seen through first.
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):
            for server in self._server.servers:
                for listener in server.sockets:
                    loop.remove_reader(listener.fileno())
        for _ in range(_TURNS_TO_CONNECT):
            await asyncio.sleep(0)

    async def _keep_time(self) -> None:
        """Keeps the Date header right."""
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await self._server.on_tick(0)
                await asyncio.sleep(1)


_TURNS_TO_CONNECT = 3
"""How many turns of the loop asyncio takes from accepting a connection to telling its protocol."""


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
