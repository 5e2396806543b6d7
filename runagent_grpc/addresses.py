"""Host names and ports: which are local, how they are written, and which port is free."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PortInUseError", "connectable", "find_port", "is_loopback", "joined", "take_port"]

_NEXT_PORTS = 100
_T = TypeVar("_T")


class PortInUseError(Exception):
    """The port that was asked for by name is taken."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`. A name counts only if it is localhost: others may be moved."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def connectable(host: str) -> str:
    """Returns a host that a client on this machine can connect to, where `host` may stand for every address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - read, not bound


def joined(host: str, port: int) -> str:
    """Returns `host:port`, with brackets around an IPv6 address."""
    host = host.strip("[]")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def find_port(host: str, wanted: int | None, default: int) -> int:
    """Returns the port to listen on: the wanted one, or the first free one from `default` on. 0 means any.

    Raises PortInUseError when the wanted port, or every port tried, is taken, and OSError for a host that is not this
    machine's. gRPC itself would say "Failed to bind" and no more.
    """
    if wanted is not None:
        if not _is_free(host, wanted):
            raise PortInUseError(f"Port {wanted} on {host} is in use. Stop what listens there, or choose another port.")
        return wanted
    for port in range(default, default + _NEXT_PORTS):
        if _is_free(host, port):
            return port
    raise PortInUseError(
        f"The ports {default} to {default + _NEXT_PORTS - 1} on {host} are all in use. Choose another."
    )


def take_port(host: str, wanted: int | None, default: int, bind: Callable[[int], _T]) -> _T:
    """Binds the port that `find_port` finds, or another one where somebody has taken that meanwhile.

    `bind` raises OSError with EADDRINUSE for a port that is taken. Raises what `find_port` raises.
    """
    while True:
        port = find_port(host, wanted, default)
        try:
            return bind(port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            if wanted is not None:
                raise PortInUseError(f"Port {port} on {host} is in use. Choose another port.") from None
            default = port + 1


def _is_free(host: str, port: int) -> bool:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        # As gRPC binds, so that a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True
