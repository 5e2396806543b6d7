"""Who may speak to this server from where: the Host allow-list, the Origin and Sec-Fetch-Site checks, and CORS.

Any web page that the user visits can send requests to this machine, and with DNS rebinding read the answers, too. So
every request has to name a host that the server is known by, and one that a page sends has to come from an origin that
is local or was allowed; every method, and the WebSocket handshake (docs/design.md, keys and safe defaults). Browsers
name no origin where a page GETs what it cannot read, by an image or a link for instance; there they say by
Sec-Fetch-Site whether the page is of another site.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runagent_grpc.addresses import is_loopback
from runagent_grpc.bridge.error_handlers import refuse
from runagent_grpc.errors import PermissionDeniedError, RunAgentError

__all__ = ["HostOriginMiddleware"]

_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, content-type, idempotency-key, last-event-id, x-request-id",
    "access-control-max-age": "600",
}

_PAGES = {"/", "/docs", "/openapi.json"}
"""Where a link on another site may lead. To show them changes nothing, and the other site cannot read them."""


class HostOriginMiddleware:
    """Lets requests through that name an allowed host and come from an allowed origin, or from no other site's page."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        allowed_hosts: Iterable[str] = (),
        cors_origins: Iterable[str] = (),
        any_host: Iterable[str] = (),
    ) -> None:
        """`host` is what the server listens on. An allowed host `*` stands for every host, an origin `*` for every
        origin. `any_host` are the paths of probes, which name whatever host they like, or none."""
        self._app = app
        self._any_host = frozenset(any_host)
        self._local = is_loopback(host)
        self._hosts = {name.lower().strip("[]") for name in (host, *allowed_hosts)}
        if not self._local:
            self._hosts.add(socket.gethostname().lower())
        self._origins = {origin.lower().rstrip("/") for origin in cors_origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"] in self._any_host:
            # These answers are no secret, and are not shared with pages of other origins.
            await self._app(scope, receive, send)
            return
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._knows_host(hosts[0]):
            await refuse(scope, receive, send, _unknown_host())
        elif not origins:
            if self._comes_from_another_site(headers, hosts[0]) and not _opens_a_page(scope, headers):
                await refuse(scope, receive, send, _foreign_site())
            else:
                await self._app(scope, receive, send)
        elif len(origins) != 1 or not self._allows_origin(origins[0], hosts[0]):
            await refuse(scope, receive, send, _foreign_origin())
        else:
            await self._shared(origins[0], headers, scope, receive, send)

    async def _shared(self, origin: str, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request from another origin so that its page may read the answer."""

        async def send_shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                answer["access-control-allow-origin"] = origin
                answer["access-control-expose-headers"] = "retry-after, x-invocation-id"
                answer.add_vary_header("origin")
            await send(message)

        if scope["type"] == "http" and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            answer = Response(status_code=204, headers=_PREFLIGHT)
            if "access-control-request-private-network" in headers:
                answer.headers["access-control-allow-private-network"] = "true"
            await answer(scope, receive, send_shared)
        elif scope["type"] == "http":
            await self._app(scope, receive, send_shared)
        else:
            await self._app(scope, receive, send)

    def _knows_host(self, header: str) -> bool:
        host = _host_of(f"//{header}")
        if host is None:
            return False
        if is_loopback(host) or host in self._hosts or "*" in self._hosts:
            return True
        # An address cannot be rebound, only a name can.
        return not self._local and _is_address(host)

    def _allows_origin(self, origin: str, host: str) -> bool:
        if "*" in self._origins or origin.lower() in self._origins:
            return True
        scheme, _, authority = origin.partition("://")
        name = _host_of(origin)
        if scheme.lower() not in ("http", "https") or name is None:
            return False
        # The server's own pages have its own, allowed host for their origin.
        return is_loopback(name) or authority.lower() == host.lower()

    def _comes_from_another_site(self, headers: Headers, host: str) -> bool:
        """Whether a browser sends this for a page whose origin would not be allowed, if the request named it."""
        if "*" in self._origins:
            return False
        sites = {site.lower() for site in headers.getlist("sec-fetch-site")}
        # Names of one site may be different people's. Of this machine's own names they are all this machine.
        return "cross-site" in sites or ("same-site" in sites and not is_loopback(_host_of(f"//{host}") or ""))


def _opens_a_page(scope: Scope, headers: Headers) -> bool:
    """Whether the user follows a link to a page of the server's, which is shown in a tab of its own."""
    return (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
        and (scope["path"].rstrip("/") or "/") in _PAGES
    )


def _host_of(url: str) -> str | None:
    """Returns the host of a URL that has nothing but a host and a port, or None for any other."""
    try:
        parts = urlsplit(url)
        plain = parts.hostname and not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
        return parts.hostname if plain and (parts.port is None or parts.port > 0) else None
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _unknown_host() -> RunAgentError:
    return PermissionDeniedError(
        "The request names a host that this server is not known by.",
        suggestion="Call it by the address that it printed, or allow the name with --allowed-host.",
    )


def _foreign_origin() -> RunAgentError:
    return PermissionDeniedError(
        "The request comes from a web page that may not call this server.",
        suggestion="Allow the page's origin with --cors-origin.",
    )


def _foreign_site() -> RunAgentError:
    return PermissionDeniedError(
        "The request comes from a web page of another site.",
        suggestion="Use fetch() from a page whose origin is allowed with --cors-origin.",
    )
