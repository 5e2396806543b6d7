"""The yardstick for WebSockets: uvicorn as it comes, with an application that says as little as can be."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

__all__ = ["THREAD", "plain_uvicorn"]

THREAD = "plain-uvicorn"
"""The thread that it runs on, and logs from."""


@contextmanager
def plain_uvicorn(path: str, *, start: str, max_bytes: int) -> Iterator[tuple[str, int]]:
    """Serves WebSockets at `path` on a port of loopback, and yields the address.

    As our endpoint does, it answers a first message that is `start` and then waits until the client goes, and closes
    with 1003 over any other.
    """

    async def converse(websocket: WebSocket) -> None:
        await websocket.accept()
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        await websocket.send_text("{}")
        if message.get("text") != start:
            await websocket.close(1003)
            return
        while (await websocket.receive())["type"] != "websocket.disconnect":
            pass

    async def endpoint(websocket: WebSocket) -> None:
        try:
            await converse(websocket)
        except WebSocketDisconnect:
            return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                Starlette(routes=[WebSocketRoute(path, endpoint)]),
                ws_max_size=max_bytes,
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
            )
        )
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name=THREAD, daemon=True)
        thread.start()
        try:
            # The port is there already; whoever connects before it is served waits.
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join()
