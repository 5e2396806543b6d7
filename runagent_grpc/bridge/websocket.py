"""The WebSocket endpoint: one first frame in, one stream of frames out (docs/wire.md, REST and WebSocket).

How frames look is a dialect's business; when they are sent, and how it all ends, is the same for each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing, suppress
from typing import Any, Protocol

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from runagent_grpc.bridge import websocket_frames
from runagent_grpc.bridge.authentication import SUBPROTOCOL, principal_of
from runagent_grpc.bridge.connections import DRAIN
from runagent_grpc.bridge.error_handlers import known
from runagent_grpc.bridge.leaving import until_done_or_gone
from runagent_grpc.bridge.requests import (
    Caller,
    ResumePoint,
    read_object,
    resume_point,
    run_call,
    served_agent,
    wire_of,
)
from runagent_grpc.bridge.slow_reader import SlowReader
from runagent_grpc.core.call import Call, OnDisconnect
from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamEvent, StreamHeartbeat, StreamStarted
from runagent_grpc.engine import Engine, Reader
from runagent_grpc.errors import (
    TABLE,
    InvalidRequestError,
    Reason,
    ResourceExhaustedError,
    RunAgentError,
)
from runagent_grpc.settings import BridgeSettings
from runagent_grpc.values.payload import size_of

__all__ = ["Dialect", "FlatDialect", "StreamEndpoint"]

_NORMAL, _UNSUPPORTED, _POLICY, _INTERNAL, _RESTARTING = 1000, 1003, 1008, 1011, 1012

_OF_THE_REQUEST = frozenset({400, 404, 409, 410, 422})
"""The HTTP statuses of what a client has to change before it asks again; a WebSocket closes with 1003 for them."""

_CURRENT_WIRE = 2
"""What a client says that knows every status, and keeps its chunks when the last frame comes."""

_DISCONNECTED = "WebSocket disconnected"


class Dialect(Protocol):
    """The words of one conversation."""

    transport: str

    @property
    def lingers(self) -> bool:
        """Whether the client may drop chunks that it has not handed on when the last frame comes."""

    def reply(self, request: Mapping[str, Any]) -> str | None:
        """Returns the answer to a frame that starts no stream, or None for one that does."""

    def asked(self, request: Mapping[str, Any], caller: Caller) -> Call | ResumePoint:
        """Returns the call that a first frame asks for, or the stream that it wants to go on with.

        Raises RunAgentError for one that cannot be read.
        """

    def frames(self, event: StreamEvent, invocation_id: str) -> Iterator[str]:
        """Yields the frames of one event."""

    def failed(self, error: RunAgentError) -> str:
        """Returns the frame that tells an error."""

    def draining(self, invocation_id: str) -> str | None:
        """Returns the frame that tells that the server goes away, or None for a client that may not understand it."""


class FlatDialect:
    """Today's words."""

    transport = "websocket"

    def __init__(self, engine: Engine, path: Mapping[str, str]) -> None:
        self._engine = engine
        self._agent_id = path["agent_id"]
        self._wire = 1
        self._resumes = False

    @property
    def lingers(self) -> bool:
        return self._wire < _CURRENT_WIRE

    def reply(self, request: Mapping[str, Any]) -> str | None:
        return None

    def asked(self, request: Mapping[str, Any], caller: Caller) -> Call | ResumePoint:
        served_agent(self._engine, self._agent_id)
        self._wire = wire_of(request)
        asked = resume_point(request) or run_call(self._engine, request, caller, streaming=True)
        self._resumes = (
            self._wire >= _CURRENT_WIRE
            or isinstance(asked, ResumePoint)
            or asked.on_disconnect is not OnDisconnect.CANCEL
        )
        return asked

    def frames(self, event: StreamEvent, invocation_id: str) -> Iterator[str]:
        match event:
            case StreamChunks(first_sequence, payloads):
                for sequence, payload in enumerate(payloads, start=first_sequence):
                    yield websocket_frames.chunk_frame(payload, sequence)
            case StreamStarted(heartbeat_interval=interval):
                yield websocket_frames.started_frame(invocation_id, heartbeat_interval=interval)
            case StreamHeartbeat():
                yield websocket_frames.heartbeat_frame()
            case StreamCompleted(chunk_count, elapsed):
                yield websocket_frames.completed_frame(invocation_id, chunk_count=chunk_count, elapsed=elapsed)

    def failed(self, error: RunAgentError) -> str:
        return websocket_frames.error_frame(error)

    def draining(self, invocation_id: str) -> str | None:
        # Published clients take a stream that ends after a status frame for one that succeeded.
        return websocket_frames.draining_frame(invocation_id) if self._resumes else None


class StreamEndpoint:
    """Streams the engine's agent over WebSockets, in one dialect."""

    def __init__(
        self,
        engine: Engine,
        *,
        settings: BridgeSettings,
        dialect: Callable[[Engine, Mapping[str, str]], Dialect],
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        dialect = self._dialect(self._engine, socket.path_params)

        async def drained() -> None:
            await send({"type": DRAIN})

        conversation = _Conversation(self._engine, socket, dialect, self._settings, drained)
        with suppress(WebSocketDisconnect):
            await socket.accept(SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None)
            await conversation.hold()


class _Conversation:
    """One WebSocket, from its first frame to its close."""

    def __init__(
        self,
        engine: Engine,
        socket: WebSocket,
        dialect: Dialect,
        settings: BridgeSettings,
        drained: Callable[[], Awaitable[None]],
    ) -> None:
        """`drained` returns when the kernel has taken everything that was sent."""
        self._engine = engine
        self._socket = socket
        self._dialect = dialect
        self._settings = settings
        self._drained = drained
        self._client = SlowReader(settings.linger_per_chunk)

    async def hold(self) -> None:
        try:
            reader = await self._reader_of(await self._first_request())
        except TimeoutError:
            await self._socket.close(_POLICY, "No request came in time.")
        except WebSocketDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: told, and logged where it is ours
            await self._refuse(known(error))
        else:
            with reader:
                await self._stream(reader)

    async def _reader_of(self, asked: Call | ResumePoint) -> Reader:
        if isinstance(asked, ResumePoint):
            owner = principal_of(self._socket).subject
            return await self._engine.resume(asked.invocation_id, asked.after_sequence, owner=owner)
        return await self._engine.start(asked, streaming=True)

    async def _first_request(self) -> Call | ResumePoint:
        """Waits for the frame that starts a stream. Raises TimeoutError, and RunAgentError for a frame that does not
        fit."""
        async with asyncio.timeout(self._settings.first_frame_timeout):
            while True:
                request = await self._next_request()
                answer = self._dialect.reply(request)
                if answer is None:
                    caller = Caller(
                        transport=self._dialect.transport,
                        principal=principal_of(self._socket),
                        request_id=self._socket.headers.get("idempotency-key", ""),
                    )
                    return self._dialect.asked(request, caller)
                await self._socket.send_text(answer)

    async def _next_request(self) -> dict[str, Any]:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        if message.get("text") is None:
            raise InvalidRequestError(
                "Invalid JSON format: expected a text frame, got a binary one.", reason=Reason.MALFORMED_REQUEST
            )
        return read_object(message["text"])

    async def _stream(self, reader: Reader) -> None:
        """Sends the stream for as long as the client is there. Its leaving closes the generator."""
        # Pings are answered, and a close is noticed, only while somebody receives.
        async with until_done_or_gone(self._send_events(reader), self._socket.receive) as (sending, gone):
            if not sending.done() or sending.exception() is not None:
                # A client that closes in order has left on purpose; one whose connection broke may come back.
                reader.leave(_DISCONNECTED, for_good=gone.done() and gone.result().get("code") == _NORMAL)

    async def _send_events(self, reader: Reader) -> None:
        invocation_id = reader.invocation_id
        try:
            async with aclosing(reader.events()) as events:
                async for event in events:
                    await self._send_event(event, invocation_id)
        except WebSocketDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary: told, and logged where it is ours
            await self._fail(reader, known(error))
        else:
            await self._socket.close(_NORMAL)

    async def _send_event(self, event: StreamEvent, invocation_id: str) -> None:
        if isinstance(event, StreamCompleted):
            await self._hold_the_end()
        elif isinstance(event, StreamChunks):
            # Sending waits only where the socket is full. Other clients want their turn, too.
            await asyncio.sleep(0)
            self._check_size(max(map(size_of, event.payloads)))
        for frame in self._dialect.frames(event, invocation_id):
            self._check_size(len(frame))
            await self._socket.send_text(frame)
        if isinstance(event, StreamChunks):
            self._client.receive(len(event.payloads), time.monotonic())

    async def _hold_the_end(self) -> None:
        """Waits until a client that would drop the chunks in its queue has probably emptied it."""
        if self._dialect.lingers:
            await self._drained()
            busy = min(self._client.busy_for(time.monotonic()), self._settings.max_linger)
            await asyncio.sleep(max(busy, self._settings.linger))

    def _check_size(self, size: int) -> None:
        limit = self._settings.max_frame_bytes
        if size > limit:
            raise ResourceExhaustedError(
                f"A chunk makes a WebSocket message of more than {limit:,} bytes.", reason=Reason.PAYLOAD_TOO_LARGE
            )

    async def _fail(self, reader: Reader, error: RunAgentError) -> None:
        """Ends a stream that has begun."""
        invocation_id = reader.invocation_id
        reader.leave(error.message)
        cut_by_shutdown = error.reason is Reason.INVOCATION_LOST and self._engine.draining
        draining = self._dialect.draining(invocation_id) if cut_by_shutdown else None
        if self._dialect.lingers:
            await asyncio.sleep(self._settings.linger)
        await self._socket.send_text(draining or self._dialect.failed(error))
        await self._socket.close(_RESTARTING if cut_by_shutdown else _INTERNAL)

    async def _refuse(self, error: RunAgentError) -> None:
        """Ends a conversation that started no stream."""
        await self._socket.send_text(self._dialect.failed(error))
        if error.reason is Reason.SHUTTING_DOWN:
            await self._socket.close(_RESTARTING)
        else:
            await self._socket.close(_UNSUPPORTED if TABLE[error.reason].http in _OF_THE_REQUEST else _INTERNAL)
