"""Asks requests for a key, where the server has keys (docs/wire.md, REST and WebSocket).

A key comes as `Authorization: Bearer KEY`, as `?token=KEY`, or, for browsers, whose WebSockets have no headers, as the
subprotocol `runagent.bearer.KEY` beside `runagent`, which alone is echoed.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, QueryParams
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from runagent_grpc.bridge.error_handlers import refuse
from runagent_grpc.core.principal import ANYONE, Authenticator, Principal
from runagent_grpc.errors import AuthenticationError

__all__ = ["SUBPROTOCOL", "Authentication", "principal_of"]

SUBPROTOCOL = "runagent"

_KEY_PREFIX = f"{SUBPROTOCOL}.bearer."
_NO_KEY = frozenset({"", "None"})


class Authentication:
    """Refuses requests of unknown callers, WebSockets at their handshake."""

    def __init__(self, app: ASGIApp, *, authenticator: Authenticator, open_to_all: Collection[str]) -> None:
        """`open_to_all` are the paths at which nobody is asked."""
        self._app = app
        self._authenticator = authenticator
        self._open_to_all = frozenset(open_to_all)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._authenticator.required or scope["type"] == "lifespan" or scope["path"] in self._open_to_all:
            await self._app(scope, receive, send)
            return
        key = _key_of(scope)
        principal = await self._authenticator.authenticate(key)
        if principal is None:
            await refuse(scope, receive, send, _refusal(bool(key)))
            return
        scope.setdefault("state", {})["principal"] = principal
        await self._app(scope, receive, send)


def principal_of(connection: HTTPConnection) -> Principal:
    """Returns who makes a request."""
    principal = connection.scope.get("state", {}).get("principal", ANYONE)
    assert isinstance(principal, Principal)  # noqa: S101 - a narrowing that mypy needs: nobody else sets it
    return principal


def _key_of(scope: Scope) -> str:
    scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
    keys = [key.strip() if scheme.lower() == "bearer" else ""]
    keys.append(QueryParams(scope["query_string"]).get("token", ""))
    keys += [
        protocol.removeprefix(_KEY_PREFIX)
        for protocol in scope.get("subprotocols", ())
        if protocol.startswith(_KEY_PREFIX)
    ]
    return next((key for key in keys if key not in _NO_KEY), "")


def _refusal(has_key: bool) -> AuthenticationError:
    what = "The API key is not one of this server's." if has_key else "This server asks for an API key."
    return AuthenticationError(what, suggestion="Send it as `Authorization: Bearer KEY`, or as ?token=KEY.")
