"""What a webhook's target is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.worker.signature.signature import Signature
from runagent_grpc.worker.webhook.errors import WebhookError
from runagent_grpc.worker.webhook.function import webhook_function
from tests.waiting import on_a_loop
from tests.worker.webhook.target import answering, hook, target


@pytest.mark.parametrize(
    "payload",
    [
        {"name": "Ann", "tags": ["a", None, True]},
        [1, 1.0, 2**70, -0.5],
        "text, and not an object",
        "",
        0,
        False,
        {"grüße": "日本 🙂"},
    ],
)
def test_a_payload_is_posted_as_json_exactly(payload: Any) -> None:
    @on_a_loop
    async def test() -> None:
        async with target(answering("{}")) as there:
            await webhook_function(hook(there.url))(payload)
        [request] = there.requests
        assert (request.method, request.path) == ("POST", "/hook")
        assert request.headers["content-type"] == "application/json"
        assert request.headers["host"] == f"127.0.0.1:{there.port}"
        # As text, for 1 == 1.0 and 0 == False.
        assert json.dumps(json.loads(request.body)) == json.dumps(payload)

    test()


@pytest.mark.parametrize(
    ("payload", "posted"),
    [
        ('{"dish": "soup", "count": 1.0}', {"dish": "soup", "count": 1.0}),
        ("[1, 2]", [1, 2]),
        ('{"dish": ', '{"dish": '),
        ("null", "null"),
        ("7", "7"),
    ],
)
def test_a_text_that_is_the_json_of_a_structure_is_posted_as_that(payload: str, posted: Any) -> None:
    bound = Signature.of(webhook_function(hook("https://example.com/hook"))).bind((), {"payload": payload})
    assert json.dumps(bound.kwargs["payload"]) == json.dumps(posted)


def test_bytes_are_posted_as_a_json_string_in_base64() -> None:
    @on_a_loop
    async def test() -> None:
        async with target(answering("{}")) as there:
            await webhook_function(hook(there.url))(b"\x00\xff")
        assert there.requests[0].body == b'"AP8="'

    test()


@on_a_loop
async def test_no_payload_is_an_empty_body() -> None:
    async with target(answering("{}")) as there:
        await webhook_function(hook(there.url))()
    [request] = there.requests
    assert request.body == b""
    assert request.headers["content-length"] == "0"
    assert request.headers["content-type"] == "application/json"


@on_a_loop
async def test_a_get_sends_an_objects_members_as_a_query_behind_that_of_the_address() -> None:
    async with target(answering("{}")) as there:
        call = webhook_function(hook(f"{there.url}?sig=a%2Fb", method="GET"))
        await call({"city": "São Paulo", "days": 2**70, "wet": True, "limit": None, "min": 1.0})
        await call()
    first, second = there.requests
    assert (first.method, first.body) == ("GET", b"")
    assert first.path == f"/hook?sig=a%2Fb&city=S%C3%A3o+Paulo&days={2**70}&wet=true&limit=&min=1.0"
    assert second.path == "/hook?sig=a%2Fb"
    assert "content-type" not in first.headers


@on_a_loop
async def test_a_caller_cannot_replace_what_the_address_says() -> None:
    async with target(answering("{}")) as there:
        with pytest.raises(WebhookError, match="`token` is fixed"):
            await webhook_function(hook(f"{there.url}?token=ours", method="GET"))({"token": "theirs"})
    assert there.requests == []


@pytest.mark.parametrize("payload", [[1], {"a": [1]}, {"a": {}}, 5, b"x"])
def test_what_no_query_can_hold_is_refused_before_anything_is_sent(payload: Any) -> None:
    signature = Signature.of(webhook_function(hook("http://localhost/hook", method="GET")))
    with pytest.raises(InvalidRequestError) as caught:
        signature.bind([payload], {})
    assert caught.value.field is not None
    assert caught.value.field.startswith("payload")


@on_a_loop
async def test_more_than_an_address_can_hold_is_refused_before_anything_is_sent() -> None:
    async with target(answering("{}")) as there:
        with pytest.raises(WebhookError, match="too long for a GET"):
            await webhook_function(hook(there.url, method="GET"))({"a": "x" * 70_000})
    assert there.requests == []


def test_the_arguments_of_a_get_come_through_as_they_are() -> None:
    signature = Signature.of(webhook_function(hook("http://localhost/hook", method="GET")))
    payload = {"a": 1, "b": 1.0, "c": True, "d": None, "e": "5", "f": 2**70}
    [bound] = signature.bind([payload], {}).args
    assert json.dumps(bound) == json.dumps(payload)
    assert signature.bind([], {"payload": '{"a": 1}'}).kwargs == {"payload": {"a": 1}}


@pytest.mark.parametrize("tag", ["hook", "hook_stream"])
@pytest.mark.parametrize(
    ("args", "kwargs", "field"),
    [([1, 2], {}, "args"), ([1], {"payload": 2}, "payload"), ([], {"data": 1}, "data")],
)
def test_one_payload_is_taken_by_place_or_by_name(
    tag: str, args: list[Any], kwargs: dict[str, Any], field: str
) -> None:
    signature = Signature.of(webhook_function(hook("http://localhost/hook", tag=tag)))
    assert signature.bind([5], {}).args == (5,)
    assert signature.bind([], {"payload": 5}).kwargs == {"payload": 5}
    with pytest.raises(InvalidRequestError) as caught:
        signature.bind(args, kwargs)
    assert caught.value.field == field


@on_a_loop
async def test_credentials_in_the_address_are_sent_as_such_and_not_in_the_path() -> None:
    async with target(answering("{}")) as there:
        url = f"http://ann:p%40ss@127.0.0.1:{there.port}/hook"
        await webhook_function(hook(url))()
    [request] = there.requests
    assert request.headers["authorization"] == "Basic YW5uOnBAc3M="
    assert request.path == "/hook"
    assert request.headers["host"] == f"127.0.0.1:{there.port}"


@on_a_loop
async def test_one_callers_cookies_do_not_reach_the_next() -> None:
    async with target(answering("{}", Set_Cookie="session=1; Path=/")) as there:
        call = webhook_function(hook(there.url))
        await call(1)
        await call(2)
    assert len(there.requests) == 2
    assert all("cookie" not in request.headers for request in there.requests)
