"""The ASGI application: the routes, and what every request passes before it gets to one."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from runagent_grpc.auth.api_keys import ApiKeys
from runagent_grpc.bridge.authentication import Authentication
from runagent_grpc.bridge.compat.legacy import LegacyDialect
from runagent_grpc.bridge.error_handlers import Endpoint, JsonResponse, answering, refusal, refuse
from runagent_grpc.bridge.events import EventStreams
from runagent_grpc.bridge.frames import openapi_body
from runagent_grpc.bridge.history import History
from runagent_grpc.bridge.host_origin import HostOriginMiddleware
from runagent_grpc.bridge.page import DocsPage
from runagent_grpc.bridge.rest import RestEndpoints
from runagent_grpc.bridge.settings import BridgeSettings
from runagent_grpc.bridge.websocket import FlatDialect, StreamEndpoint
from runagent_grpc.engine import Engine
from runagent_grpc.errors import InvalidRequestError, NotFoundError, Reason

__all__ = ["build_app", "routes_of"]

_P = "/api/v1"
_AGENT = f"{_P}/agents/{{agent_id}}"


def build_app(
    engine: Engine,
    *,
    settings: BridgeSettings,
    keys: ApiKeys,
    host: str,
    allowed_hosts: Iterable[str] = (),
    cors_origins: Iterable[str] = (),
    history: History | None = None,
    grpc_port: int | None = None,
) -> ASGIApp:
    """Returns the application. `host` is what the server listens on, `grpc_port` where its gRPC face is, if any."""
    rest = RestEndpoints(engine, settings=settings, history=history, grpc_port=grpc_port)
    routes = routes_of(engine, rest, settings=settings, asks_for_key=bool(keys))
    app = _Paths(Authentication(_Router(routes), keys=keys))
    return HostOriginMiddleware(app, host=host, allowed_hosts=allowed_hosts, cors_origins=cors_origins)


def routes_of(
    engine: Engine, rest: RestEndpoints, *, settings: BridgeSettings, asks_for_key: bool
) -> list[Route | WebSocketRoute]:
    """Returns every route, in the order in which they are tried."""
    run_stream = StreamEndpoint(engine, settings=settings, dialect=FlatDialect)
    execute = StreamEndpoint(engine, settings=settings, dialect=LegacyDialect)
    events = EventStreams(engine, settings=settings)
    # One agent is served at a time, and others take its place only when its files change.
    description_of = functools.lru_cache(maxsize=1)(functools.partial(openapi_body, asks_for_key=asks_for_key))

    async def describe(request: Request) -> Response:
        return JsonResponse(description_of(engine.agent))

    return [
        *(_get(path, rest.info) for path in ("/", _P)),
        *(_get(path, rest.health) for path in ("/health", f"{_P}/health")),
        _get(f"{_AGENT}/architecture", rest.architecture),
        _post(f"{_AGENT}/run", rest.run),
        WebSocketRoute(f"{_AGENT}/run-stream", run_stream),
        _get(f"{_AGENT}/run-stream", _upgrade_required),
        _get(f"{_AGENT}/invocations", rest.invocations),
        _get(f"{_AGENT}/invocations/stats", rest.statistics),
        _get(f"{_P}/invocations/{{invocation_id}}", rest.invocation),
        _post(f"{_P}/invocations/cancel", rest.cancel_request),
        _post(f"{_P}/invocations/{{invocation_id}}/cancel", rest.cancel),
        _get(f"{_P}/invocations/{{invocation_id}}/stream", events.stream),
        _post(f"{_AGENT}/execute/{{tag:path}}", rest.execute),
        WebSocketRoute(f"{_AGENT}/execute/{{tag:path}}", execute),
        _get("/openapi.json", describe),
        _get("/docs", DocsPage().show),
    ]


def _get(path: str, endpoint: Endpoint) -> Route:
    return Route(path, answering(endpoint), methods=["GET"])


def _post(path: str, endpoint: Endpoint) -> Route:
    return Route(path, answering(endpoint), methods=["POST"])


async def _upgrade_required(request: Request) -> Response:
    error = InvalidRequestError("This address takes WebSockets alone.", reason=Reason.MALFORMED_REQUEST)
    return refusal(request, error, status=426, headers={"upgrade": "websocket", "connection": "upgrade"})


class _Paths:
    """Collapses the slashes that clients double whose base URL ends in one, and drops one at the end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = re.sub("//+", "/", scope["path"])
        await self._app({**scope, "path": path.rstrip("/") or "/"}, receive, send)


class _Router:
    """Leads to the first route that takes path and method. Starlette's own answers in text where there is none."""

    def __init__(self, routes: Sequence[Route | WebSocketRoute]) -> None:
        self._routes = routes

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
            error = NotFoundError("There is nothing at this address.", reason=Reason.ENTRYPOINT_NOT_FOUND)
            await refuse(scope, receive, send, error)
            return
        wrong = InvalidRequestError("This address takes another method.", reason=Reason.MALFORMED_REQUEST)
        answer = refusal(Request(scope), wrong, status=405, headers={"allow": ", ".join(sorted(methods))})
        await answer(scope, receive, send)
