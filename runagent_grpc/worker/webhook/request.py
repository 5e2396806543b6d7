"""The requests that a webhook's target is sent, and where one is sent that was redirected."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode

import httpx

from runagent_grpc.core.manifest import STREAM_SUFFIX
from runagent_grpc.values.payload import array_of, encode
from runagent_grpc.worker.config.entrypoint import WebhookEntrypointConfig
from runagent_grpc.worker.webhook.address import webhook_url_problem
from runagent_grpc.worker.webhook.answer import Answer
from runagent_grpc.worker.webhook.errors import WebhookError

__all__ = ["redirected", "request_for"]

_KEEP_METHOD = frozenset({307, 308})


def request_for(config: WebhookEntrypointConfig, payload: Any) -> httpx.Request:
    """Returns the request that carries a payload: as JSON in the body of a POST, as parameters in a GET's address."""
    url = httpx.URL(config.webhook_url)
    streams = config.tag.endswith(STREAM_SUFFIX)
    headers = {
        "User-Agent": "runagent",
        "Accept": "text/event-stream, application/x-ndjson, */*;q=0.5" if streams else "*/*",
        # What is compressed is held back until there is enough of it.
        "Accept-Encoding": "identity" if streams else "gzip",
    }
    if url.userinfo:
        # "Basic" (RFC 7617), of what stands in front of the host, unquoted.
        credentials = f"{url.username}:{url.password}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
        url = url.copy_with(userinfo=b"")
    if config.method == "GET":
        return httpx.Request("GET", _with_query(url, payload or {}), headers=headers)
    # No payload is no body, and the type is said all the same: targets are used to it.
    headers["Content-Type"] = "application/json"
    return httpx.Request("POST", url, headers=headers, content=b"" if payload is None else _json_of(payload))


def redirected(request: httpx.Request, answer: Answer) -> httpx.Request:
    """Returns the request for the place that an answer leads to, without the credentials unless it is the same."""
    before = request.url
    try:
        url = before.join(answer.headers["location"])
        leads_somewhere = webhook_url_problem(str(url)) is None
    except (httpx.InvalidURL, ValueError):
        raise _misled() from None
    if not leads_somewhere or (before.scheme == "https" and url.scheme == "http"):
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


def _json_of(payload: Any) -> bytes:
    """Returns any value as JSON text. As the item of an array, for by itself a text or bytes is no JSON."""
    return array_of((encode(payload),))[1:-1].encode()


def _with_query(url: httpx.URL, payload: dict[str, str | int | float | bool | None]) -> httpx.URL:
    if not payload:
        return url
    for name in payload:
        if name in url.params:
            raise WebhookError(f"`{name}` is fixed by the webhook's address. Leave it out of the payload.")
    query = urlencode([(name, _query_value(value)) for name, value in payload.items()])
    try:
        return url.copy_with(query=b"&".join(filter(None, (url.query, query.encode()))))
    except httpx.InvalidURL:
        raise WebhookError("The payload is too long for a GET. Send less, or let `method` be POST.") from None


def _query_value(value: str | float | bool | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else _json_of(value).decode()


def _origin_of(url: httpx.URL) -> tuple[str, str, int | None]:
    # A port that goes without saying is none.
    return url.scheme, url.host, url.port


def _misled() -> WebhookError:
    return WebhookError(
        "The webhook redirects to where no call may follow, such as from https:// to http://. "
        "Name the place itself in `webhook_url`."
    )
