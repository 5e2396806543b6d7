"""Asks requests for a key, where the server has keys (docs/wire.md, REST and WebSocket).

A key comes as `Authorization: Bearer KEY`, as `?token=KEY`, or, for browsers, whose WebSockets have no headers, as the
subprotocol `runagent.bearer.KEY` beside `runagent`, which alone is echoed.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, QueryParams
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from runagent_grpc.auth.api_keys import ApiKeys
from runagent_grpc.bridge.error_handlers import refuse
from runagent_grpc.errors import AuthenticationError

__all__ = ["SUBPROTOCOL", "Authentication", "owner_of"]

SUBPROTOCOL = "runagent"

_KEY_PREFIX = f"{SUBPROTOCOL}.bearer."
_NO_KEY = frozenset({"", "None"})


class Authentication:
    """Refuses requests without a known key, WebSockets at their handshake. With no keys to know, lets everyone in."""

    def __init__(self, app: ASGIApp, *, keys: ApiKeys, open_to_all: Collection[str]) -> None:
        """`open_to_all` are the paths at which nobody is asked."""
        self._app = app
        self._keys = keys
        self._open_to_all = frozenset(open_to_all)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._keys or scope["type"] == "lifespan" or scope["path"] in self._open_to_all:
            await self._app(scope, receive, send)
            return
        key = _key_of(scope)
        owner = self._keys.owner_of(key)
        if owner is None:
            await refuse(scope, receive, send, _refusal(bool(key)))
            return
        scope.setdefault("state", {})["owner"] = owner
        await self._app(scope, receive, send)


def owner_of(connection: HTTPConnection) -> str:
    """Returns whose key a request came with. Empty when the server asks for none."""
    return str(connection.scope.get("state", {}).get("owner", ""))


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
