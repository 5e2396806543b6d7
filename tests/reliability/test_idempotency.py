"""One request_id, many calls: the work is done once, whoever asks, on whatever wire."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.testing import RunningServer, serving
from tests.proxies.wires import value_of as value_in
from tests.rpc.calls import call_of, connected, connected_async, failing, value_of
from tests.waiting import on_a_loop

CALLS = 50
RUN = "/api/v1/agents/_/run"


class CountingServer:
    """A server whose entrypoints take their time, and count."""

    def __init__(self, running: RunningServer, ran: Counter[str]) -> None:
        self.running = running
        self.ran = ran
        """How often work was done for each word."""


@pytest.fixture
def server() -> Iterator[CountingServer]:
    ran: Counter[str] = Counter()
    lock = threading.Lock()

    async def shout(word: str) -> str:
        ran[word] += 1
        await asyncio.sleep(0.2)
        return f"{word.upper()} {time.monotonic_ns()}"

    def shout_on_a_thread(word: str) -> str:
        with lock:
            ran[word] += 1
        time.sleep(0.2)
        return f"{word.upper()} {time.monotonic_ns()}"

    def spell_stream(word: str) -> Iterator[str]:
        ran[word] += 1
        yield from word

    entrypoints = (shout, shout_on_a_thread, spell_stream)
    with serving({function.__name__: function for function in entrypoints}) as running:
        yield CountingServer(running, ran)


def request(tag: str, word: str, request_id: str) -> pb.RunRequest:
    return pb.RunRequest(call=call_of(tag, word=word, fields={"request_id": request_id}))


async def by_grpc(stub: Any, tag: str, word: str, request_id: str) -> tuple[str, Any]:
    """The invocation that answered, and what it returned."""
    response = await stub.Run(request(tag, word, request_id))
    return response.invocation_id, value_of(response.result)


async def by_rest(client: httpx.AsyncClient, tag: str, word: str, request_id: str) -> tuple[str, Any]:
    """The same over REST."""
    body = {"entrypoint_tag": tag, "input_kwargs": {"word": word}}
    response = await client.post(RUN, json=body, headers={"idempotency-key": request_id})
    assert response.status_code == 200, response.text
    return response.headers["x-invocation-id"], value_in(response.json()["data"])


def http(server: CountingServer) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=CALLS)
    return httpx.AsyncClient(base_url=server.running.http_url, trust_env=False, timeout=20, limits=limits)


@pytest.mark.parametrize("tag", ["shout", "shout_on_a_thread"])
@on_a_loop
async def test_fifty_calls_at_once_with_one_request_id_run_once(server: CountingServer, tag: str) -> None:
    async with connected_async(server.running) as stub:
        answers = await asyncio.gather(*(by_grpc(stub, tag, "hey", "one") for _ in range(CALLS)))
    assert len(answers) == CALLS
    assert len(set(answers)) == 1
    assert server.ran == {"hey": 1}


@on_a_loop
async def test_fifty_calls_at_once_with_one_idempotency_key_run_once(server: CountingServer) -> None:
    async with http(server) as client:
        answers = await asyncio.gather(*(by_rest(client, "shout", "hey", "one") for _ in range(CALLS)))
    assert len(set(answers)) == 1
    assert server.ran == {"hey": 1}


@on_a_loop
async def test_the_wires_share_their_request_ids(server: CountingServer) -> None:
    async with connected_async(server.running) as stub, http(server) as client:
        over_grpc = [by_grpc(stub, "shout", "hey", "one") for _ in range(CALLS // 2)]
        over_rest = [by_rest(client, "shout", "hey", "one") for _ in range(CALLS // 2)]
        answers = await asyncio.gather(*over_grpc, *over_rest)
        # And once more, now that it is done.
        answers += [await by_grpc(stub, "shout", "hey", "one"), await by_rest(client, "shout", "hey", "one")]
    assert len(set(answers)) == 1
    assert server.ran == {"hey": 1}


@on_a_loop
async def test_other_request_ids_run_on_their_own(server: CountingServer) -> None:
    async with connected_async(server.running) as stub:
        answers = await asyncio.gather(*(by_grpc(stub, "shout", "hey", str(number)) for number in range(CALLS)))
    assert len({invocation_id for invocation_id, _ in answers}) == CALLS
    assert server.ran == {"hey": CALLS}


def test_other_content_under_the_same_request_id_is_refused(server: CountingServer) -> None:
    with connected(server.running) as stub:
        running = stub.Run.future(request("shout", "hey", "one"))
        done = stub.Run(request("shout", "hey", "two"))
        for request_id in ("one", "two"):
            failure = failing(stub.Run, request("shout", "hello", request_id))
            assert (failure.code, failure.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
        assert done.invocation_id != running.result().invocation_id
    assert server.ran == {"hey": 2}


def test_other_content_under_the_same_idempotency_key_is_a_conflict(server: CountingServer) -> None:
    with httpx.Client(base_url=server.running.http_url, trust_env=False, timeout=20) as client:
        headers = {"idempotency-key": "one"}
        first, other, again = (
            client.post(RUN, json={"entrypoint_tag": "shout", "input_kwargs": {"word": word}}, headers=headers)
            for word in ("hey", "hello", "hey")
        )
    assert other.status_code == 409
    assert other.json()["error"]["reason"] == "REQUEST_ID_REUSED"
    assert (
        (first.status_code, first.json()["data"])
        == (again.status_code, again.json()["data"])
        == (200, first.json()["data"])
    )
    assert server.ran == {"hey": 1}


def test_a_stream_that_is_asked_for_again_when_it_has_ended_is_told_again(server: CountingServer) -> None:
    asking = pb.RunStreamRequest(call=call_of("spell_stream", word="hey", fields={"request_id": "one"}))
    with connected(server.running) as stub:
        first, again = list(stub.RunStream(asking)), list(stub.RunStream(asking))
    assert first[0].started == again[0].started
    assert first[-1].completed == again[-1].completed
    letters = [[value_of(payload) for event in events for payload in event.chunks.values] for events in (first, again)]
    assert letters == [["h", "e", "y"], ["h", "e", "y"]]
    assert server.ran == {"hey": 1}
