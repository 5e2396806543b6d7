"""The I/O of HTTP for asyncio: requests, and a WebSocket for each stream.

Apart from its twin for code that blocks, for here the two differ: who limits the time, who may close what another task
reads, and what becomes of a connection that is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

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

__all__ = ["AsyncHttpClient", "AsyncWebSocketEvents"]


class AsyncHttpClient:
    """Makes requests to one server."""

    def __init__(self, address: Address, api_key: str | None) -> None:
        self._address = address
        self._client = httpx.AsyncClient(**httpx_options(address, api_key))

    async def ask(self, request: HttpRequest, deadline: Deadline) -> HttpResponse:
        """Returns the whole response. Raises one of TRANSPORT_ERRORS where there is none."""
        url, body = http_url(self._address, request.path), bytearray()
        try:
            async with (
                asyncio.timeout(deadline.remaining()),
                self._client.stream(
                    request.method,
                    url,
                    content=request.content,
                    headers=request.headers,
                    timeout=httpx_timeout(deadline),
                ) as response,
            ):
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_MESSAGE_BYTES:
                        raise too_large()
        except TimeoutError:
            raise deadline.error() from None
        except httpx.StreamError:
            # It is a RuntimeError, too.
            raise
        except RuntimeError:
            # What httpx says of a client that was closed.
            raise closed_meanwhile() from None
        return HttpResponse(status=response.status_code, headers=response.headers, body=bytes(body))

    async def close(self) -> None:
        await self._client.aclose()


class AsyncWebSocketEvents:
    """The events of one stream, on a WebSocket of its own."""

    def __init__(self, address: Address, deadline: Deadline, patience: KeepaliveTimeouts) -> None:
        self._address = address
        self._deadline = deadline
        self._patience = patience
        self._reader = FrameReader(address)
        self._failure: RunAgentError | None = None
        self._socket: ClientConnection | None = None
        self._closing: asyncio.Task[None] | None = None

    async def open(self, opening: StreamOpening, api_key: str | None) -> None:
        """Opens the WebSocket, and asks for the stream."""
        options = websocket_options(self._address, api_key, self._deadline, opening.headers)
        url = websocket_url(self._address, opening.path)
        try:
            self._socket = await connect(url, create_connection=_Connection, **options)
            await self._socket.send(opening.first_frame)
        except RefusedError as error:
            raise failure_of_refusal(error, self._address) from None
        except ConnectionClosed as closed:
            raise failure_of_close(closed, self._address) or lost(str(self._address)) from None
        except TRANSPORT_ERRORS as error:
            raise failure_of_handshake(error, self._address, self._deadline) from None

    def fail(self, failure: RunAgentError) -> None:
        """Makes the next `receive` raise this."""
        self._failure = failure
        self.abort()

    async def receive(self) -> pb.RunStreamResponse | None:
        if self._failure is not None or self._socket is None:
            raise self._failure or closed_meanwhile()
        try:
            return self._reader.event_of(await self._next_frame(self._socket))
        except ConnectionClosed as closed:
            if failure := failure_of_close(closed, self._address):
                raise failure from None
            return None

    async def finish(self) -> None:
        if self._socket is not None:
            await self._socket.close(close_code(on_purpose=True))

    async def leave(self, cancel_request: pb.CancelInvocationRequest | None) -> None:
        """Closes the WebSocket, with the code that cancels or with one that does not."""
        closing = self.drop(cancel_request)
        if closing is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await closing

    def drop(self, cancel_request: pb.CancelInvocationRequest | None) -> asyncio.Task[None] | None:
        if self._closing is None and self._socket is not None:
            closing = self._socket.close(close_code(on_purpose=cancel_request is not None))
            self._closing = asyncio.get_running_loop().create_task(closing)
        return self._closing

    def abort(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()

    async def _next_frame(self, socket: ClientConnection) -> str | bytes:
        """Waits for a frame. Where none comes, a ping tells whether the server is still there."""
        patience = self._patience
        pong: asyncio.Future[float] | None = None
        while True:
            limit = patience.ping_after if pong is None else patience.pong_within
            try:
                async with asyncio.timeout(self._deadline.remaining(limit)):
                    return await socket.recv()
            except TimeoutError:
                if self._deadline.passed:
                    raise self._deadline.error() from None
                if pong is not None and not pong.done():
                    raise silent(patience) from None
                pong = asyncio.ensure_future(await socket.ping())


class _Connection(ClientConnection):
    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            # As it is, the library would follow a redirect, and the call with all its arguments, too.
            raise RefusedError(error.response) from None
