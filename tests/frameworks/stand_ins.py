"""What stand-ins of other people's servers have in common: JSON and events over HTTP, on a free port of loopback."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["StandIn", "listening"]


class StandIn(BaseHTTPRequestHandler):
    """Handles one request, and says nothing about it on standard error."""

    protocol_version = "HTTP/1.1"

    def respond(self, body: Any) -> None:
        """Answers the request `self.command` to `self.path`, whose body was this JSON; null without one."""
        raise NotImplementedError

    def do_GET(self) -> None:
        self.respond(json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null"))

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the interface is http.server's

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def answer(self, value: Any, status: int = 200) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def stream(self, events: Iterable[str]) -> None:
        """Answers with server-sent events, each as its lines."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        # The end of the connection is the end of the stream.
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(f"{event}\n\n".encode())
        self.close_connection = True


@contextlib.contextmanager
def listening(handler: type[StandIn], **shared: Any) -> Iterator[int]:
    """Serves to the end of the block, and gives the port. What requests share are attributes of their class."""
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), shared)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
