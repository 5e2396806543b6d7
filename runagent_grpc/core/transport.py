"""The port to a transport: what a server does with whatever answers calls for it."""

from __future__ import annotations

from typing import Protocol, Self

__all__ = ["CLOSE_GRACE", "Transport"]

CLOSE_GRACE = 1.0
"""How many seconds the last answers may take to leave once a transport closes."""


class Transport(Protocol):
    """Takes a port and answers calls on it, from `async with` to the end of the block.

    Entering raises PortInUseError, or OSError for a host that cannot be bound, and leaves no port open then. Leaving
    closes the port, and after CLOSE_GRACE the calls that are left. The engine must be draining by then, so that calls
    that still arrive are refused with when to try again. All of it happens on one running event loop.
    """

    @property
    def name(self) -> str:
        """What it speaks: "grpc" or "http". Of a server's transports no two share one."""

    @property
    def port(self) -> int:
        """The port that it listens on; 0 before it was entered."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def announce_shutdown(self) -> None:
        """Tells health checks to send no more calls here. Calls are still answered."""
