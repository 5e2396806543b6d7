"""The connections to a webhook: used again, one's own to each event loop, through a proxy, and gone in the end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from runagent_grpc.worker.webhook.errors import WebhookError
from runagent_grpc.worker.webhook.function import webhook_function
from tests.waiting import on_a_loop, soon
from tests.worker.webhook.target import Request, answering, begin, chunk, hook, listening, reply, target


@on_a_loop
async def test_a_connection_is_used_again_and_several_at_once_where_calls_overlap() -> None:
    async with target(answering("1")) as there:
        call = webhook_function(hook(there.url))
        assert [await call() for _ in range(10)] == [1] * 10
        assert there.connections == 1
        assert await asyncio.gather(*(call() for _ in range(200))) == [1] * 200
        connections = there.connections
        assert [await call() for _ in range(10)] == [1] * 10
        assert there.connections == connections


@on_a_loop
async def test_a_connection_that_the_target_has_closed_is_not_used_again() -> None:
    async def once(_: Request, writer: asyncio.StreamWriter) -> None:
        reply(writer, "1", "application/json")
        await writer.drain()
        writer.close()

    async with target(once) as there:
        call = webhook_function(hook(there.url))
        for n in range(1, 6):
            assert await call() == 1
            await soon(lambda n=n: there.ended == n)  # type: ignore[misc]  # mypy cannot tell a lambda's default
        assert there.connections == 5


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_a_target_sends_beyond_its_answer_reaches_no_other_call(head: str) -> None:
    @on_a_loop
    async def test() -> None:
        async def too_much(_: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(f"{head}HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsomeone's".encode())

        async with target(too_much) as there:
            call = webhook_function(hook(there.url))
            assert [await call() for _ in range(3)] == [None] * 3

    test()


@pytest.mark.parametrize("begins", [False, True])
def test_calls_that_are_cancelled_leave_no_connection_behind_however_often(begins: bool) -> None:
    @on_a_loop
    async def test() -> None:
        async def endless(_: Request, writer: asyncio.StreamWriter) -> None:
            if begins:
                begin(writer, "text/plain")
                await chunk(writer, "x")
            await asyncio.Event().wait()

        async with target(endless) as there:
            call = webhook_function(hook(there.url))
            calls = [asyncio.ensure_future(call()) for _ in range(20)]
            await soon(lambda: len(there.requests) == 20)
            for calling in calls:
                calling.cancel()
            # Once more, in each of the steps in which the first is dealt with.
            for calling in calls:
                calling.cancel()
                await asyncio.sleep(0)
            await asyncio.gather(*calls, return_exceptions=True)
            assert all(calling.cancelled() for calling in calls)
            await soon(lambda: there.ended == 20)

    test()


def test_each_event_loop_has_connections_of_its_own() -> None:
    calls: list[Callable[..., Any]] = []

    async def twice() -> None:
        async with target(answering("1")) as there:
            call = webhook_function(hook(there.url)) if not calls else calls[0]
            calls.append(call)
            if len(calls) == 1:
                assert await call() == 1
            else:
                # The target of the first loop is gone; what was kept of it must not be in the way.
                with pytest.raises(WebhookError, match="refuses connections"):
                    await call()

    asyncio.run(twice())
    asyncio.run(twice())


@on_a_loop
async def test_what_is_forgotten_is_closed() -> None:
    async with target(answering("1")) as there:
        call = webhook_function(hook(there.url))
        assert await call() == 1
        assert there.ended == 0
        del call
        gc.collect()
        await soon(lambda: there.ended == 1)


@on_a_loop
async def test_a_proxy_of_the_environment_is_asked_for_a_public_host(monkeypatch: pytest.MonkeyPatch) -> None:
    async with target(answering("1")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{proxy.port}")
        # A name that only the proxy could look up.
        assert await webhook_function(hook("http://hooks.example/hook"))() == 1
        [request] = proxy.requests
        assert request.path == "http://hooks.example/hook"
        assert request.headers["host"] == "hooks.example"
        assert request.headers["proxy-authorization"] == "Basic dXNlcjpzZWNyZXQ="

        monkeypatch.setenv("NO_PROXY", "hooks.example")
        with pytest.raises(WebhookError, match=r"hooks\.example has no address"):
            await webhook_function(hook("http://hooks.example/hook"))()
        assert len(proxy.requests) == 1


@on_a_loop
async def test_a_private_host_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with target(answering("2")) as proxy, target(answering("1")) as there:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert await webhook_function(hook(there.url))() == 1
        assert proxy.requests == []


@on_a_loop
async def test_a_proxy_is_not_led_to_a_private_host_by_a_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    async with target(answering("", status=307, Location="http://169.254.169.254/latest")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(WebhookError, match="leads to an address that is not public"):
            await webhook_function(hook("http://hooks.example/hook", follow_redirects=True))()
        assert len(proxy.requests) == 1


@on_a_loop
async def test_a_proxy_that_lets_nothing_through_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"CONNECT hooks.example:443 ")
        reply(writer, "", status=403)

    async with listening(serve) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
        with pytest.raises(WebhookError, match="The proxy does not let the webhook's call through"):
            await webhook_function(hook("https://hooks.example/hook"))()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "gopher://x", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_said(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @on_a_loop
    async def test() -> None:
        monkeypatch.setenv("ALL_PROXY", proxy)
        with pytest.raises(WebhookError, match="names a proxy that webhooks cannot be called through"):
            await webhook_function(hook("http://hooks.example/hook"))()

    test()
