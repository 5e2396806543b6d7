"""A grpc.aio server with our services, limits and keepalive set on purpose."""

from __future__ import annotations

import asyncio
import errno
from typing import Any, Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from runagent_grpc._gen.runagent.v1 import (
    agent_service_pb2,
    agent_service_pb2_grpc,
    history_service_pb2,
    history_service_pb2_grpc,
)
from runagent_grpc.addresses import is_loopback, joined, take_port
from runagent_grpc.core.history import InvocationHistory
from runagent_grpc.core.principal import Authenticator
from runagent_grpc.core.transport import CLOSE_GRACE
from runagent_grpc.engine import Engine
from runagent_grpc.rpc.authentication import AuthenticationInterceptor
from runagent_grpc.rpc.decoding import DecodingServer
from runagent_grpc.rpc.history_servicer import HistoryServicer
from runagent_grpc.rpc.reflection import add_reflection
from runagent_grpc.rpc.servicer import AgentServicer
from runagent_grpc.settings import DEFAULT_GRPC_PORT, GrpcSettings

__all__ = ["GrpcServer", "channel_options"]

SERVICE_NAME = agent_service_pb2.DESCRIPTOR.services_by_name["AgentService"].full_name
HISTORY_SERVICE_NAME = history_service_pb2.DESCRIPTOR.services_by_name["HistoryService"].full_name


class GrpcServer:
    """The transport of gRPC: serves an engine on a port, from `async with` to the end of the block."""

    name = "grpc"

    def __init__(
        self,
        engine: Engine,
        *,
        authenticator: Authenticator,
        settings: GrpcSettings,
        host: str,
        port: int | None,
        history: InvocationHistory | None = None,
        instance_id: str | None = None,
    ) -> None:
        """Takes no port yet.

        Args:
            engine: What is served.
            authenticator: Who callers are.
            settings: How it is served.
            host: What to listen on.
            port: None takes 50051, or the next that is free; 0 takes any.
            history: What is told of earlier invocations.
            instance_id: What clients on this machine recognize the server by: health has a service of that name.
        """
        self.port = 0
        self._host = host
        self._wanted_port = port
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[AuthenticationInterceptor(authenticator)] if authenticator.required else None,
            options=channel_options(settings),
        )
        self._servicer = AgentServicer(engine)
        # Generated code names the server's class, and wants two methods of it.
        decoding: Any = DecodingServer(self._server)
        agent_service_pb2_grpc.add_AgentServiceServicer_to_server(self._servicer, decoding)
        history_service_pb2_grpc.add_HistoryServiceServicer_to_server(HistoryServicer(history), decoding)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._health_names = (SERVICE_NAME, HISTORY_SERVICE_NAME, *([instance_id] if instance_id else ()))
        if is_loopback(host) if settings.reflection is None else settings.reflection:
            add_reflection(self._server, (SERVICE_NAME, HISTORY_SERVICE_NAME, health.SERVICE_NAME))

    async def __aenter__(self) -> Self:
        """Takes the port, answers calls, and says so to health checks."""
        try:
            self.port = take_port(self._host, self._wanted_port, DEFAULT_GRPC_PORT, self._bind)
            await self._server.start()
            for name in self._health_names:
                await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        except BaseException:
            await self._server.stop(None)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._come_to_rest()
        await self._server.stop(CLOSE_GRACE)

    async def announce_shutdown(self) -> None:
        await self._health.enter_graceful_shutdown()

    def _bind(self, port: int) -> int:
        try:
            return self._server.add_insecure_port(joined(self._host, port))
        except RuntimeError as error:
            # `take_port` has found the port free, and gRPC does not say why it cannot have it.
            raise OSError(errno.EADDRINUSE, str(error)) from None

    async def _come_to_rest(self) -> None:
        """Waits until no call has come in for a moment.

        Those that gRPC has received, and not handed over yet, it cuts with a bare CANCELLED when it stops: their
        callers could not tell whether to try again.
        """
        turns = 0
        for _ in range(_MOST_TURNS):
            asked = self._servicer.asked
            if not asked or turns == _QUIET_TURNS:
                return
            await asyncio.sleep(_TURN_SECONDS)
            turns = turns + 1 if asked == self._servicer.asked else 0


# Turns rather than a time: a busy loop that has not looked for calls has not had a quiet moment.
_TURN_SECONDS = 0.01
_QUIET_TURNS = 3
_MOST_TURNS = 100


def channel_options(settings: GrpcSettings) -> list[tuple[str, int]]:
    """Returns the settings as gRPC's own options."""
    return [
        # Two servers would share one port without a word otherwise.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_metadata_size", settings.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_bytes),
        # By default a connection may open any number, each of which takes memory before a key is asked for.
        ("grpc.max_concurrent_streams", settings.max_concurrent_streams),
        # gRPC would also refuse streams of clients that keep to the bound: it counts those that have just ended.
        ("grpc.http.overload_protection", 0),
        # The default drops calls that arrive in a burst before the event loop has seen them.
        ("grpc.server.max_pending_requests", 10_000),
        ("grpc.keepalive_time_ms", int(settings.keepalive_time * 1000)),
        ("grpc.keepalive_timeout_ms", int(settings.keepalive_timeout * 1000)),
        # Clients may ping as often as every 10 s, on idle connections too.
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
