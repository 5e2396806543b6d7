"""Every route of the HTTP server, once: where it is, what answers, whether keys are asked, and how it is described.

The router (`app.py`), the check of keys (`authentication.py`) and the OpenAPI document (`openapi.py`) are made from
this list.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from runagent_grpc.bridge.compat.legacy import LegacyDialect
from runagent_grpc.bridge.error_handlers import Endpoint, JsonResponse, refusal
from runagent_grpc.bridge.events import EventStreams
from runagent_grpc.bridge.operation import (
    CANCELLED_KEY,
    IDEMPOTENCY_KEY,
    INVOCATION_ID,
    LAST_EVENT_ID,
    REFUSALS_OF_A_CALL,
    Operation,
    content,
    json_answer,
    query,
)
from runagent_grpc.bridge.page import DocsPage
from runagent_grpc.bridge.rest import RestEndpoints
from runagent_grpc.bridge.rest_bodies import openapi_body
from runagent_grpc.bridge.websocket import FlatDialect, StreamEndpoint
from runagent_grpc.engine import Engine
from runagent_grpc.errors import InvalidRequestError, Reason
from runagent_grpc.settings import BridgeSettings

__all__ = ["HttpRoute", "ServedRoute", "SocketRoute", "routes_of"]

_P = "/api/v1"
_AGENT = f"{_P}/agents/{{agent_id}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRoute:
    """A route that answers requests of one method."""

    path: str
    """With its parameters as Starlette writes them, such as `{tag:path}`."""
    method: Literal["GET", "POST"]
    endpoint: Endpoint
    asks_for_key: bool = True
    """Whether a server with keys asks for one here."""
    any_host: bool = False
    """Whether a request may name any host, or none, as the probes of orchestrators and load balancers do."""
    operation: Operation


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketRoute:
    """A route that takes WebSockets. OpenAPI has no words for it; the GET at the same path describes it."""

    path: str
    endpoint: ASGIApp


ServedRoute: TypeAlias = HttpRoute | SocketRoute


def routes_of(
    engine: Engine, rest: RestEndpoints, *, settings: BridgeSettings, asks_for_key: bool
) -> Sequence[ServedRoute]:
    """Returns every route, in the order in which they are tried and described."""
    events = EventStreams(engine, settings=settings)

    async def describe(request: Request) -> Response:
        return JsonResponse(description_of(engine.agents.manifest))

    routes: tuple[ServedRoute, ...] = (
        *_about_the_server(rest),
        HttpRoute(
            path=f"{_AGENT}/architecture",
            method="GET",
            endpoint=rest.architecture,
            operation=Operation(
                summary="Describes the entrypoints.",
                answers={"200": json_answer("Architecture")},
                refusals=("404",),
            ),
        ),
        HttpRoute(
            path=f"{_AGENT}/run",
            method="POST",
            endpoint=rest.run,
            operation=Operation(
                summary="Runs an entrypoint for its one value.",
                answers={"200": json_answer("RunResponse", headers=INVOCATION_ID)},
                refusals=REFUSALS_OF_A_CALL,
                parameters=[IDEMPOTENCY_KEY],
                body="RunRequest",
            ),
        ),
        SocketRoute(
            path=f"{_AGENT}/run-stream", endpoint=StreamEndpoint(engine, settings=settings, dialect=FlatDialect)
        ),
        HttpRoute(
            path=f"{_AGENT}/run-stream",
            method="GET",
            endpoint=_upgrade_required,
            operation=Operation(
                summary="Runs an entrypoint for its chunks, over a WebSocket. The first text frame is a "
                "RunStreamRequest; the answer is a status frame, a data frame for each chunk, and a last status or "
                "error frame.",
                answers={"101": {"description": "The WebSocket is open."}},
                refusals=("426",),
                first_frame="RunStreamRequest",
            ),
        ),
        *_history(rest),
        *_invocations(rest, events),
        HttpRoute(
            path=f"{_AGENT}/execute/{{tag:path}}",
            method="POST",
            endpoint=rest.execute,
            operation=Operation(
                summary="Runs an entrypoint for its one value, in the dialect of older clients.",
                answers={"200": json_answer("ExecuteResponse", headers=INVOCATION_ID)},
                refusals=REFUSALS_OF_A_CALL,
                body="ExecuteRequest",
            ),
        ),
        SocketRoute(
            path=f"{_AGENT}/execute/{{tag:path}}",
            endpoint=StreamEndpoint(engine, settings=settings, dialect=LegacyDialect),
        ),
        HttpRoute(
            path="/docs",
            method="GET",
            endpoint=DocsPage().show,
            operation=Operation(
                summary="Shows this description as a page.", answers={"200": content("The page.", "text/html")}
            ),
        ),
        HttpRoute(
            path="/openapi.json",
            method="GET",
            endpoint=describe,
            operation=Operation(
                summary="Returns this description.",
                answers={"200": content("It.", "application/json", {"type": "object"})},
            ),
        ),
    )
    # One agent is served at a time, and others take its place only when its files change.
    described = [route for route in routes if isinstance(route, HttpRoute)]
    description_of = functools.lru_cache(maxsize=1)(
        functools.partial(openapi_body, routes=described, asks_for_key=asks_for_key)
    )
    return routes


def _about_the_server(rest: RestEndpoints) -> Sequence[HttpRoute]:
    about = Operation(
        summary="Describes the server, and says where gRPC is.", answers={"200": json_answer("AgentInfo")}
    )
    health = Operation(summary="Says that the server lives.", answers={"200": json_answer("Health")})
    live = Operation(summary="Says that the server lives, for a probe.", answers={"200": json_answer("Live")})
    ready = Operation(
        summary="Says whether the server takes calls, for a probe. One that drains does not.",
        answers={"200": json_answer("Ready"), "503": json_answer("Ready")},
    )
    return (
        *(HttpRoute(path=path, method="GET", endpoint=rest.info, operation=about) for path in ("/", _P)),
        *(
            HttpRoute(path=path, method="GET", endpoint=rest.health, asks_for_key=False, operation=health)
            for path in ("/health", f"{_P}/health")
        ),
        HttpRoute(path="/live", method="GET", endpoint=rest.live, asks_for_key=False, any_host=True, operation=live),
        HttpRoute(path="/ready", method="GET", endpoint=rest.ready, asks_for_key=False, any_host=True, operation=ready),
    )


def _history(rest: RestEndpoints) -> Sequence[HttpRoute]:
    return (
        HttpRoute(
            path=f"{_AGENT}/invocations",
            method="GET",
            endpoint=rest.invocations,
            operation=Operation(
                summary="Lists the latest invocations, the newest first.",
                answers={"200": json_answer("Invocations")},
                refusals=("404", "422"),
                parameters=[
                    query("limit", {"type": "integer", "minimum": 1, "maximum": 999999999, "default": 50}),
                    query("status", {"enum": ["pending", "completed", "failed"]}),
                ],
            ),
        ),
        HttpRoute(
            path=f"{_AGENT}/invocations/stats",
            method="GET",
            endpoint=rest.statistics,
            operation=Operation(
                summary="Counts the invocations.",
                answers={"200": json_answer("InvocationStatistics")},
                refusals=("404",),
            ),
        ),
        HttpRoute(
            path=f"{_P}/invocations/{{invocation_id}}",
            method="GET",
            endpoint=rest.invocation,
            operation=Operation(
                summary="Describes one invocation.", answers={"200": json_answer("Invocation")}, refusals=("404",)
            ),
        ),
    )


def _invocations(rest: RestEndpoints, events: EventStreams) -> Sequence[HttpRoute]:
    return (
        HttpRoute(
            path=f"{_P}/invocations/{{invocation_id}}/cancel",
            method="POST",
            endpoint=rest.cancel,
            operation=Operation(
                summary="Cancels an invocation. One that has ended stays as it ended.",
                answers={"200": json_answer("Cancelled")},
                refusals=("404",),
            ),
        ),
        HttpRoute(
            path=f"{_P}/invocations/cancel",
            method="POST",
            endpoint=rest.cancel_request,
            operation=Operation(
                summary="Cancels what a call with this Idempotency-Key has started.",
                answers={"200": json_answer("Cancelled")},
                refusals=("404", "422"),
                parameters=[CANCELLED_KEY],
            ),
        ),
        HttpRoute(
            path=f"{_P}/invocations/{{invocation_id}}/stream",
            method="GET",
            endpoint=events.stream,
            operation=Operation(
                summary="Takes up a stream, as server-sent events. Each chunk is an event; the last event is named "
                "completed or error.",
                answers={
                    "200": content("The events.", "text/event-stream"),
                    "204": {"description": "The client has seen the last event."},
                },
                refusals=("400", "404", "410", "500", "503"),
                parameters=[
                    query("after", {"type": "integer", "minimum": 0, "maximum": 10**18 - 1, "default": 0}),
                    LAST_EVENT_ID,
                ],
            ),
        ),
    )


async def _upgrade_required(request: Request) -> Response:
    error = InvalidRequestError("This address takes WebSockets alone.", reason=Reason.MALFORMED_REQUEST)
    return refusal(request, error, status=426, headers={"upgrade": "websocket", "connection": "upgrade"})
