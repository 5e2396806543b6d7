"""An entrypoint that is a webhook: a function that asks a target over HTTP and gives back what it answers.

What it may connect to is `webhook_address.py`'s, what the answer means `webhook_values.py`'s, and what is said when
there is none `webhook_errors.py`'s. To the engine it is an async function, or an async generator function, like any.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx

from runagent_grpc.agent.entrypoint import STREAM_SUFFIX
from runagent_grpc.agent.entrypoint_config import WebhookEntrypointConfig
from runagent_grpc.agent.webhook_answer import Answer
from runagent_grpc.agent.webhook_connections import Connections
from runagent_grpc.agent.webhook_errors import WebhookError, refused_status, timed_out
from runagent_grpc.agent.webhook_values import chunks_of, value_of
from runagent_grpc.payload import array_of, encode

__all__ = ["webhook_function"]

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD = frozenset({307, 308})

_QueryPayload = dict[str, str | int | float | bool | None]


def webhook_function(config: WebhookEntrypointConfig) -> Callable[..., Any]:
    """Returns the function behind a webhook's tag, with the one parameter `payload`.

    It is a coroutine function, and an async generator function for a `*_stream` tag. Both raise WebhookError.
    """
    webhook = _Webhook(config)

    async def call_webhook(payload: Any = None) -> Any:
        """Calls a webhook with the payload, and returns what it answers."""
        return await webhook.call(payload)

    async def stream_webhook(payload: Any = None) -> AsyncGenerator[Any, None]:
        """Calls a webhook with the payload, and streams what it answers."""
        async with aclosing(webhook.stream(payload)) as chunks:
            async for chunk in chunks:
                yield chunk

    function: Callable[..., Any] = stream_webhook if config.tag.endswith(STREAM_SUFFIX) else call_webhook
    if config.method == "GET":
        # A query has room for nothing else, which the check of arguments says, and the schema.
        function.__annotations__["payload"] = _QueryPayload | None
    return function


class _Webhook:
    def __init__(self, config: WebhookEntrypointConfig) -> None:
        self._url = httpx.URL(config.webhook_url)
        self._method = config.method
        self._seconds = config.timeout
        self._follow_redirects = config.follow_redirects
        self._connections = Connections(config)

    async def call(self, payload: Any) -> Any:
        """Returns the value of the answer. The time for it is the whole call's."""
        try:
            async with asyncio.timeout(self._seconds), self._answer_to(payload, streams=False) as answer:
                return await value_of(answer)
        except TimeoutError:
            raise timed_out(self._seconds) from None

    async def stream(self, payload: Any) -> AsyncGenerator[Any, None]:
        """Yields the chunks of the answer. The time is for its beginning, and then for each piece of it."""
        async with self._answer_to(payload, streams=True) as answer, aclosing(chunks_of(answer)) as chunks:
            async for chunk in chunks:
                yield chunk

    @asynccontextmanager
    async def _answer_to(self, payload: Any, *, streams: bool) -> AsyncIterator[Answer]:
        if streams:
            try:
                async with asyncio.timeout(self._seconds):
                    answer = await self._final_answer(payload, streams=True)
            except TimeoutError:
                raise timed_out(self._seconds) from None
        else:
            answer = await self._final_answer(payload, streams=False)
        async with aclosing(answer):
            yield answer

    async def _final_answer(self, payload: Any, *, streams: bool) -> Answer:
        request = self._request(payload, streams=streams)
        for _ in range(1 + _MOST_REDIRECTS):
            answer = await self._answer(request, streams=streams)
            if httpx.codes.is_success(answer.status):
                return answer
            # What a target says about its refusal may be more than the caller should know.
            await answer.aclose()
            if not (self._follow_redirects and answer.status in _REDIRECTS and "location" in answer.headers):
                raise refused_status(answer.status)
            request = _redirected(request, answer)
        raise WebhookError(
            f"The webhook redirects more than {_MOST_REDIRECTS} times. Name the place it leads to in `webhook_url`."
        )

    async def _answer(self, request: httpx.Request, *, streams: bool) -> Answer:
        response = await self._connections.send(request, silence=self._seconds if streams else None)
        return Answer(response, host=request.url.host, seconds=self._seconds)

    def _request(self, payload: Any, *, streams: bool) -> httpx.Request:
        headers = {
            "User-Agent": "runagent",
            "Accept": "text/event-stream, application/x-ndjson, */*;q=0.5" if streams else "*/*",
            # What is compressed is held back until there is enough of it.
            "Accept-Encoding": "identity" if streams else "gzip",
        }
        if self._url.userinfo:
            # "Basic" (RFC 7617), of what stands in front of the host, unquoted.
            credentials = f"{self._url.username}:{self._url.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
        url = self._url.copy_with(userinfo=b"")
        if self._method == "GET":
            return httpx.Request("GET", _with_query(url, payload or {}), headers=headers)
        # No payload is no body, and the type is said all the same: targets are used to it.
        headers["Content-Type"] = "application/json"
        return httpx.Request("POST", url, headers=headers, content=b"" if payload is None else _json_of(payload))


def _json_of(payload: Any) -> bytes:
    """Returns any value as JSON text. As the item of an array, for by itself a text or bytes is no JSON."""
    return array_of((encode(payload),))[1:-1].encode()


def _with_query(url: httpx.URL, payload: _QueryPayload) -> httpx.URL:
    if not payload:
        return url
    for name in payload:
        if name in url.params:
            raise WebhookError(f"`{name}` is fixed by the webhook's address. Leave it out of the payload.")
    query = urlencode([(name, _query_value(value)) for name, value in payload.items()])
    return url.copy_with(query=b"&".join(filter(None, (url.query, query.encode()))))


def _query_value(value: str | float | bool | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _json_of(value).decode()


def _redirected(request: httpx.Request, answer: Answer) -> httpx.Request:
    """Returns the request for the place that an answer leads to, without the credentials unless it is the same."""
    before = request.url
    try:
        url = before.join(answer.headers["location"])
    except (httpx.InvalidURL, ValueError):
        raise _misled() from None
    if url.scheme not in {"http", "https"} or not url.host or (before.scheme == "https" and url.scheme == "http"):
        raise _misled()
    # Credentials that the target wrote into the address are its own business.
    url = url.copy_with(userinfo=b"", fragment=None)
    headers = request.headers.copy()
    for name in ("host", "content-length", "transfer-encoding"):
        headers.pop(name, None)
    if _origin_of(url) != _origin_of(before):
        headers.pop("authorization", None)
    if answer.status in _KEEP_METHOD or request.method == "GET":
        return httpx.Request(request.method, url, headers=headers, content=request.content)
    headers.pop("content-type", None)
    return httpx.Request("GET", url, headers=headers)


def _origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    # A port that goes without saying is none.
    return url.scheme, url.host, url.port


def _misled() -> WebhookError:
    return WebhookError(
        "The webhook redirects to where no call may follow, such as from https:// to http://. "
        "Name the place itself in `webhook_url`."
    )
