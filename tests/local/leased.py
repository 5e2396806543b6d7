"""Leases, and servers that answer for them, for tests."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runagent_grpc.local import Lease, LeasedAgent

__all__ = ["a_lease", "answering_as", "free_port"]


def a_lease(instance_id: str = "one", agent_id: str = "chat", **changes: Any) -> Lease:
    known: dict[str, Any] = {
        "instance_id": instance_id,
        "pid": 4242,
        "started_at": "2026-03-01T12:00:00.000000Z",
        "host": "127.0.0.1",
        "http_port": 8450,
        "grpc_port": None,
        "agents": (LeasedAgent(agent_id=agent_id, agent_path=f"/srv/{agent_id}", framework="default"),),
    }
    return Lease(**known | changes)


@contextmanager
def answering_as(instance_id: str, *, port: int = 0) -> Iterator[int]:
    """Answers every HTTP request as the health of this instance, on the port that it gives."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert "authorization" not in self.headers
            body = json.dumps({"status": "healthy", "instance_id": instance_id}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
