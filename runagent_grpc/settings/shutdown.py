"""How a server ends."""

from __future__ import annotations

from dataclasses import dataclass

from runagent_grpc.settings.declaration import Unit, setting

__all__ = ["ShutdownSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownSettings:
    """How long a server that is told to stop waits."""

    drain_grace: float = setting(
        20.0,
        flag=True,
        unit=Unit.SECONDS,
        minimum=0,
        maximum=365 * 24 * 3600,
        help="How long calls may take to end when the server is told to stop.",
    )
