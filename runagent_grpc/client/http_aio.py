"""The REST and WebSocket transport for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Mapping
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

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

__all__ = ["AsyncHttpTransport"]


class AsyncHttpTransport:
    """Speaks the documented wire: REST for values, a WebSocket for each stream."""

    def __init__(self, address: Address, api_key: str | None, *, patience: Patience | None = None) -> None:
        self._address = address
        self._api_key = api_key
        self._patience = patience or Patience()
        self._http = httpx.AsyncClient(**httpx_options(address, api_key))
        self._streams: weakref.WeakSet[AsyncWebSocketEvents] = weakref.WeakSet()
        self._only_id = ""

    async def run(self, call: call_pb2.Call, timeout: float | None) -> Any:  # noqa: ASYNC109 - the wire carries it
        deadline = Deadline(timeout)
        path = agent_path(await self._known_id(call.agent_id, deadline), "run")
        return value_in(self._address, *await self._request("POST", path, deadline, body_of(call, timeout)))

    async def open_stream(self, call: call_pb2.Call, timeout: float | None) -> AsyncWebSocketEvents:  # noqa: ASYNC109 - same
        deadline = Deadline(timeout)
        path = agent_path(await self._known_id(call.agent_id, deadline), "run-stream")
        socket = await _opened(self._address, path, self._api_key, body_of(call, timeout), deadline)
        events = AsyncWebSocketEvents(self._address, socket, deadline, self._patience)
        self._streams.add(events)
        return events

    async def cancel(self, invocation_id: str, timeout: float | None) -> None:  # noqa: ASYNC109 - same
        raise cannot_cancel(self._address)

    async def list_agents(self, timeout: float | None) -> list[AgentDescription]:  # noqa: ASYNC109 - same
        return [listed(await self.get_agent("", timeout))]

    async def get_agent(self, agent_id: str, timeout: float | None) -> AgentDescription:  # noqa: ASYNC109 - same
        deadline = Deadline(timeout)
        home = await self._document(HOME, deadline)
        path = agent_path(agent_id or agent_id_in(home), "architecture")
        return agent_from_documents(home, await self._document(path, deadline))

    async def close(self) -> None:
        await asyncio.gather(*(stream.finish() for stream in list(self._streams)))
        await self._http.aclose()

    async def _known_id(self, agent_id: str, deadline: Deadline) -> str:
        """Returns the id, or that of the only agent there: published servers know no alias for it."""
        if not agent_id and not self._only_id:
            self._only_id = agent_id_in(await self._document(HOME, deadline))
        return agent_id or self._only_id

    async def _document(self, path: str, deadline: Deadline) -> dict[str, Any]:
        return document_in(self._address, *await self._request("GET", path, deadline))

    async def _request(
        self, method: str, path: str, deadline: Deadline, content: str | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        url, body = http_url(self._address, path), bytearray()
        try:
            async with (
                asyncio.timeout(deadline.remaining()),
                self._http.stream(method, url, content=content, timeout=httpx_timeout(deadline)) as response,
            ):
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_MESSAGE_BYTES:
                        raise too_large()
        except TimeoutError:
            raise deadline.error() from None
        except TRANSPORT_ERRORS as error:
            raise failure_of_request(error, self._address, deadline) from None
        except RuntimeError:
            # What httpx says of a client that was closed.
            raise closed_meanwhile() from None
        return response.status_code, response.headers, bytes(body)


class AsyncWebSocketEvents:
    """The events of one stream, on a WebSocket of its own."""

    def __init__(self, address: Address, socket: ClientConnection, deadline: Deadline, patience: Patience) -> None:
        self._address = address
        self._socket = socket
        self._deadline = deadline
        self._patience = patience
        self._reader = FrameReader(address)
        self._closing: asyncio.Task[None] | None = None

    async def receive(self) -> pb.RunStreamResponse | None:
        try:
            return self._reader.event_of(await self._next_frame())
        except ConnectionClosed as closed:
            if failure := failure_of_close(closed, self._address):
                raise failure from None
            return None
        except RunAgentError:
            await self.finish()
            raise

    async def finish(self) -> None:
        await self._socket.close()

    async def leave(self, invocation_id: str | None) -> None:
        """Closes the WebSocket, which cancels."""
        with contextlib.suppress(asyncio.CancelledError):
            await self.drop(invocation_id)

    def drop(self, invocation_id: str | None) -> asyncio.Task[None]:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self.finish())
        return self._closing

    async def _next_frame(self) -> str | bytes:
        """Waits for a frame. Where none comes, a ping tells whether the server is still there."""
        patience = self._patience
        pong: asyncio.Future[float] | None = None
        while True:
            limit = patience.ping_after if pong is None else patience.pong_within
            try:
                async with asyncio.timeout(self._deadline.remaining(limit)):
                    return await self._socket.recv()
            except TimeoutError:
                if self._deadline.passed:
                    raise self._deadline.error() from None
                if pong is not None and not pong.done():
                    raise silent(patience) from None
                pong = asyncio.ensure_future(await self._socket.ping())


async def _opened(
    address: Address, path: str, api_key: str | None, first_frame: str, deadline: Deadline
) -> ClientConnection:
    """Returns a WebSocket on which a stream was asked for."""
    options = websocket_options(address, api_key, deadline)
    try:
        socket = await connect(websocket_url(address, path), create_connection=_Connection, **options)
        try:
            await socket.send(first_frame)
        except BaseException:
            socket.transport.abort()
            raise
    except RefusedError as error:
        raise failure_of_refusal(error, address) from None
    except ConnectionClosed as closed:
        raise failure_of_close(closed, address) or lost(address) from None
    except TRANSPORT_ERRORS as error:
        raise failure_of_handshake(error, address, deadline) from None
    return socket


class _Connection(ClientConnection):
    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        try:
            await super().handshake(*args, **kwargs)
        except InvalidStatus as error:
            # As it is, the library would follow a redirect, and the call with all its arguments, too.
            raise RefusedError(error.response) from None
