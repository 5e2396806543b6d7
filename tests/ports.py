"""Ports that a test's server can have a second time."""

from __future__ import annotations

import random
import socket

__all__ = ["lasting_port"]

# Below these, systems give none to outgoing connections (32,768 on Linux, 49,152 elsewhere), which would keep a
# server that starts again from the port it had.
_PORTS = range(20_000, 32_000)


def lasting_port() -> int:
    """Returns a port of loopback that nobody has, and that no connection will be given by chance."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - nothing secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
