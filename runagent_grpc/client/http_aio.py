"""The REST and WebSocket transport for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

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

__all__ = ["AsyncHttpTransport"]

T = TypeVar("T")


class AsyncHttpTransport:
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
        self._http = httpx.AsyncClient(**httpx_options(address, api_key))

    @property
    def contact(self) -> PeerStatus:
        """What was had of the server."""
        return self._calls.contact

    async def run(self, call: call_pb2.Call, deadline: Deadline) -> Any:
        return await self._held(self._calls.run(call, deadline), deadline)

    async def open_stream(self, request: pb.RunStreamRequest, deadline: Deadline) -> AsyncWebSocketEvents:
        opening = await self._held(self._calls.open_stream(request, deadline), deadline)
        socket = await _opened(self._address, opening, self._api_key, deadline)
        return AsyncWebSocketEvents(self._address, socket, deadline, self._patience)

    async def send_cancel(self, cancel_request: pb.CancelInvocationRequest) -> None:
        with contextlib.suppress(RunAgentError):
            await self._held(self._calls.send_cancel(cancel_request), Deadline(CANCEL_SECONDS))

    async def cancel(self, invocation_id: str, deadline: Deadline) -> None:
        await self._held(self._calls.cancel(invocation_id), deadline)

    async def list_agents(self, deadline: Deadline) -> list[AgentDescription]:
        return await self._held(self._calls.list_agents(), deadline)

    async def get_agent(self, agent_id: str, deadline: Deadline) -> AgentDescription:
        return await self._held(self._calls.get_agent(agent_id), deadline)

    async def get_invocation(self, invocation_id: str, deadline: Deadline) -> InvocationDescription:
        return await self._held(self._calls.get_invocation(invocation_id), deadline)

    async def list_invocations(self, agent_id: str, limit: int, deadline: Deadline) -> list[InvocationDescription]:
        return await self._held(self._calls.list_invocations(agent_id, limit), deadline)

    async def list_logs(self, invocation_id: str, limit: int, deadline: Deadline) -> list[LogLine]:
        return await self._held(self._calls.list_logs(), deadline)

    async def close(self) -> None:
        await self._http.aclose()

    async def _held(self, conversation: HttpFlow[T], deadline: Deadline) -> T:
        """Holds a conversation with the server, and returns what it comes to."""
        try:
            request = next(conversation)
            while True:
                request = conversation.send(await self._asked(request, deadline))
        except StopIteration as end:
            result: T = end.value
            return result

    async def _asked(self, request: HttpRequest, deadline: Deadline) -> HttpResponse:
        url, body = http_url(self._address, request.path), bytearray()
        try:
            async with (
                asyncio.timeout(deadline.remaining()),
                self._http.stream(
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
        except TRANSPORT_ERRORS as error:
            self._calls.met(broke(error))
            raise failure_of_request(error, self._address, deadline) from None
        except RuntimeError:
            # What httpx says of a client that was closed.
            raise closed_meanwhile() from None
        return HttpResponse(status=response.status_code, headers=response.headers, body=bytes(body))


class AsyncWebSocketEvents:
    """The events of one stream, on a WebSocket of its own."""

    def __init__(
        self, address: Address, socket: ClientConnection, deadline: Deadline, patience: KeepaliveTimeouts
    ) -> None:
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

    async def finish(self) -> None:
        await self._socket.close(close_code(on_purpose=True))

    async def leave(self, cancel_request: pb.CancelInvocationRequest | None) -> None:
        """Closes the WebSocket, with the code that cancels or with one that does not."""
        with contextlib.suppress(asyncio.CancelledError):
            await self.drop(cancel_request)

    def drop(self, cancel_request: pb.CancelInvocationRequest | None) -> asyncio.Task[None]:
        if self._closing is None:
            closing = self._socket.close(close_code(on_purpose=cancel_request is not None))
            self._closing = asyncio.get_running_loop().create_task(closing)
        return self._closing

    def abort(self) -> None:
        self._socket.transport.abort()

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
    address: Address, opening: StreamOpening, api_key: str | None, deadline: Deadline
) -> ClientConnection:
    """Returns a WebSocket on which a stream was asked for."""
    options = websocket_options(address, api_key, deadline, opening.headers)
    try:
        socket = await connect(websocket_url(address, opening.path), create_connection=_Connection, **options)
        try:
            await socket.send(opening.first_frame)
        except BaseException:
            socket.transport.abort()
            raise
    except RefusedError as error:
        raise failure_of_refusal(error, address) from None
    except ConnectionClosed as closed:
        raise failure_of_close(closed, address) or lost(str(address)) from None
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
