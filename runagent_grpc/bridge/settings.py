"""The limits and times of the HTTP face, each with its default."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BridgeSettings"]

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """How the HTTP face listens and how patient it is. Sizes are bytes, times are seconds."""

    max_body_bytes: int = 20 * _MIB
    """The largest request body, and the largest WebSocket message from a client."""
    max_frame_bytes: int = 10 * _MIB
    """The largest WebSocket message to a client; published clients take no larger one."""
    max_head_bytes: int = 64 * 1024
    """The largest request line and headers, together."""
    max_connections: int = 10_000
    """How many connections are open at once, WebSockets included. One more is answered with 503."""
    max_pipelined_requests: int = 16
    """How many requests may wait on one connection for the one before them. One more ends the connection."""
    head_timeout: float = 10.0
    """How long a request line and its headers may take to come, from the first byte to the last."""
    keep_alive: float = 5.0
    """How long a connection is kept on which nothing more is asked."""
    body_timeout: float = 30.0
    """How long the next piece of a request body may take to come."""
    first_frame_timeout: float = 30.0
    """How long a WebSocket client may take to say what it wants."""
    linger: float = 0.05
    """How long a stream's last frame waits behind the one before, so that both do not arrive in one piece."""
    ping_interval: float = 20.0
    """After how long a WebSocket client is asked for a sign of life."""
    ping_timeout: float = 60.0
    """How long the answer may take: some clients answer only while they read."""
    event_retry: float = 1.0
    """After how long a client of server-sent events that was cut off should come back."""
