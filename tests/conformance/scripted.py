"""Servers that say what a case's script tells them to, right or wrong, over gRPC and over HTTP.

A script is a list of answers: one for each call or resume, the last for all that follow. An answer is a list of
events, each an object with one key:

    {"started": SECONDS}       the heartbeat interval, 0 for none
    {"chunks": [FIRST, TEXT…]} the first one's number, and the chunks
    {"heartbeat": true}, {"unknown": true}
    {"completed": COUNT}
    {"result": VALUE}          what a run gives
    {"error": {"reason": …}}   with `message`, `suggestion`, `fields`, `retry_after`
    {"status": "UNAVAILABLE"}  a bare gRPC status; over HTTP the connection ends
    {"silence": SECONDS}

An answer that ends without `completed`, `error` or `status` ends as if all were well.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import uvicorn
from grpc_status import rpc_status
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc
from runagent_grpc.bridge import rest_bodies, websocket_frames
from runagent_grpc.contract.messages import chunks_to, duration_to, payload_to, status_to
from runagent_grpc.errors import TABLE, Reason, RunAgentError, Violation, error_of
from runagent_grpc.values.payload import Json, Payload

__all__ = ["Script", "scripted_grpc", "scripted_http"]

_ID = "00000000-0000-4000-8000-000000000000"


class Script:
    """What servers are to answer: a play that can be changed for another."""

    def __init__(self) -> None:
        self._answers: Sequence[Any] = ()
        self._asked = 0
        self._lock = threading.Lock()
        self._over = threading.Event()

    def play(self, answers: Sequence[Any]) -> None:
        """Begins with these answers, and ends the silence of those before."""
        with self._lock:
            self._answers, self._asked = answers, 0
            self._over.set()
            self._over = threading.Event()

    def next_answer(self) -> tuple[list[dict[str, Any]], threading.Event]:
        """Returns the next answer, and what is set when it is over, whether it has ended or not."""
        with self._lock:
            answer: list[dict[str, Any]] = self._answers[min(self._asked, len(self._answers) - 1)]
            self._asked += 1
            return answer, self._over


class _Servicer(agent_service_pb2_grpc.AgentServiceServicer):
    def __init__(self, script: Script) -> None:
        self._script = script

    def ListAgents(self, request: pb.ListAgentsRequest, context: Any) -> pb.ListAgentsResponse:  # noqa: N802 - see below
        return pb.ListAgentsResponse()

    def GetAgent(self, request: pb.GetAgentRequest, context: Any) -> pb.GetAgentResponse:  # noqa: N802 - see below
        return pb.GetAgentResponse()

    def Run(self, request: pb.RunRequest, context: Any) -> pb.RunResponse:  # noqa: N802 - the RPC's name
        context.send_initial_metadata((("x-invocation-id", _ID),))
        answer, over = self._script.next_answer()
        for event in answer:
            match event:
                case {"result": value}:
                    return pb.RunResponse(invocation_id=_ID, result=payload_to(_payload(value)))
                case _:
                    self._end(event, over, context)
        return pb.RunResponse(invocation_id=_ID)

    def RunStream(self, request: pb.RunStreamRequest, context: Any) -> Iterator[pb.RunStreamResponse]:  # noqa: N802 - see above
        context.send_initial_metadata((("x-invocation-id", _ID),))
        answer, over = self._script.next_answer()
        for event in answer:
            match event:
                case {"started": seconds}:
                    started = pb.StreamStarted(invocation_id=_ID, heartbeat_interval=duration_to(seconds))
                    yield pb.RunStreamResponse(started=started)
                case {"chunks": [first, *texts]}:
                    yield chunks_to(first, texts)
                case {"heartbeat": _}:
                    yield pb.RunStreamResponse(heartbeat=pb.StreamHeartbeat())
                case {"unknown": _}:
                    # Field 15 of a contract to come: an event that nobody here has heard of.
                    yield pb.RunStreamResponse.FromString(b"\x7a\x00")
                case {"completed": count}:
                    yield pb.RunStreamResponse(completed=pb.StreamCompleted(chunk_count=count))
                case _:
                    self._end(event, over, context)

    def CancelInvocation(  # noqa: N802 - the RPC's name
        self, request: pb.CancelInvocationRequest, context: Any
    ) -> pb.CancelInvocationResponse:
        return pb.CancelInvocationResponse()

    def _end(self, event: dict[str, Any], over: threading.Event, context: Any) -> None:
        match event:
            case {"error": told}:
                context.abort_with_status(rpc_status.to_status(status_to(_error(told))))
            case {"status": name}:
                context.abort(grpc.StatusCode[name], f"A bare {name}.")
            case {"silence": seconds}:
                over.wait(seconds)


@contextmanager
def scripted_grpc(script: Script) -> Iterator[int]:
    """Follows a script over gRPC; yields the port."""
    servicer = _Servicer(script)
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool)
        agent_service_pb2_grpc.add_AgentServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield port
        finally:
            server.stop(None).wait()


class _Face:
    """The routes of the HTTP wire that clients ask for."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def home(self, request: Request) -> Response:
        return _json({"agent_id": "conformance", "resumable": True})

    async def cancel(self, request: Request) -> Response:
        return _json({"success": True, "data": {}})

    async def run(self, request: Request) -> Response:
        answer, over = self._script.next_answer()
        for event in answer:
            match event:
                case {"result": value}:
                    return Response(
                        rest_bodies.run_body(_payload(value), request_id=_ID), media_type="application/json"
                    )
                case {"error": told}:
                    return _refusal(_error(told))
                case {"status": _}:
                    return Response("upstream connect error", status_code=503)
                case {"silence": seconds}:
                    await asyncio.to_thread(over.wait, seconds)
        return _json({"success": True})

    async def stream(self, socket: WebSocket) -> None:
        # Clients leave when they please.
        with contextlib.suppress(WebSocketDisconnect):
            await socket.accept()
            await socket.receive_text()
            await self._follow(*self._script.next_answer(), socket.send_text)
            await socket.close(1000)

    async def _follow(
        self, answer: list[dict[str, Any]], over: threading.Event, send: Callable[[str], Awaitable[None]]
    ) -> None:
        for event in answer:
            match event:
                case {"started": seconds}:
                    frame = {"type": "status", "status": "stream_started", "invocation_id": _ID}
                    await send(json.dumps(frame | ({"heartbeat_interval": seconds} if seconds else {})))
                case {"chunks": [first, *texts]}:
                    for sequence, text in enumerate(texts, first):
                        await send(websocket_frames.chunk_frame(text, sequence))
                case {"heartbeat": _}:
                    await send(websocket_frames.heartbeat_frame())
                case {"unknown": _}:
                    await send(json.dumps({"type": "status", "status": "yet_unknown"}))
                case {"completed": count}:
                    await send(websocket_frames.completed_frame(_ID, chunk_count=count, elapsed=0.1))
                case {"error": told}:
                    await send(websocket_frames.error_frame(_error(told)))
                case {"silence": seconds}:
                    await asyncio.to_thread(over.wait, seconds)


@contextmanager
def scripted_http(script: Script) -> Iterator[int]:
    """Follows a script over REST and WebSockets; yields the port."""
    face = _Face(script)
    app = Starlette(
        routes=[
            Route("/api/v1", face.home),
            Route("/api/v1/agents/{agent}/run", face.run, methods=["POST"]),
            Route("/api/v1/invocations/{rest:path}", face.cancel, methods=["POST"]),
            WebSocketRoute("/api/v1/agents/{agent}/run-stream", face.stream),
        ]
    )
    # Not logged to: a client that leaves is no news here.
    config = uvicorn.Config(app, ws="websockets-sansio", lifespan="off", log_config=None, log_level="critical")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def _json(document: dict[str, Any]) -> Response:
    return Response(json.dumps(document), media_type="application/json")


def _refusal(error: RunAgentError) -> Response:
    headers = {} if error.retry_after is None else {"retry-after": str(math.ceil(error.retry_after))}
    body = rest_bodies.error_body(error, request_id=_ID)
    return Response(body, TABLE[error.reason].http, headers, media_type="application/json")


def _error(told: dict[str, Any]) -> RunAgentError:
    message = told.get("message", "It went wrong.")
    return error_of(
        Reason(told["reason"]),
        message,
        suggestion=told.get("suggestion"),
        retry_after=told.get("retry_after"),
        violations=tuple(Violation(field=field, description=message) for field in told.get("fields", ())),
    )


def _payload(value: dict[str, str]) -> Payload:
    return value["text"] if "text" in value else Json(value["json"])
