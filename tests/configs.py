"""Configurations of servers on free ports, for tests."""

from __future__ import annotations

from typing import Any

from runagent_grpc.server.config import ServerConfig
from runagent_grpc.settings import ListenSettings, ShutdownSettings

__all__ = ["any_ports"]


def any_ports(*, drain_grace: float = 0.0, **listen: Any) -> ServerConfig:
    """Returns the configuration of a server that listens on any free ports, and as `listen` says."""
    return ServerConfig(
        listen=ListenSettings(**{"port": 0, "grpc_port": 0, **listen}),
        shutdown=ShutdownSettings(drain_grace=drain_grace),
    )
