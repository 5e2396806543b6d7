"""Webhooks that are somewhere else: followed where the author says so, and not to everywhere."""

from __future__ import annotations

import asyncio

import pytest

from runagent_grpc.worker.webhook.errors import WebhookError
from runagent_grpc.worker.webhook.function import webhook_function
from tests.waiting import on_a_loop
from tests.worker.webhook.target import Answer, Request, answering, hook, reply, target


def leading_to(location: str, *, status: int = 307) -> Answer:
    """Answers /hook with a redirect, and any other path with 1."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path == "/hook":
            reply(writer, "", status=status, Location=location)
        else:
            reply(writer, "1", "application/json")

    return answer


@on_a_loop
async def test_a_redirect_is_followed_only_where_the_author_says_so() -> None:
    async with target(leading_to("/there")) as there:
        with pytest.raises(WebhookError, match="answered 307: it is somewhere else"):
            await webhook_function(hook(there.url))()
        assert len(there.requests) == 1
        assert await webhook_function(hook(there.url, follow_redirects=True))() == 1
        stream = webhook_function(hook(there.url, tag="hook_stream", follow_redirects=True))()
        assert [item async for item in stream] == [1]


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [(301, "GET", b""), (302, "GET", b""), (303, "GET", b""), (307, "POST", b"5"), (308, "POST", b"5")],
)
def test_a_post_stays_a_post_where_the_status_says_so(status: int, method: str, body: bytes) -> None:
    @on_a_loop
    async def test() -> None:
        async with target(leading_to("/there", status=status)) as there:
            await webhook_function(hook(there.url, follow_redirects=True))(5)
        request = there.requests[1]
        assert (request.method, request.path, request.body) == (method, "/there", body)
        assert ("content-type" in request.headers) == (method == "POST")

    test()


@on_a_loop
async def test_credentials_go_to_the_place_they_were_meant_for_and_to_no_other() -> None:
    async with target(answering("1")) as other:
        for location, authorized in [("/there", True), (f"http://127.0.0.1:{other.port}/there", False)]:
            async with target(leading_to(location)) as there:
                url = f"http://user:secret@127.0.0.1:{there.port}/hook"
                assert await webhook_function(hook(url, follow_redirects=True))() == 1
            last = [*there.requests, *other.requests][-1]
            assert ("authorization" in last.headers) == authorized
        assert other.requests[0].headers["host"] == f"127.0.0.1:{other.port}"


@on_a_loop
async def test_credentials_that_a_target_makes_up_are_not_sent() -> None:
    async with target(answering("1")) as other, target(leading_to(f"http://a:b@127.0.0.1:{other.port}/x")) as there:
        assert await webhook_function(hook(there.url, follow_redirects=True))() == 1
    assert "authorization" not in other.requests[0].headers


@on_a_loop
async def test_a_redirect_that_goes_in_circles_has_an_end() -> None:
    async with target(leading_to("/hook")) as there:
        with pytest.raises(WebhookError, match="redirects more than 5 times"):
            await webhook_function(hook(there.url, follow_redirects=True))()
    assert len(there.requests) == 6


@pytest.mark.parametrize(
    "location",
    ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://[::1", "//:80/", "http://127.0.0.1:99999/", "http://xn--/"],
)
def test_a_redirect_to_what_is_no_web_address_is_a_failure(location: str) -> None:
    @on_a_loop
    async def test() -> None:
        async with target(leading_to(location)) as there:
            with pytest.raises(WebhookError, match="redirects to where no call may follow"):
                await webhook_function(hook(there.url, follow_redirects=True))()

    test()


@on_a_loop
async def test_a_redirect_without_a_place_is_a_failure() -> None:
    async with target(answering("", status=307)) as there:
        with pytest.raises(WebhookError, match="answered 307"):
            await webhook_function(hook(there.url, follow_redirects=True))()


@pytest.mark.parametrize("host", ["localhost", "127.1", "[::ffff:127.0.0.1]", "2130706433", "169.254.169.254"])
def test_a_redirect_to_another_private_host_has_to_be_allowed(host: str) -> None:
    @on_a_loop
    async def test() -> None:
        async with target(answering("1")) as other, target(leading_to(f"http://{host}:{other.port}/x")) as there:
            with pytest.raises(WebhookError, match="leads to an address that is not public"):
                await webhook_function(hook(there.url, follow_redirects=True))()
            assert other.connections == 0
            if host != "169.254.169.254":
                allowed = hook(there.url, follow_redirects=True, allow_private_addresses=True)
                assert await webhook_function(allowed)() == 1

    test()
