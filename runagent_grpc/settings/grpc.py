"""How the gRPC server listens."""

from __future__ import annotations

from dataclasses import dataclass

from runagent_grpc.settings.declaration import Unit, setting

__all__ = ["GrpcSettings"]

_MOST = 2**31 - 1
"""gRPC takes no larger number."""
_A_DAY = 24 * 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcSettings:
    """The gRPC server's limits and intervals."""

    max_message_bytes: int = setting(
        32 * 1024 * 1024,
        unit=Unit.BYTES,
        minimum=1024,
        maximum=_MOST,
        help="The largest message, in and out. The project's clients take 32 MiB at most.",
    )
    max_metadata_bytes: int = setting(
        16 * 1024, unit=Unit.BYTES, minimum=1024, maximum=_MOST, help="The largest metadata of a call."
    )
    max_concurrent_streams: int = setting(
        200,
        minimum=1,
        maximum=_MOST,
        help="How many calls one connection may have open at once. "
        "Clients wait with one more, or open another connection.",
    )
    keepalive_time: float = setting(
        60.0,
        unit=Unit.SECONDS,
        minimum=1,
        maximum=_A_DAY,
        help="After how long without traffic a connection is pinged.",
    )
    keepalive_timeout: float = setting(
        20.0,
        unit=Unit.SECONDS,
        minimum=0.1,
        maximum=_A_DAY,
        help="How long the answer may take before the connection counts as dead.",
    )
    reflection: bool | None = setting(
        None,
        without="on loopback only",
        help="Whether tools such as grpcurl and buf curl can ask for the contract.",
    )
