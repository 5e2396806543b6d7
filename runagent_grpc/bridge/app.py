"""The ASGI application: what every request passes before it gets to one of the routes (`routes.py`)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from starlette.requests import Request
from starlette.routing import Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from runagent_grpc.bridge.authentication import Authentication
from runagent_grpc.bridge.error_handlers import answering, refusal, refuse
from runagent_grpc.bridge.host_origin import HostOriginMiddleware
from runagent_grpc.bridge.rest import RestEndpoints
from runagent_grpc.bridge.routes import HttpRoute, ServedRoute, SocketRoute, routes_of
from runagent_grpc.core.history import InvocationHistory
from runagent_grpc.core.principal import Authenticator
from runagent_grpc.engine import Engine
from runagent_grpc.errors import InvalidRequestError, NotFoundError, Reason
from runagent_grpc.settings import BridgeSettings

__all__ = ["build_app"]


def build_app(
    engine: Engine,
    *,
    settings: BridgeSettings,
    authenticator: Authenticator,
    host: str,
    allowed_hosts: Iterable[str] = (),
    cors_origins: Iterable[str] = (),
    history: InvocationHistory | None = None,
    grpc_port: int | None = None,
    instance_id: str = "",
) -> ASGIApp:
    """Returns the application.

    `host` is what the server listens on, `grpc_port` where its gRPC server is, if any, and `instance_id` the id by
    which clients on this machine recognize it.
    """
    rest = RestEndpoints(engine, settings=settings, history=history, grpc_port=grpc_port, instance_id=instance_id)
    routes = routes_of(engine, rest, settings=settings, asks_for_key=authenticator.required)
    http_routes = [route for route in routes if isinstance(route, HttpRoute)]
    open_to_all = {route.path for route in http_routes if not route.asks_for_key}
    any_host = {route.path for route in http_routes if route.any_host}
    app = Authentication(_Router(map(_served, routes)), authenticator=authenticator, open_to_all=open_to_all)
    return _Paths(
        HostOriginMiddleware(app, host=host, allowed_hosts=allowed_hosts, cors_origins=cors_origins, any_host=any_host)
    )


def _served(route: ServedRoute) -> Route | WebSocketRoute:
    if isinstance(route, SocketRoute):
        return WebSocketRoute(route.path, route.endpoint)
    return Route(route.path, answering(route.endpoint), methods=[route.method])


class _Paths:
    """Collapses the slashes that clients double whose base URL ends in one, and drops one at the end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = re.sub("//+", "/", scope["path"])
        await self._app({**scope, "path": path.rstrip("/") or "/"}, receive, send)


class _Router:
    """Leads to the first route that takes path and method. Starlette's own answers in text where there is none."""

    def __init__(self, routes: Iterable[Route | WebSocketRoute]) -> None:
        self._routes = tuple(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods: set[str] = set()
        for route in self._routes:
            match, child_scope = route.matches(scope)
            if match is Match.FULL:
                await route.handle({**scope, **child_scope}, receive, send)
                return
            if match is Match.PARTIAL and isinstance(route, Route):
                methods |= route.methods or set()
        if not methods:
            error = NotFoundError("There is nothing at this address.", reason=Reason.ROUTE_NOT_FOUND)
            await refuse(scope, receive, send, error)
            return
        wrong = InvalidRequestError("This address takes another method.", reason=Reason.MALFORMED_REQUEST)
        answer = refusal(Request(scope), wrong, status=405, headers={"allow": ", ".join(sorted(methods))})
        await answer(scope, receive, send)
