"""Bodies and frames that nobody sends by accident: each is refused, quickly, and none is news in the log."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from runagent_grpc.bridge import BridgeSettings
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import AGENT, ask, conversation

DEEP = "[" * 100_000 + "]" * 100_000
NUMBER = "9" * 1_000_000

HOSTILE = {
    "deep nesting": f'{{"entrypoint_tag":"TAG","input_args":[{DEEP}]}}',
    "a deep key": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "a huge integer": f'{{"entrypoint_tag":"TAG","input_args":[{NUMBER}]}}',
    "a huge timeout": f'{{"entrypoint_tag":"TAG","timeout_seconds":{NUMBER}}}',
    "a number out of range": '{"entrypoint_tag":"TAG","input_args":[1e400]}',
    "infinity": '{"entrypoint_tag":"TAG","input_args":[Infinity]}',
    "a key that stands twice": '{"entrypoint_tag":"TAG","input_kwargs":{"value":1,"value":2}}',
    "a lone surrogate": '{"entrypoint_tag":"TAG","input_args":["\\ud800"]}',
    "a surrogate in the tag": '{"entrypoint_tag":"\\ud800"}',
    "a byte order mark": '\ufeff{"entrypoint_tag":"TAG"}',
    "a dunder": '{"entrypoint_tag":"TAG","input_kwargs":{"__class__":1}}',
    "self": '{"entrypoint_tag":"TAG","input_kwargs":{"self":1}}',
    "many arguments": json.dumps({"entrypoint_tag": "TAG", "input_kwargs": {f"k{n}": n for n in range(100_000)}}),
    "a long tag": json.dumps({"entrypoint_tag": "x" * 1_000_000}),
    "a tag with a NUL": '{"entrypoint_tag":"\\u0000"}',
    "a path for a tag": '{"entrypoint_tag":"../../etc/passwd"}',
}


def one(value: Any = None) -> Any:
    return value


def one_stream(value: Any = None) -> Iterator[Any]:
    yield value


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving({"one": one, "one_stream": one_stream}) as running:
        yield running


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_request_is_refused_in_no_time(
    server: RunningServer, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    answer = ask(server, "POST", f"{AGENT}/run", content=text.replace("TAG", "one").encode("utf-8", "surrogatepass"))
    heard = conversation(server, text.replace("TAG", "one_stream"))
    assert time.monotonic() - began < 5
    assert answer.status_code in (400, 404, 422)
    assert len(answer.content) < 10_000
    (frame,) = map(json.loads, heard.frames)
    assert (frame["type"], heard.code) == ("error", 1003)
    assert server.engine.active == 0
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_message_over_the_limit_closes_the_socket() -> None:
    with serving({"one_stream": one_stream}, bridge=BridgeSettings(max_body_bytes=1000)) as server:
        # As deflate has it, that is next to nothing.
        assert conversation(server, "x" * 1_000_000, compression="deflate").code == 1009
        assert conversation(server, "x" * 1001, compression=None).code == 1009
        assert ask(server, "POST", f"{AGENT}/run", content=b"x" * 1001).status_code == 413


def test_a_body_that_does_not_come_is_given_up() -> None:
    with (
        serving({"one": one}, bridge=BridgeSettings(body_timeout=0.1)) as server,
        socket.create_connection((server.host, server.http_port)) as connection,
    ):
        head = f"POST {AGENT}/run HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{{"
        connection.sendall(head.encode())
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"did not come in time" in answer


def test_a_client_that_leaves_within_its_body_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    with serving({"one": one}) as server:
        with socket.create_connection((server.host, server.http_port)) as connection:
            head = f"POST {AGENT}/run HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{{"
            connection.sendall(head.encode())
        assert ask(server, "GET", "/health").status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("length", ["-1", "abc", "9" * 5000, "1e3"])
def test_a_length_that_is_none_is_refused(server: RunningServer, length: str) -> None:
    with socket.create_connection((server.host, server.http_port)) as connection:
        head = f"POST {AGENT}/run HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.makefile("rb").read().startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 "))


def test_a_header_that_comes_back_cannot_split_the_answer(server: RunningServer) -> None:
    answer = ask(server, "GET", f"{AGENT}/architecture", headers={b"x-request-id": b"a\tb\xff" + b"x" * 1000})
    assert len(answer.json()["request_id"]) == 200
    assert "x-request-id" not in answer.headers
