"""How the HTTP server listens, and how patient it is."""

from __future__ import annotations

from dataclasses import dataclass

from runagent_grpc.settings.declaration import Unit, setting

__all__ = ["BridgeSettings"]

_KIB = 1024
_MIB = 1024 * _KIB
_GIB = 1024 * _MIB
_A_DAY = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeSettings:
    """The limits and times of REST and WebSocket, and who may call besides programs on this machine."""

    cors_origins: tuple[str, ...] = setting(
        (),
        flag=True,
        metavar="ORIGIN",
        help="Let web pages of this origin call, such as https://app.example. Local pages may in any case.",
    )
    allowed_hosts: tuple[str, ...] = setting(
        (),
        flag=True,
        metavar="NAME",
        help="Accept HTTP requests that name this host, such as a proxy's or a container's name.",
    )
    max_body_bytes: int = setting(
        20 * _MIB,
        unit=Unit.BYTES,
        minimum=_KIB,
        maximum=_GIB,
        help="The largest request body, and the largest WebSocket message from a client.",
    )
    max_frame_bytes: int = setting(
        10 * _MIB,
        unit=Unit.BYTES,
        minimum=_KIB,
        maximum=_GIB,
        help="The largest WebSocket message to a client. Published clients take no larger one than 10 MiB.",
    )
    max_head_bytes: int = setting(
        64 * _KIB,
        unit=Unit.BYTES,
        minimum=_KIB,
        maximum=16 * _MIB,
        help="The largest request line and headers, together.",
    )
    max_connections: int = setting(
        10_000,
        minimum=1,
        maximum=1_000_000,
        help="How many connections are open at once, WebSockets included. One more is answered with 503.",
    )
    max_pipelined_requests: int = setting(
        16,
        minimum=1,
        maximum=10_000,
        help="How many requests may wait on one connection for the one before them. One more ends the connection.",
    )
    head_timeout: float = setting(
        10.0,
        unit=Unit.SECONDS,
        above=0,
        maximum=_A_DAY,
        help="How long a request line and its headers may take to arrive, from the first byte to the last.",
    )
    keep_alive: float = setting(
        5.0,
        unit=Unit.SECONDS,
        minimum=0,
        maximum=_A_DAY,
        help="How long an idle connection stays open after an answer.",
    )
    body_timeout: float = setting(
        30.0,
        unit=Unit.SECONDS,
        above=0,
        maximum=_A_DAY,
        help="How long the next piece of a request body may take to arrive.",
    )
    first_frame_timeout: float = setting(
        30.0,
        unit=Unit.SECONDS,
        above=0,
        maximum=_A_DAY,
        help="How long a WebSocket client may take to send its request.",
    )
    linger: float = setting(
        0.05,
        unit=Unit.SECONDS,
        minimum=0,
        maximum=1,
        help="How long a stream's last frame waits after the one before, for published clients that read both at once.",
    )
    linger_per_chunk: float = setting(
        0.005,
        unit=Unit.SECONDS,
        minimum=0,
        maximum=1,
        help="How long a published client may take for a chunk; the frame that completes a stream waits for it.",
    )
    max_linger: float = setting(
        2.0,
        unit=Unit.SECONDS,
        minimum=0,
        maximum=60,
        help="How long the frame that completes a stream waits at most.",
    )
    ping_interval: float = setting(
        20.0,
        unit=Unit.SECONDS,
        above=0,
        maximum=_A_DAY,
        help="After how long a WebSocket client is pinged.",
    )
    ping_timeout: float = setting(
        60.0,
        unit=Unit.SECONDS,
        above=0,
        maximum=_A_DAY,
        help="How long the answer to a ping may take: some clients answer only while they read.",
    )
    event_retry: float = setting(
        1.0,
        unit=Unit.SECONDS,
        minimum=0,
        maximum=3600,
        help="After how long a client of server-sent events that was cut off should reconnect.",
    )
