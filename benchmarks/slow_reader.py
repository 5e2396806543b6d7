"""A reader so slow that the server has to notice: a TCP proxy that passes on a kibibyte a second."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["throttled"]

_BYTES_PER_SECOND = 1024


@contextmanager
def throttled(port: int) -> Iterator[int]:
    """Listens on a port of loopback, which it yields, for one connection, and passes it on to `port`, slowly back."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as upstream:
        # Set before connecting: a large buffer of our own would take what the reader does not.
        upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        upstream.connect(("127.0.0.1", port))
        done = threading.Event()
        thread = threading.Thread(target=_serve, args=(listener, upstream, done), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            thread.join(timeout=5)


def _serve(listener: socket.socket, upstream: socket.socket, done: threading.Event) -> None:
    client, _ = listener.accept()
    with client:
        threading.Thread(target=_pass_on, args=(client, upstream), daemon=True).start()
        while not done.is_set():
            data = upstream.recv(_BYTES_PER_SECOND // 4)
            if not data:
                return
            client.sendall(data)
            time.sleep(0.25)


def _pass_on(client: socket.socket, upstream: socket.socket) -> None:
    try:
        while data := client.recv(65536):
            upstream.sendall(data)
    except OSError:
        # The other side of the proxy has closed.
        return
