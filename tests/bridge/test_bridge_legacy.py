"""The dialect of older clients, raw."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import AGENT, ask, conversation, masked, talking
from tests.waiting import on_a_loop


def echo(value: Any = None) -> Any:
    return value


def fail(text: str) -> None:
    raise ValueError(text)


async def slow() -> None:
    import asyncio

    await asyncio.sleep(20)


def echo_stream(*values: Any) -> Iterator[Any]:
    yield from values


def fail_stream(text: str) -> Iterator[str]:
    yield "begun"
    raise ValueError(text)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    functions: dict[str, Callable[..., Any]] = {
        "echo": echo,
        "fail": fail,
        "a/b": echo,
        "echo_stream": echo_stream,
        "fail_stream": fail_stream,
    }
    with serving(functions) as running:
        yield running


def start(*args: Any, **kwargs: Any) -> dict[str, Any]:
    data = {"action": "start_stream", "agent_id": "x", "input_data": {"input_args": list(args), "input_kwargs": kwargs}}
    return {"id": "stream_start", "type": "status", "timestamp": "now", "data": data, "metadata": None}


def frame(number: int, kind: str, data: str, error: str = "null") -> str:
    return f'{{"id":"{number}","type":"{kind}","timestamp":"TIME","data":{data},"metadata":null,"error":{error}}}'


@pytest.mark.parametrize("value", ["text é", 2**64 + 1, 1.0, None, "", False, [], {"é": [1]}])
def test_a_run_answers_with_its_value_as_json_text(server: RunningServer, value: Any) -> None:
    answer = ask(server, "POST", f"{AGENT}/execute/echo", json={"input_data": {"input_kwargs": {"value": value}}})
    text = json.dumps(json.dumps(value, separators=(",", ":")))
    assert answer.status_code == 200
    assert masked(answer.text) == (
        f'{{"success":true,"output_data":{text},"error":null,"execution_time":SECONDS,"agent_id":"test-agent"}}'
    )


def test_what_the_entrypoint_raised_is_a_200_that_failed(server: RunningServer) -> None:
    answer = ask(server, "POST", f"{AGENT}/execute/fail", json={"input_data": {"input_args": ["It broke."]}})
    assert answer.status_code == 200
    assert masked(answer.text) == (
        '{"success":false,"output_data":null,"error":"Agent execution failed: It broke.","execution_time":SECONDS,'
        '"agent_id":"test-agent"}'
    )


@pytest.mark.parametrize(
    ("tag", "body", "status", "message"),
    [
        ("nope", {}, 404, "Entrypoint nope not found"),
        ("echo_stream", {}, 400, "Can't use Streaming Entrypoint `echo_stream` through non-streaming endpoint."),
        ("echo", {"input_data": "x"}, 422, "`input_data`: expected an object, got a string."),
        ("echo", {"input_data": {"input_args": "x"}}, 422, "`input_args`: expected an array, got a string."),
    ],
)
def test_a_refusal_is_told_as_everywhere(
    server: RunningServer, tag: str, body: dict[str, Any], status: int, message: str
) -> None:
    answer = ask(server, "POST", f"{AGENT}/execute/{tag}", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (status, message)


def test_input_may_be_left_out_and_a_tag_may_hold_a_slash(server: RunningServer) -> None:
    assert ask(server, "POST", f"{AGENT}/execute/echo", json={}).json()["output_data"] == "null"
    body = {"input_data": {"input_args": [1]}}
    assert ask(server, "POST", f"{AGENT}/execute/a/b", json=body).json()["output_data"] == "1"


def test_a_stream_has_six_keys_in_every_frame(server: RunningServer) -> None:
    heard = conversation(server, start("é🙂", {"a": [1, 1.0]}, None), path=f"{AGENT}/execute/echo_stream")
    assert heard.masked == [
        frame(1, "status", '{"status":"stream_started","invocation_id":"ID"}'),
        frame(2, "raw_data", r'"\u00e9\ud83d\ude42"'),
        frame(3, "raw_data", '{"a":[1,1.0]}'),
        frame(4, "raw_data", "null"),
        frame(
            5,
            "status",
            '{"status":"stream_completed","total_chunks":3,"execution_time":SECONDS,"invocation_id":"ID"}',
        ),
    ]
    assert heard.code == 1000


def test_pings_are_answered_before_a_stream_starts(server: RunningServer) -> None:
    ping = {"id": "x", "type": "status", "data": {"action": "ping"}}
    heard = conversation(server, ping, ping, start(), path=f"{AGENT}/execute/echo_stream")
    pong = '{"pong":true,"timestamp":"TIME"}'
    assert heard.masked[:2] == [frame(1, "status", pong), frame(2, "status", pong)]
    assert [json.loads(text)["data"].get("status") for text in heard.frames[2:]] == [
        "stream_started",
        "stream_completed",
    ]


def test_a_failure_is_an_error_frame(server: RunningServer) -> None:
    heard = conversation(server, start("It broke."), path=f"{AGENT}/execute/fail_stream")
    assert heard.masked[2:] == [frame(3, "error", "null", '"Streaming error: It broke."')]
    assert heard.code == 1011


@on_a_loop
async def test_silence_has_no_heartbeats() -> None:
    go_on = threading.Event()

    def gated_stream() -> Iterator[int]:
        yield 1
        go_on.wait(20)

    with serving({"gated_stream": gated_stream}, engine=EngineSettings(heartbeat_interval=0.05)) as server:
        async with talking(server, f"{AGENT}/execute/gated_stream") as legacy, talking(server) as other:
            await legacy.send(json.dumps(start()))
            frames = [json.loads(await legacy.recv()) for _ in range(2)]
            await other.send(json.dumps({"entrypoint_tag": "gated_stream"}))
            heartbeats = 0
            while heartbeats < 3:
                heartbeats += json.loads(await other.recv()).get("status") == "heartbeat"
            go_on.set()
            frames += [json.loads(text) async for text in legacy]
    assert [frame["type"] for frame in frames] == ["status", "raw_data", "status"]
    assert [frame["id"] for frame in frames] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("tag", "first", "error"),
    [
        ("nope_stream", start(), "Entrypoint nope_stream not found"),
        (
            "echo",
            start(),
            "Entrypoint `echo` is not a streaming entrypoint. Use a streaming entrypoint (ending with '_stream').",
        ),
        ("echo_stream", {"data": {"action": "dance"}}, "`data.action`: expected start_stream or ping."),
        ("echo_stream", {}, "`data.action`: expected start_stream or ping."),
        ("echo_stream", "[1]", "Invalid JSON format: expected an object, got an array."),
    ],
)
def test_a_first_frame_that_does_not_fit_is_told(server: RunningServer, tag: str, first: Any, error: str) -> None:
    heard = conversation(server, first, path=f"{AGENT}/execute/{tag}")
    assert (heard.masked, heard.code) == ([frame(1, "error", "null", json.dumps(error))], 1003)
