"""The connections to one webhook: kept between its calls, and closed with the event loop, or once it is forgotten."""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import httpcore
import httpx

from runagent_grpc.worker.config.entrypoint import WebhookEntrypointConfig
from runagent_grpc.worker.problems import InvalidAgentError, Problem, ProblemKind
from runagent_grpc.worker.webhook.address import names_private_network
from runagent_grpc.worker.webhook.answer import Answer
from runagent_grpc.worker.webhook.errors import WebhookError
from runagent_grpc.worker.webhook.network import CheckedNetwork, EgressPolicy
from runagent_grpc.worker.webhook.wording import failures_become_webhook_errors, leads_to_private_address

__all__ = ["Connections"]

# Many servers close a connection after five idle seconds. A request must not meet them halfway.
_IDLE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class _Kept:
    """What an event loop has of a webhook."""

    maker: httpcore.AsyncConnectionPool
    """Makes connections, and does no more. As a pool it looks through all it has, twice for each request."""
    idle: deque[httpcore.AsyncConnectionInterface]
    """Those that no call uses, the longest unused first."""
    lifetime: AsyncGenerator[None, None]


class Connections:
    """Sends requests to a webhook, and to where it redirects.

    Not httpx's client: that logs each URL, path and all, and would carry one caller's cookies to the next.
    """

    def __init__(self, config: WebhookEntrypointConfig) -> None:
        url = httpx.URL(config.webhook_url)
        self._url = url
        self._seconds = config.timeout
        self._reach = EgressPolicy(host=_host_of(url), allows_private=config.allow_private_addresses)
        # Read now, on the thread that loads an agent, and not in the middle of the first call.
        self._tls = _authorities() if url.scheme == "https" or config.follow_redirects else None
        self._kept: WeakKeyDictionary[asyncio.AbstractEventLoop, _Kept] = WeakKeyDictionary()

    async def send(self, request: httpx.Request, *, silence: float | None) -> Answer:
        """Sends a request, and returns the answer once its headers are there. The caller closes it.

        `silence` is how many seconds the target may say nothing at a time.
        """
        url, host = request.url, _host_of(request.url)
        if names_private_network(host) and not self._reach.has_private(host):
            # Said before a proxy is asked, which does not know what the author allows.
            raise leads_to_private_address(host)
        sent = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.content,
            extensions={"timeout": {"read": silence, "write": silence}},
        )
        kept = await self._of_this_loop()
        connection = await _unused(kept, sent.url.origin)

        async def let_go() -> None:
            if connection.is_idle() and not _has_more(connection):
                kept.idle.append(connection)
            else:
                # httpcore has done so, unless it was cancelled once more in the middle.
                await connection.aclose()

        with failures_become_webhook_errors(host, self._seconds):
            try:
                response = await connection.handle_async_request(sent)
            except BaseException:
                await connection.aclose()
                raise
        return Answer(response, host=host, seconds=self._seconds, let_go=let_go)

    async def _of_this_loop(self) -> _Kept:
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        if kept is None:
            # What is of this machine's own network is never behind a proxy.
            proxy = None if names_private_network(self._reach.host) else _proxy_for(self._url)
            # A proxy's address is the choice of whoever runs the server, and it is the proxy that looks names up.
            reach = EgressPolicy(host="", allows_private=True) if proxy else self._reach
            maker = httpcore.AsyncConnectionPool(
                ssl_context=self._tls,
                proxy=proxy,
                keepalive_expiry=_IDLE_SECONDS,
                network_backend=CheckedNetwork(reach),
            )
            idle: deque[httpcore.AsyncConnectionInterface] = deque()
            kept = self._kept[loop] = _Kept(maker, idle, _closing_with_the_loop(idle))
            await anext(kept.lifetime)
        return kept


def _has_more(connection: Any) -> bool:
    """Whether a target has sent more than its answer, such as a body with 204: the next call would take it for its own.

    httpcore does not tell. What has not been read yet makes a connection expired, which it does.
    """
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    state = getattr(connection, "_h11_state", None)
    return state is None or bool(state.trailing_data[0])


async def _unused(kept: _Kept, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
    """Returns a connection that no call uses, and closes those that were not used for long."""
    while kept.idle and kept.idle[0].has_expired():
        await kept.idle.popleft().aclose()
    while kept.idle:
        connection = kept.idle.pop()
        if connection.can_handle_request(origin) and not connection.has_expired():
            return connection
        # A redirect has led it elsewhere, or the target has ended it.
        await connection.aclose()
    return kept.maker.create_connection(origin)


async def _closing_with_the_loop(idle: deque[httpcore.AsyncConnectionInterface]) -> AsyncGenerator[None, None]:
    """Closes connections on their own loop: when that shuts down its generators, or when this one is garbage.

    An agent may be unloaded on any thread, and after its loop has ended. A loop knows its generators, so that both
    ways to end come to the same.
    """
    try:
        yield
    finally:
        for connection in idle:
            # Each of them, though a loop that ends cancels this in the middle, and Python 3.11 then closes a generator
            # that is closing already.
            with suppress(asyncio.CancelledError, GeneratorExit):
                await connection.aclose()


def _authorities() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except (OSError, ssl.SSLError):
        text = "The environment's SSL_CERT_FILE and SSL_CERT_DIR name no certificates that can be read. Correct them."
        raise InvalidAgentError([Problem(kind=ProblemKind.ENVIRONMENT, text=text)]) from None


def _host_of(url: httpx.URL) -> str:
    return url.raw_host.decode("ascii").rstrip(".")


def _proxy_for(url: httpx.URL) -> httpcore.Proxy | None:
    """Returns the proxy that the environment names for an address: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY."""
    named = urllib.request.getproxies()
    written = named.get(url.scheme) or named.get("all")
    if not written or urllib.request.proxy_bypass(_host_of(url)):
        return None
    try:
        proxy = httpx.Proxy(written if "://" in written else f"http://{written}")
    except (ValueError, httpx.InvalidURL):
        raise _no_such_proxy() from None
    if proxy.url.scheme not in {"http", "https"}:
        raise _no_such_proxy()
    address = proxy.url
    return httpcore.Proxy(
        httpcore.URL(scheme=address.raw_scheme, host=address.raw_host, port=address.port, target=address.raw_path),
        auth=proxy.raw_auth,
        headers=proxy.headers.raw,
    )


def _no_such_proxy() -> WebhookError:
    return WebhookError(
        "The server's environment names a proxy that webhooks cannot be called through. "
        "Give HTTPS_PROXY and HTTP_PROXY addresses that begin with http:// or https://, or name the host in NO_PROXY."
    )
