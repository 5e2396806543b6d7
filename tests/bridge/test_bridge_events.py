"""Streams as server-sent events, read as an EventSource reads them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import ask, bearer, conversation, talking
from tests.waiting import eventually

ONE, TWO = "one-long-enough", "two-long-enough"


def three_stream() -> Iterator[Any]:
    yield "a\nb"
    yield {"n": 2}
    yield "é"


def failing_stream() -> Iterator[int]:
    yield 1
    raise ValueError("out of paper")


class SentEvent(NamedTuple):
    name: str
    id: str
    data: str


def events_in(text: str) -> list[SentEvent]:
    """Parses a stream of events, comments and hints left out."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            events.append(SentEvent(fields.get("event", "message"), fields["id"], fields["data"]))
    return events


def streamed(server: RunningServer, tag: str, **options: Any) -> str:
    """Streams to the end, and returns the invocation's id."""
    first_frame = json.dumps({"entrypoint_tag": tag, "on_disconnect": "linger"})
    whole = conversation(server, first_frame, **options)
    return str(json.loads(whole.frames[0])["invocation_id"])


def stream_of(server: RunningServer, invocation_id: str, query: str = "", **headers: str) -> httpx.Response:
    return ask(server, "GET", f"/api/v1/invocations/{invocation_id}/stream{query}", headers=headers)


@pytest.mark.parametrize("after", range(4))
def test_a_stream_comes_as_events_from_any_chunk_on(after: int) -> None:
    with serving({"three_stream": three_stream}) as server:
        invocation_id = streamed(server, "three_stream")
        by_header = stream_of(server, invocation_id, **{"last-event-id": f"{invocation_id}:{after}"})
        by_query = stream_of(server, invocation_id, f"?after={after}")

    assert by_header.text == by_query.text
    assert by_header.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert by_header.text.isascii()
    *chunks, last = events_in(by_header.text)
    assert (
        chunks
        == [
            SentEvent("message", f"{invocation_id}:1", r'{"type":"string","payload":"\"a\\nb\""}'),
            SentEvent("message", f"{invocation_id}:2", r'{"type":"object","payload":"{\"n\":2}"}'),
            SentEvent("message", f"{invocation_id}:3", r'{"type":"string","payload":"\"\u00e9\""}'),
        ][after:]
    )
    assert (last.name, last.id, json.loads(last.data)["total_chunks"]) == ("completed", f"{invocation_id}:3:end", 3)


def test_a_client_that_has_seen_the_end_is_told_to_stay_away() -> None:
    with serving({"three_stream": three_stream, "failing_stream": failing_stream}) as server:
        for tag in ("three_stream", "failing_stream"):
            invocation_id = streamed(server, tag)
            end = events_in(stream_of(server, invocation_id).text)[-1].id
            assert stream_of(server, invocation_id, **{"last-event-id": end}).status_code == 204


def test_a_failure_is_the_last_event() -> None:
    with serving({"failing_stream": failing_stream}) as server:
        invocation_id = streamed(server, "failing_stream")
        chunk, last = events_in(stream_of(server, invocation_id).text)

    assert (chunk.id, last.name, last.id) == (f"{invocation_id}:1", "error", f"{invocation_id}:1:end")
    assert json.loads(last.data)["error"] == "Streaming error: out of paper"


@pytest.mark.parametrize(
    ("query", "event_id", "status", "reason"),
    [
        ("", "other:1", 400, "INVALID_CURSOR"),
        ("", "ID:", 400, "INVALID_CURSOR"),
        ("", "ID:-1", 400, "INVALID_CURSOR"),
        ("", "ID:x:end", 400, "INVALID_CURSOR"),
        ("", "ID:4", 400, "INVALID_CURSOR"),
        ("?after=1e9", None, 400, "INVALID_CURSOR"),
        ("?after=" + "9" * 30, None, 400, "INVALID_CURSOR"),
        ("?after=0", None, 410, "REPLAY_EXPIRED"),
    ],
)
def test_a_position_that_cannot_be_says_why(query: str, event_id: str | None, status: int, reason: str) -> None:
    with serving({"three_stream": three_stream}, engine=EngineSettings(ring_chunks=1)) as server:
        invocation_id = streamed(server, "three_stream")
        headers = {} if event_id is None else {"last-event-id": event_id.replace("ID", invocation_id)}
        answer = stream_of(server, invocation_id, query, **headers)

    assert (answer.status_code, answer.json()["error"]["reason"]) == (status, reason)


def test_an_unknown_invocation_is_not_found() -> None:
    with serving({"three_stream": three_stream}) as server:
        assert stream_of(server, "nobody").status_code == 404


def test_only_the_key_that_started_it_reads_it_and_may_stand_in_the_address() -> None:
    with serving({"three_stream": three_stream}, api_keys=(ONE, TWO)) as server:
        invocation_id = streamed(server, "three_stream", additional_headers=bearer(ONE))
        answers = [stream_of(server, invocation_id, query) for query in ("", f"?token={TWO}", f"?token={ONE}")]

    assert [answer.status_code for answer in answers] == [401, 404, 200]


def test_silence_is_filled_with_signs_of_life_and_a_client_that_leaves_may_come_back() -> None:
    go_on = threading.Event()

    def held_stream() -> Iterator[str]:
        yield "one"
        go_on.wait()
        yield "two"

    async def begin(server: RunningServer) -> str:
        async with talking(server) as socket:
            await socket.send(json.dumps({"entrypoint_tag": "held_stream", "on_disconnect": "linger"}))
            invocation_id = str(json.loads(await socket.recv())["invocation_id"])
            await socket.recv()
            socket.transport.abort()
        return invocation_id

    with serving({"held_stream": held_stream}, engine=EngineSettings(heartbeat_interval=0.02)) as server:
        invocation_id = asyncio.run(begin(server))
        url = f"{server.http_url}/api/v1/invocations/{invocation_id}/stream"
        with httpx.stream("GET", url, trust_env=False) as response:
            lines = response.iter_lines()
            assert next(line for line in lines if line.startswith(":")) == ": heartbeat"
        go_on.set()
        eventually(lambda: server.engine.running == 0)
        rest = stream_of(server, invocation_id, **{"last-event-id": f"{invocation_id}:1"})

    assert [event.name for event in events_in(rest.text)] == ["message", "completed"]
