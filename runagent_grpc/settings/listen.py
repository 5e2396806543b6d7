"""Where a server listens, over what, and to whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runagent_grpc.settings.declaration import setting

__all__ = ["DEFAULT_GRPC_PORT", "DEFAULT_HTTP_PORT", "ListenSettings"]

DEFAULT_GRPC_PORT = 50051
DEFAULT_HTTP_PORT = 8450


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenSettings:
    """Addresses, transports and keys."""

    host: str = setting("127.0.0.1", flag=True, metavar="HOST", help="The address to listen on.")
    port: int | None = setting(
        None,
        flag=True,
        metavar="PORT",
        minimum=0,
        maximum=65535,
        without=f"{DEFAULT_HTTP_PORT}, or the next that is free",
        help="HTTP port; 0 takes any.",
    )
    grpc_port: int | None = setting(
        None,
        flag=True,
        metavar="PORT",
        minimum=0,
        maximum=65535,
        without=f"{DEFAULT_GRPC_PORT}, or the next that is free",
        help="gRPC port; 0 takes any.",
    )
    http: bool = setting(True, flag=True, help="Serve REST and WebSocket.")
    grpc: bool = setting(True, flag=True, help="Serve gRPC.")
    api_key_file: Path | None = setting(  # noqa: RUF009 - a field, and frozen
        None,
        flag=True,
        metavar="FILE",
        help="Ask callers for one of the keys in this file, one a line. RUNAGENT_API_KEYS may hold keys, too.",
    )
    insecure: bool = setting(False, flag=True, help="Listen beyond this machine without asking for keys.")
