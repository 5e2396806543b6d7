"""An HTTP and WebSocket server that says what a test tells it to, right or wrong, where a real one would never."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.sync.server import ServerConnection, serve

from runagent_grpc.client.address import Address

__all__ = [
    "COMPLETED",
    "STARTED",
    "Asked",
    "answering",
    "data",
    "dripping",
    "failed",
    "frame",
    "mute",
    "refusing",
    "speaking",
    "streaming",
    "structured",
]


def structured(payload: str, kind: str = "object") -> str:
    return json.dumps({"type": kind, "payload": payload})


def frame(**fields: Any) -> str:
    return json.dumps(fields)


def data(value: Any, **more: Any) -> str:
    return frame(type="data", content=structured(json.dumps(value)), **more)


def failed(**fields: Any) -> str:
    return frame(type="error", **fields)


STARTED = frame(type="status", status="stream_started", invocation_id="the-invocation")
COMPLETED = frame(type="status", status="stream_completed", total_chunks=2, execution_time=0.1, invocation_id="i")


@dataclass(slots=True)
class Asked:
    """What a fake server was asked."""

    address: Address
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        return f"http://{self.address}"


@contextmanager
def answering(status: int, body: Any = b"", headers: dict[str, str] | None = None) -> Iterator[Asked]:
    """Answers every request with this."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.paths.append(self.path)
            asked.headers.append({name.lower(): value for name, value in self.headers.items()})
            length = int(self.headers.get("content-length", 0))
            asked.bodies.append(json.loads(self.rfile.read(length) or b"null"))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST  # noqa: N815 - the name is the method's

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        asked = Asked(Address(host="127.0.0.1", port=server.server_port))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def streaming(script: Callable[[ServerConnection], None], **options: Any) -> Iterator[Asked]:
    """Runs the script on every WebSocket whose first frame has come, and closes it then."""

    def converse(socket: ServerConnection) -> None:
        assert socket.request is not None
        asked.paths.append(socket.request.path)
        asked.headers.append({name.lower(): value for name, value in socket.request.headers.raw_items()})
        asked.bodies.append(json.loads(socket.recv()))
        script(socket)

    with serve(converse, "127.0.0.1", 0, close_timeout=0.1, **options) as server:
        asked = Asked(Address(host="127.0.0.1", port=server.socket.getsockname()[1]))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield asked
        finally:
            server.shutdown()
            thread.join()


def refusing(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Any:
    """Refuses every WebSocket with this."""

    def refuse(socket: ServerConnection, request: Request) -> Response:
        response = socket.respond(HTTPStatus(status), "")
        response.headers.update(headers or {})
        del response.headers["content-length"]
        response.headers["content-length"] = str(len(body))
        response.body = body
        return response

    return streaming(lambda socket: None, process_request=refuse)


@contextmanager
def mute(*frames: str) -> Iterator[Address]:
    """Accepts a WebSocket, sends these frames, and neither reads nor says anything more."""

    def converse(connection: socket.socket) -> None:
        protocol = ServerProtocol()
        protocol.receive_data(connection.recv(65536))
        (request,) = protocol.events_received()
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        for text in frames:
            protocol.send_text(text.encode())
        connection.sendall(b"".join(protocol.data_to_send()))

    with _connection(converse) as address:
        yield address


@contextmanager
def speaking(text: bytes) -> Iterator[Address]:
    """Says this to whoever connects, whatever they ask."""
    with _connection(lambda connection: connection.sendall(text)) as address:
        yield address


@contextmanager
def dripping() -> Iterator[Address]:
    """Answers a request with a body that never ends, byte by byte."""

    def converse(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b" ")
                time.sleep(0.01)

    with _connection(converse) as address:
        yield address


@contextmanager
def _connection(converse: Callable[[socket.socket], None]) -> Iterator[Address]:
    """Takes one connection, and holds it to the end of the block."""
    over = threading.Event()

    def take() -> None:
        connection, _ = listener.accept()
        with connection:
            converse(connection)
            over.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield Address(host="127.0.0.1", port=listener.getsockname()[1], transport="http")
        finally:
            over.set()
            thread.join()
