"""WebSocket streams: the frames in their order, raw, and how they close."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from runagent_grpc.bridge import BridgeSettings
from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import AGENT, conversation, talking
from tests.bridge.raw_frames import CLOSE, TEXT, frame, frames_in, handshake
from tests.waiting import eventually, on_a_loop

STARTED = '{"type":"status","status":"stream_started","invocation_id":"ID","heartbeat_interval":15}'


def echo_stream(*values: Any) -> Iterator[Any]:
    yield from values


def nothing_stream() -> Iterator[int]:
    yield from ()


def add_stream(a: int) -> Iterator[int]:
    yield a


def fail_stream(text: str) -> Iterator[str]:
    yield "begun"
    raise ValueError(text)


async def silent_stream() -> AsyncIterator[int]:
    yield 1
    await asyncio.sleep(20)


def large_stream(size: int) -> Iterator[str]:
    yield "small"
    yield "x" * size


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    functions: dict[str, Callable[..., Any]] = {
        "echo": lambda: 1,
        "echo_stream": echo_stream,
        "nothing_stream": nothing_stream,
        "add_stream": add_stream,
        "fail_stream": fail_stream,
        "silent_stream": silent_stream,
        "large_stream": large_stream,
    }
    with serving(functions) as running:
        yield running


def call(tag: str, *args: Any, **fields: Any) -> dict[str, Any]:
    return {"entrypoint_tag": tag, "input_args": list(args), **fields}


def completed(count: int) -> str:
    return (
        f'{{"type":"status","status":"stream_completed","total_chunks":{count},"execution_time":SECONDS,'
        '"invocation_id":"ID"}'
    )


def failed(code: str, message: str, reason: str, *, suggestion: str = "null", field: str = "null") -> str:
    text = json.dumps(message)
    # Of what an entrypoint raised, the details name the type.
    details = '"ValueError"' if reason == "EXECUTION_FAILED" else "null"
    told = f'"code":"{code}","message":{text},"suggestion":{suggestion},"details":{details}'
    data = f'{{{told},"field":{field},"reason":"{reason}"}}'
    return f'{{"type":"error","error":{text},"detail":{text},{told},"data":{data}}}'


def test_a_stream_starts_tells_every_chunk_and_completes(server: RunningServer) -> None:
    heard = conversation(server, call("echo_stream", "grüß 你 🙂", 2**64 + 1, 1.0, None, {"é": [True]}))
    assert heard.masked == [
        STARTED,
        r'{"type":"data","content":"{\"type\":\"string\",\"payload\":\"\\\"gr\\u00fc\\u00df '
        r'\\u4f60 \\ud83d\\ude42\\\"\"}",'
        '"sequence":1}',
        r'{"type":"data","content":"{\"type\":\"integer\",\"payload\":\"18446744073709551617\"}","sequence":2}',
        r'{"type":"data","content":"{\"type\":\"number\",\"payload\":\"1.0\"}","sequence":3}',
        r'{"type":"data","content":"{\"type\":\"null\",\"payload\":\"null\"}","sequence":4}',
        r'{"type":"data","content":"{\"type\":\"object\",\"payload\":\"{\\\"\\u00e9\\\":[true]}\"}","sequence":5}',
        completed(5),
    ]
    assert heard.code == 1000
    first, last = json.loads(heard.frames[0]), json.loads(heard.frames[-1])
    assert first["invocation_id"] == last["invocation_id"]
    assert last["execution_time"] < 10


def test_a_stream_without_chunks_completes(server: RunningServer) -> None:
    heard = conversation(server, call("nothing_stream"))
    assert (heard.masked, heard.code) == ([STARTED, completed(0)], 1000)


def test_what_the_entrypoint_raised_is_one_error_frame(server: RunningServer) -> None:
    heard = conversation(server, call("fail_stream", "It broke."))
    assert heard.masked[2:] == [failed("INTERNAL_ERROR", "Streaming error: It broke.", "EXECUTION_FAILED")]
    assert heard.code == 1011


def test_a_stream_whose_time_is_up_says_so(server: RunningServer) -> None:
    heard = conversation(server, call("silent_stream", timeout_seconds=0.1))
    message = "Entrypoint `silent_stream` timed out after 0.1 s."
    assert heard.masked[2:] == [failed("TIMEOUT_ERROR", message, "TIMEOUT")]
    assert heard.code == 1011


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("{", "Invalid JSON format: Expecting property name enclosed in double quotes (line 1, column 2)."),
        (b"{}", "Invalid JSON format: expected a text frame, got a binary one."),
    ],
)
def test_a_first_frame_that_is_no_json_is_told(server: RunningServer, first: str | bytes, message: str) -> None:
    heard = conversation(server, first)
    assert (heard.masked, heard.code) == ([failed("VALIDATION_ERROR", message, "MALFORMED_REQUEST")], 1003)


@pytest.mark.parametrize(
    ("first", "message", "field"),
    [
        ("[]", "Invalid JSON format: expected an object, got an array.", "null"),
        ({}, "Missing required field: entrypoint_tag", '"entrypoint_tag"'),
        ({"resume": {}}, "Missing required field: resume.invocation_id", '"resume.invocation_id"'),
        (
            {"resume": {"invocation_id": "x", "after_sequence": -1}},
            "`resume.after_sequence`: expected an integer that is not negative.",
            '"resume.after_sequence"',
        ),
        (call("echo_stream", input_args="abc"), "`input_args`: expected an array, got a string.", '"input_args"'),
        (call("add_stream", "x"), "Argument `a`: expected an integer, got the string 'x'.", '"a"'),
    ],
)
def test_a_first_frame_that_does_not_fit_is_told_before_anything_starts(
    server: RunningServer, first: Any, message: str, field: str
) -> None:
    heard = conversation(server, first)
    assert heard.masked == [failed("VALIDATION_ERROR", message, "VALIDATION_ERROR", field=field)]
    assert heard.code == 1003


def test_a_wrong_tag_mode_or_agent_is_told_after_the_handshake(server: RunningServer) -> None:
    unknown = conversation(server, call("nope_stream"))
    (frame,) = map(json.loads, unknown.frames)
    assert (frame["error"], frame["code"]) == ("Entrypoint nope_stream not found", "NOT_FOUND")
    assert frame["suggestion"].startswith("The agent's entrypoints are: echo, echo_stream, ")
    plain = conversation(server, call("echo"))
    message = "Entrypoint `echo` is not a streaming entrypoint. Use a streaming entrypoint (ending with '_stream')."
    assert plain.masked == [failed("VALIDATION_ERROR", message, "NON_STREAM_ENTRYPOINT")]
    agent = conversation(server, call("echo_stream"), path="/api/v1/agents/nobody/run-stream")
    assert agent.masked == [failed("NOT_FOUND", "Agent not found", "AGENT_NOT_FOUND")]
    assert (unknown.code, plain.code, agent.code) == (1003, 1003, 1003)


def test_a_stream_that_is_unknown_or_not_kept_cannot_be_resumed(server: RunningServer) -> None:
    unknown = conversation(server, {"resume": {"invocation_id": "never-was", "after_sequence": 0}})
    assert unknown.masked == [failed("NOT_FOUND", "Invocation not found", "INVOCATION_NOT_FOUND")]
    ended = json.loads(conversation(server, call("echo_stream", 1)).frames[0])
    gone = conversation(server, {"resume": {"invocation_id": ended["invocation_id"], "after_sequence": 0}})
    told = json.loads(gone.frames[0])
    assert (told["data"]["reason"], told["message"]) == ("REPLAY_EXPIRED", "The chunks from 1 to 1 are no longer kept.")
    assert (unknown.code, gone.code) == (1003, 1003)


def test_a_client_that_asks_for_nothing_is_closed() -> None:
    with serving({"echo_stream": echo_stream}, bridge=BridgeSettings(first_frame_timeout=0.05)) as server:
        heard = conversation(server)
    assert (heard.frames, heard.code) == ([], 1008)


def test_a_chunk_over_the_limit_is_an_error_frame_and_no_broken_socket(server: RunningServer) -> None:
    mib = 1024 * 1024
    fits = conversation(server, call("large_stream", 9 * mib))
    assert (len(fits.frames), fits.code) == (4, 1000)
    for size in (10 * mib, 10 * mib - 60):
        heard = conversation(server, call("large_stream", size))
        message = "A chunk makes a WebSocket message of more than 10,485,760 bytes."
        assert heard.masked[2:] == [failed("PAYLOAD_TOO_LARGE", message, "PAYLOAD_TOO_LARGE")]
        assert heard.code == 1011


def test_a_full_server_is_told_and_closes_as_a_failure() -> None:
    with serving({"echo_stream": echo_stream}, engine=EngineSettings(max_invocations=0, max_queued=0)) as server:
        heard = conversation(server, call("echo_stream"))
    message = "The server runs 0 invocations already."
    assert (heard.masked, heard.code) == ([failed("OVERLOADED", message, "OVERLOADED")], 1011)


@on_a_loop
async def test_chunks_come_as_they_are_produced_and_silence_has_heartbeats() -> None:
    go_on = threading.Event()

    def gated_stream() -> Iterator[str]:
        yield "first"
        go_on.wait(20)
        yield "second"

    with serving({"gated_stream": gated_stream}, engine=EngineSettings(heartbeat_interval=0.05)) as server:
        async with talking(server) as stream:
            await stream.send(json.dumps(call("gated_stream")))
            assert [json.loads(await stream.recv())["type"] for _ in range(2)] == ["status", "data"]
            for _ in range(2):
                assert await stream.recv() == '{"type":"status","status":"heartbeat"}'
            go_on.set()
            rest = [json.loads(frame) async for frame in stream]
    rest = [frame for frame in rest if frame.get("status") != "heartbeat"]
    assert [frame["type"] for frame in rest] == ["data", "status"]


async def seconds_to_the_end(server: RunningServer, *values: Any, path: str = "", **fields: Any) -> float:
    """Returns how long after the first chunk of a stream its last frame comes."""
    async with talking(server, path or f"{AGENT}/run-stream") as stream:
        start = {"action": "start_stream", "input_data": {"input_args": values}}
        await stream.send(json.dumps({**call("echo_stream", *values), "data": start, **fields}))
        await stream.recv()
        await stream.recv()
        began = time.monotonic()
        *_, last = [json.loads(text) async for text in stream]
        assert "stream_completed" in (last.get("status"), last["data"]["status"] if "data" in last else None)
        return time.monotonic() - began


LEGACY = f"{AGENT}/execute/echo_stream"


@pytest.mark.parametrize("path", ["", LEGACY], ids=["flat", "legacy"])
@on_a_loop
async def test_the_terminal_frame_lingers_after_the_last_chunk(path: str) -> None:
    with serving({"echo_stream": echo_stream}, bridge=BridgeSettings(linger=0.3)) as server:
        assert await seconds_to_the_end(server, 1, path=path) > 0.25


@pytest.mark.parametrize("path", ["", LEGACY], ids=["flat", "legacy"])
@on_a_loop
async def test_the_terminal_frame_waits_for_a_client_that_takes_its_time_over_each_chunk(path: str) -> None:
    settings = BridgeSettings(linger=0, linger_per_chunk=0.005)
    with serving({"echo_stream": echo_stream}, bridge=settings) as server:
        assert await seconds_to_the_end(server, *range(100), path=path) > 0.45


@pytest.mark.parametrize("path", ["", LEGACY], ids=["flat", "legacy"])
@on_a_loop
async def test_the_terminal_frame_waits_so_long_at_most(path: str) -> None:
    settings = BridgeSettings(linger=0, linger_per_chunk=100, max_linger=0.3)
    with serving({"echo_stream": echo_stream}, bridge=settings) as server:
        assert 0.25 < await seconds_to_the_end(server, *range(100), path=path) < 20


@on_a_loop
async def test_nothing_waits_for_a_client_that_keeps_its_chunks() -> None:
    settings = BridgeSettings(linger=60, linger_per_chunk=60, max_linger=60)
    with serving({"echo_stream": echo_stream, "fail_stream": fail_stream}, bridge=settings) as server:
        assert await seconds_to_the_end(server, 1, 2, 3, wire=2) < 20
        async with talking(server) as stream, asyncio.timeout(20):
            await stream.send(json.dumps(call("fail_stream", "It broke.", wire=2)))
            assert [json.loads(text)["type"] for text in await everything(stream)] == ["status", "data", "error"]


async def everything(stream: ClientConnection) -> list[str]:
    """Returns every frame, until the server closes in whatever way."""
    frames = []
    with suppress(ConnectionClosed):
        while True:
            frames.append(str(await stream.recv()))
    return frames


def test_the_terminal_frame_lingers_after_everything_before_it_was_taken() -> None:
    # More than the kernel takes for a client that does not read.
    def bulky_stream() -> Iterator[str]:
        yield "x" * 9_000_000

    functions = {"bulky_stream": bulky_stream, "echo_stream": echo_stream}
    with serving(functions, bridge=BridgeSettings(linger=0.3)) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(20)
        client.connect((server.host, server.http_port))
        client.sendall(handshake(f"{AGENT}/run-stream"))
        with client.makefile("rb") as file:
            while file.readline() != b"\r\n":
                pass
            client.sendall(frame(TEXT, json.dumps(call("bulky_stream")).encode()))
            assert client.recv(1, socket.MSG_PEEK)
            eventually(lambda: server.engine.active == 0)
            # A stream that begins later, and whose last frame lingers as long, has ended.
            assert conversation(server, call("echo_stream", 1)).code == 1000
            times = [time.monotonic() for opcode, _ in frames_in(file) if opcode in (TEXT, CLOSE)]
    _, chunk, last, _ = times
    assert last - chunk > 0.2


@pytest.mark.parametrize("wire", [0, "2", 1.5, True])
def test_a_wire_that_is_no_number_is_refused(server: RunningServer, wire: Any) -> None:
    heard = conversation(server, call("echo_stream", 1, wire=wire))
    message = "`wire`: expected a whole number above 0."
    assert heard.masked == [failed("VALIDATION_ERROR", message, "VALIDATION_ERROR", field='"wire"')]
    assert heard.code == 1003


@on_a_loop
async def test_pings_are_answered_while_the_entrypoint_sleeps() -> None:
    go_on = threading.Event()

    def sleepy_stream() -> Iterator[str]:
        go_on.wait(20)
        yield "awake"

    with serving({"sleepy_stream": sleepy_stream}) as server:
        async with talking(server) as stream:
            await (await stream.ping())
            await stream.send(json.dumps(call("sleepy_stream")))
            await stream.recv()
            # Whatever else the client says is read, too, or its pings would queue behind it.
            for _ in range(50):
                await stream.send("what else?")
            async with asyncio.timeout(5):
                await (await stream.ping())
            go_on.set()
            assert [json.loads(frame)["type"] async for frame in stream] == ["data", "status"]


@on_a_loop
async def test_deflate_is_negotiated_with_little_memory(server: RunningServer) -> None:
    async with talking(server, compression="deflate") as stream:
        (extension,) = stream.protocol.extensions
        assert extension.name == "permessage-deflate"
        assert stream.response is not None
        assert "server_max_window_bits=12" in stream.response.headers["sec-websocket-extensions"]
        await stream.send(json.dumps(call("echo_stream", "x" * 100_000)))
        frames = [frame async for frame in stream]
    assert len(frames) == 3
    assert len(frames[1]) > 100_000
    async with talking(server, compression=None, extensions=[ClientPerMessageDeflateFactory()]) as stream:
        assert stream.protocol.extensions


@on_a_loop
async def test_a_slow_reader_holds_its_generator_back() -> None:
    produced = 0

    def endless_stream() -> Iterator[str]:
        nonlocal produced
        while True:
            produced += 1
            yield "x" * 10_000

    with serving({"endless_stream": endless_stream}) as server:
        # Of what the client does not read, its own buffers take the first frames, and the kernel's some megabytes.
        async with talking(server, max_queue=1, compression=None) as stream:
            await stream.send(json.dumps(call("endless_stream")))
            await stream.recv()
            last = -1
            while produced != last:
                last = produced
                await asyncio.sleep(0.3)
            assert produced < 3000


def test_the_handshake_of_an_address_without_anything_is_refused(server: RunningServer) -> None:
    from websockets.exceptions import InvalidStatus

    with pytest.raises(InvalidStatus) as caught:
        conversation(server, path=f"{AGENT}/nothing")
    assert caught.value.response.status_code == 404
    assert json.loads(caught.value.response.body)["error"]["code"] == "NOT_FOUND"
