"""A stream that was cut is taken up again over a WebSocket, and a call is cancelled by its id."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import AGENT, ask, bearer, conversation, run, talking
from tests.waiting import eventually

ONE, TWO = "one-long-enough", "two-long-enough"
FIVE = [1, 2, 3, 4, 5]


def five_stream() -> Iterator[int]:
    yield from FIVE


class Held:
    """A stream of three chunks, of which the last two wait."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.runs = 0

    def three_stream(self) -> Iterator[str]:
        self.runs += 1
        yield "one"
        self.go_on.wait()
        yield "two"
        yield "three"


def resume(invocation_id: str, after: Any = 0) -> str:
    return json.dumps({"resume": {"invocation_id": invocation_id, "after_sequence": after}})


def call(tag: str, **fields: Any) -> str:
    return json.dumps({"entrypoint_tag": tag, **fields})


def chunks_in(frames: list[str]) -> list[tuple[int, str]]:
    """The numbers and the texts of the chunks in raw frames."""
    messages = [json.loads(frame) for frame in frames]
    return [
        (message["sequence"], json.loads(message["content"])["payload"])
        for message in messages
        if message["type"] == "data"
    ]


async def begun(server: RunningServer, first_frame: str, *, code: int) -> str:
    """Starts a stream, reads its first chunk, and leaves with a close code; 1006 is no close at all."""
    async with talking(server) as socket:
        await socket.send(first_frame)
        invocation_id = str(json.loads(await socket.recv())["invocation_id"])
        await socket.recv()
        if code == 1006:
            socket.transport.abort()
        else:
            await socket.close(code)
    return invocation_id


@pytest.mark.parametrize("after", range(6))
def test_a_finished_stream_is_read_again_from_any_chunk_on(after: int) -> None:
    with serving({"five_stream": five_stream}) as server:
        whole = conversation(server, call("five_stream", on_disconnect="linger"))
        started = json.loads(whole.frames[0])
        again = conversation(server, resume(started["invocation_id"], after))

    assert again.code == 1000
    assert json.loads(again.frames[0]) == started
    assert chunks_in(again.frames) == [(number, str(number)) for number in FIVE[after:]]
    assert json.loads(again.frames[-1]) == json.loads(whole.frames[-1])


@pytest.mark.parametrize("code", [1006, 1001, 4000])
def test_a_stream_whose_connection_broke_lingers_and_is_taken_up(code: int) -> None:
    held = Held()
    with serving({"three_stream": held.three_stream}) as server:
        invocation_id = asyncio.run(begun(server, call("three_stream", on_disconnect="linger"), code=code))
        held.go_on.set()
        rest = conversation(server, resume(invocation_id, 1))

    assert (rest.code, chunks_in(rest.frames), held.runs) == (1000, [(2, '"two"'), (3, '"three"')], 1)


def test_a_client_that_closes_in_order_has_left_for_good() -> None:
    held = Held()
    with serving({"three_stream": held.three_stream}) as server:
        invocation_id = asyncio.run(begun(server, call("three_stream", on_disconnect="linger"), code=1000))
        eventually(lambda: server.engine.running == 0)
        record = server.engine.find(invocation_id)
        held.go_on.set()

    assert (record.state, record.cause) == (InvocationState.CANCELLED, "WebSocket disconnected")


def test_a_lingering_stream_ends_when_nobody_comes_back() -> None:
    held = Held()
    first_frame = call("three_stream", on_disconnect="linger", resume_window=0.05)
    with serving({"three_stream": held.three_stream}) as server:
        invocation_id = asyncio.run(begun(server, first_frame, code=1006))
        eventually(lambda: server.engine.running == 0)
        record = server.engine.find(invocation_id)
        held.go_on.set()

    assert record.cause == "WebSocket disconnected; nobody came back within 0.05 s."


@pytest.mark.parametrize("code", [1000, 1006])
def test_a_detached_stream_runs_to_its_end_whoever_leaves(code: int) -> None:
    held = Held()
    with serving({"three_stream": held.three_stream}) as server:
        invocation_id = asyncio.run(begun(server, call("three_stream", on_disconnect="detach"), code=code))
        held.go_on.set()
        eventually(lambda: server.engine.running == 0)
        rest = conversation(server, resume(invocation_id, 1))

    assert chunks_in(rest.frames) == [(2, '"two"'), (3, '"three"')]


def test_another_reader_takes_the_stream_over() -> None:
    held = Held()

    async def take_over(server: RunningServer) -> tuple[dict[str, Any], int | None, list[str]]:
        async with talking(server) as first:
            await first.send(call("three_stream", on_disconnect="linger"))
            invocation_id = json.loads(await first.recv())["invocation_id"]
            await first.recv()
            async with talking(server) as second:
                await second.send(resume(invocation_id))
                frames = [await second.recv() for _ in range(2)]
                told = json.loads(await first.recv())
                await first.wait_closed()
                held.go_on.set()
                frames += [frame async for frame in second]
        return told, first.close_code, [str(frame) for frame in frames]

    with serving({"three_stream": held.three_stream}) as server:
        told, code, frames = asyncio.run(take_over(server))

    assert (told["data"]["reason"], code) == ("READER_REPLACED", 1011)
    assert chunks_in(frames) == [(1, '"one"'), (2, '"two"'), (3, '"three"')]


@pytest.mark.parametrize(
    ("invocation_id", "after", "reason"),
    [("nobody", 0, "INVOCATION_NOT_FOUND"), ("ID", 6, "INVALID_CURSOR"), ("ID", 2**62, "INVALID_CURSOR")],
)
def test_a_stream_that_cannot_be_taken_up_says_why(invocation_id: str, after: int, reason: str) -> None:
    with serving({"five_stream": five_stream}) as server:
        whole = conversation(server, call("five_stream", on_disconnect="linger"))
        if invocation_id == "ID":
            invocation_id = json.loads(whole.frames[0])["invocation_id"]
        refused = conversation(server, resume(invocation_id, after))

    assert [json.loads(frame)["data"]["reason"] for frame in refused.frames] == [reason]
    assert refused.code == 1003


def test_chunks_that_the_ring_has_dropped_are_gone() -> None:
    with serving({"five_stream": five_stream}, engine=EngineSettings(ring_chunks=2)) as server:
        whole = conversation(server, call("five_stream", on_disconnect="linger"))
        invocation_id = json.loads(whole.frames[0])["invocation_id"]
        refused, rest = (conversation(server, resume(invocation_id, after)) for after in (2, 3))

    assert json.loads(refused.frames[0])["data"]["reason"] == "REPLAY_EXPIRED"
    assert chunks_in(rest.frames) == [(4, "4"), (5, "5")]


def test_an_invocation_is_cancelled_by_its_id() -> None:
    held = Held()

    async def cancel(server: RunningServer) -> tuple[list[Any], dict[str, Any]]:
        async with talking(server) as socket:
            await socket.send(call("three_stream"))
            invocation_id = json.loads(await socket.recv())["invocation_id"]
            path = f"/api/v1/invocations/{invocation_id}/cancel"
            answers = [await asyncio.to_thread(ask, server, "POST", path) for _ in range(2)]
            last = ""
            with suppress(ConnectionClosed):
                while True:
                    last = str(await socket.recv())
        return answers, json.loads(last)

    with serving({"three_stream": held.three_stream}) as server:
        answers, last = asyncio.run(cancel(server))
        held.go_on.set()

    for answer in answers:
        data = answer.json()["data"]
        assert (answer.status_code, data["status"], data["state"]) == (200, "failed", "CANCELLED")
    assert last["data"]["reason"] == "CANCELLED"


def test_a_run_is_cancelled_by_its_idempotency_key() -> None:
    begun, go_on = threading.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        await go_on.wait()

    def cancel(server: RunningServer, key: str) -> Any:
        return ask(server, "POST", "/api/v1/invocations/cancel", headers={"idempotency-key": key} if key else {})

    with serving({"endless": endless}) as server, ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            ask,
            server,
            "POST",
            f"{AGENT}/run",
            json={"entrypoint_tag": "endless"},
            headers={"idempotency-key": "the-call"},
        )
        assert begun.wait(10)
        unknown, nameless, cancelled = cancel(server, "another-call"), cancel(server, ""), cancel(server, "the-call")
        assert running.result(10).json()["error"]["reason"] == "CANCELLED"

    assert (unknown.status_code, unknown.json()["error"]["reason"]) == (404, "INVOCATION_NOT_FOUND")
    assert (nameless.status_code, nameless.json()["error"]["field"]) == (422, "idempotency-key")
    assert (cancelled.status_code, cancelled.json()["data"]["state"]) == (200, "CANCELLED")


def test_a_stream_says_how_often_it_gives_a_sign_of_life() -> None:
    with serving({"five_stream": five_stream}, engine=EngineSettings(heartbeat_interval=2.5)) as server:
        whole = conversation(server, call("five_stream"))
    assert json.loads(whole.frames[0])["heartbeat_interval"] == 2.5


def test_another_key_can_neither_take_up_nor_cancel() -> None:
    with serving({"five_stream": five_stream}, api_keys=(ONE, TWO)) as server:
        whole = conversation(server, call("five_stream", on_disconnect="linger"), additional_headers=bearer(ONE))
        invocation_id = json.loads(whole.frames[0])["invocation_id"]
        refused = conversation(server, resume(invocation_id), additional_headers=bearer(TWO))
        path = f"/api/v1/invocations/{invocation_id}/cancel"
        cancelled = ask(server, "POST", path, headers=bearer(TWO))

    assert json.loads(refused.frames[0])["data"]["reason"] == "INVOCATION_NOT_FOUND"
    assert (cancelled.status_code, cancelled.json()["error"]["reason"]) == (404, "INVOCATION_NOT_FOUND")


def test_a_repeated_request_is_answered_with_the_first_ones_result() -> None:
    runs: list[str] = []

    def count(text: str) -> int:
        runs.append(text)
        return len(runs)

    with serving({"count": count}) as server:
        key = {"idempotency-key": "an-order"}
        path = f"{AGENT}/run"
        body = {"entrypoint_tag": "count", "input_kwargs": {"text": "a"}}
        first, second = (ask(server, "POST", path, json=body, headers=key) for _ in range(2))
        other = ask(server, "POST", path, json={**body, "input_kwargs": {"text": "b"}}, headers=key)
        third = run(server, "count", input_kwargs={"text": "a"})

    assert first.json()["data"] == second.json()["data"] != third.json()["data"]
    assert first.headers["x-invocation-id"] == second.headers["x-invocation-id"]
    assert (other.status_code, other.json()["error"]["code"]) == (409, "REQUEST_ID_REUSED")
    assert runs == ["a", "a"]


def test_a_first_frame_may_carry_the_calls_own_id() -> None:
    held = Held()
    held.go_on.set()
    with serving({"three_stream": held.three_stream}) as server:
        first, again = (conversation(server, call("three_stream", request_id="a-stream")) for _ in range(2))

    assert first.frames[0] == again.frames[0]
    assert chunks_in(first.frames) == chunks_in(again.frames)
    assert held.runs == 1
