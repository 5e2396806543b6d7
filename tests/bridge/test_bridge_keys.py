"""Keys over HTTP and WebSocket: what opens the door, what does not, and that none is told on."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import AGENT, ask, bearer, conversation, masked, talking
from tests.waiting import eventually, on_a_loop

KEY, OTHER_KEY, WRONG_KEY = "right-key-5f1e", "other-key-77aa", "wrong-key-0b0b"

ROUTES = [
    ("GET", "/"),
    ("GET", "/api/v1"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/nothing"),
    ("GET", f"{AGENT}/architecture"),
    ("POST", f"{AGENT}/run"),
    ("GET", f"{AGENT}/run-stream"),
    ("GET", f"{AGENT}/invocations"),
    ("GET", f"{AGENT}/invocations/stats"),
    ("GET", "/api/v1/invocations/x"),
    ("POST", f"{AGENT}/execute/echo"),
    ("OPTIONS", f"{AGENT}/run"),
]

NO_KEYS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a wrong key": {"headers": bearer(WRONG_KEY)},
    "half a key": {"headers": bearer(KEY[:-1])},
    "another case": {"headers": bearer(KEY.upper())},
    "an empty key": {"headers": {"authorization": "Bearer"}},
    "no scheme": {"headers": {"authorization": KEY}},
    "another scheme": {"headers": {"authorization": f"Basic {KEY}"}},
    "another header": {"headers": {"x-api-key": KEY}},
    "a wrong token": {"params": {"token": WRONG_KEY}},
    "an empty token": {"params": {"token": ""}},
    "no token, in Python's words": {"params": {"token": "None"}},
    "another parameter": {"params": {"key": KEY}},
}


def echo(value: Any = None) -> Any:
    return value


def count_stream() -> Iterator[int]:
    yield from itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving({"echo": echo, "count_stream": count_stream}, api_keys=(KEY, OTHER_KEY)) as running:
        yield running


@pytest.mark.parametrize("options", NO_KEYS.values(), ids=NO_KEYS.keys())
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nothing_answers_without_a_known_key(
    server: RunningServer, method: str, path: str, options: dict[str, Any]
) -> None:
    answer = ask(server, method, path, **options)
    body = answer.json()
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert (body["success"], body["error"]["code"]) == (False, "AUTHENTICATION_ERROR")
    assert "-key-" not in answer.text


def test_a_refusal_has_the_documented_body(server: RunningServer) -> None:
    assert masked(ask(server, "GET", "/").text) == (
        '{"success":false,"data":null,"message":"This server asks for an API key.","error":{"code":'
        '"AUTHENTICATION_ERROR","message":"This server asks for an API key.","suggestion":'
        '"Send it as `Authorization: Bearer KEY`, or as ?token=KEY.","details":null,"field":null,'
        '"reason":"AUTHENTICATION_ERROR"},"detail":"This server asks for an API key.","timestamp":"TIME",'
        '"request_id":"ID"}'
    )


@pytest.mark.parametrize("path", ["/health", "/api/v1/health", "//api/v1/health", "/live", "/ready/"])
def test_health_needs_no_key(server: RunningServer, path: str) -> None:
    assert ask(server, "GET", path).status_code == 200


@pytest.mark.parametrize(
    "options",
    [
        {"headers": bearer(KEY)},
        {"headers": {"authorization": f"bearer {KEY}"}},
        {"params": {"token": KEY}},
        {"headers": bearer("None"), "params": {"token": KEY}},
    ],
)
def test_a_known_key_opens_every_route(server: RunningServer, options: dict[str, Any]) -> None:
    for method, path in ROUTES:
        assert ask(server, method, path, **options).status_code not in (401, 403, 500)
    answer = ask(server, "POST", f"{AGENT}/run", json={"entrypoint_tag": "echo"}, **options)
    assert answer.json()["success"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"additional_headers": bearer(WRONG_KEY)},
        {"path": f"{AGENT}/run-stream?token=None"},
        {"path": f"{AGENT}/run-stream?token={WRONG_KEY}"},
        {"path": f"{AGENT}/execute/count_stream"},
        {"path": "/nothing"},
        {"subprotocols": [Subprotocol("runagent"), Subprotocol(f"runagent.bearer.{WRONG_KEY}")]},
    ],
)
def test_a_websocket_without_a_known_key_is_refused_at_its_handshake(
    server: RunningServer, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        conversation(server, **options)
    answer = caught.value.response
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(answer.body)["error"]["code"] == "AUTHENTICATION_ERROR"


@pytest.mark.parametrize(
    "options",
    [
        {"additional_headers": bearer(KEY)},
        {"path": f"{AGENT}/run-stream?token={KEY}"},
        {"subprotocols": [Subprotocol("runagent"), Subprotocol(f"runagent.bearer.{KEY}")]},
    ],
)
def test_a_websocket_may_bring_its_key_in_three_ways(server: RunningServer, options: dict[str, Any]) -> None:
    heard = conversation(server, {"entrypoint_tag": "count_stream", "timeout_seconds": 0.05}, **options)
    assert json.loads(heard.frames[0])["status"] == "stream_started"


@on_a_loop
async def test_only_the_protocols_name_is_echoed_never_the_key(server: RunningServer) -> None:
    protocols = [Subprotocol("runagent"), Subprotocol(f"runagent.bearer.{KEY}")]
    async with talking(server, subprotocols=protocols) as socket:
        assert socket.subprotocol == "runagent"


@on_a_loop
async def test_an_invocation_is_hidden_from_every_key_but_its_own(server: RunningServer) -> None:
    async with talking(server, additional_headers=bearer(KEY)) as socket:
        await socket.send(json.dumps({"entrypoint_tag": "count_stream"}))
        invocation_id = json.loads(await socket.recv())["invocation_id"]
        for key, error in ((OTHER_KEY, "INVOCATION_NOT_FOUND"), (KEY, "REPLAY_EXPIRED")):
            async with talking(server, additional_headers=bearer(key)) as other:
                await other.send(json.dumps({"resume": {"invocation_id": invocation_id}}))
                assert json.loads(await other.recv())["data"]["reason"] == error


def test_without_keys_whatever_credentials_come_are_ignored() -> None:
    with serving({"echo": echo, "count_stream": count_stream}) as server:
        for options in NO_KEYS.values():
            answer = ask(server, "POST", f"{AGENT}/run", json={"entrypoint_tag": "echo"}, **options)
            assert answer.json()["success"]
        heard = conversation(server, {"entrypoint_tag": "echo"}, path=f"{AGENT}/run-stream?token={WRONG_KEY}")
        assert heard.code == 1003


def test_no_key_reaches_a_log(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ValueError("It broke.")

    caplog.set_level(logging.DEBUG)
    # The clients of this test are not ours to judge.
    for name in ("httpx", "httpcore", "websockets"):
        caplog.set_level(logging.WARNING, name)
    with serving({"fail": fail, "count_stream": count_stream}, api_keys=(KEY,)) as server:
        for key in (KEY, WRONG_KEY):
            for options in ({"headers": bearer(key)}, {"params": {"token": key}}):
                ask(server, "POST", f"{AGENT}/run", json={"entrypoint_tag": "fail"}, **options)
                ask(server, "GET", "/nothing", **options)
            path = f"{AGENT}/run-stream?token={key}"
            for first in ({"entrypoint_tag": "count_stream", "timeout_seconds": 0.01}, "{"):
                if key == KEY:
                    conversation(server, first, path=path)
        eventually(lambda: server.engine.active == 0)
    assert caplog.records
    captured = capfd.readouterr()
    logged = "\n".join([caplog.text, captured.out, captured.err, *(repr(vars(record)) for record in caplog.records)])
    assert KEY not in logged
    assert WRONG_KEY not in logged
