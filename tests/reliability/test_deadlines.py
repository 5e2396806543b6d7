"""A second's time for work that takes a minute: every kind of entrypoint, on every wire."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from websockets.sync.client import connect

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.contract.messages import duration_to
from runagent_grpc.errors import RunAgentError
from runagent_grpc.testing import RunningServer, serving
from tests.rpc.calls import connected, failing, run_request, stream_request
from tests.waiting import eventually

LONG = 60.0
DEADLINE = 1.0
PATIENCE = 1.2
"""Within how many seconds the answer has to be there."""


class HeldServer:
    """A server of entrypoints that take a minute, unless they are let go."""

    def __init__(self, running: RunningServer, ended: list[str], release: threading.Event) -> None:
        self.running = running
        self.ended = ended
        """The tags whose `finally` has run."""
        self.release = release
        """Ends those that nothing else can end: functions on threads."""


@pytest.fixture
def server() -> Iterator[HeldServer]:
    ended: list[str] = []
    release = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            ended.append("wait")

    def wait_on_a_thread() -> None:
        try:
            release.wait(LONG)
        finally:
            ended.append("wait_on_a_thread")

    async def wait_stream() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(LONG)
            yield 2
        finally:
            ended.append("wait_stream")

    def wait_on_a_thread_stream() -> Iterator[int]:
        try:
            yield 1
            release.wait(LONG)
            yield 2
        finally:
            ended.append("wait_on_a_thread_stream")

    entrypoints = (wait, wait_on_a_thread, wait_stream, wait_on_a_thread_stream)
    with serving({function.__name__: function for function in entrypoints}) as running:
        try:
            yield HeldServer(running, ended, release)
        finally:
            release.set()


Begin = Callable[[], None]
"""Called when the connection is there, and the call about to be made."""


def by_client(server: RunningServer, tag: str, begin: Begin) -> str:
    """Calls as most do: the client's timeout is the deadline of the call."""
    with server.client(tag, timeout=DEADLINE) as client:
        client.list_agents()
        begin()
        try:
            return repr(list(client.run()) if client.is_streaming else client.run())
        except RunAgentError as error:
            return error.reason


def by_run_timeout(server: RunningServer, tag: str, begin: Begin) -> str:
    """Calls without a deadline: it is the server that has to end the run."""
    fields = {"run_timeout": duration_to(DEADLINE)}
    with connected(server) as stub:
        stub.ListAgents(pb.ListAgentsRequest())
        begin()
        if tag.endswith("_stream"):
            return failing(stub.RunStream, stream_request(tag, fields=fields)).reason
        return failing(stub.Run, run_request(tag, fields=fields)).reason


def by_http(server: RunningServer, tag: str, begin: Begin) -> str:
    """Calls over REST, or a WebSocket."""
    body = {"entrypoint_tag": tag, "timeout_seconds": DEADLINE}
    if not tag.endswith("_stream"):
        with httpx.Client(base_url=server.http_url, trust_env=False, timeout=LONG) as client:
            client.get("/health")
            begin()
            return str(client.post("/api/v1/agents/_/run", json=body).json()["error"]["reason"])
    with connect(f"ws://{server.host}:{server.http_port}/api/v1/agents/_/run-stream", proxy=None) as socket:
        begin()
        socket.send(json.dumps(body))
        while (told := json.loads(socket.recv(LONG)))["type"] != "error":
            pass
        return str(told["data"]["reason"])


ON_THE_LOOP = ["wait", "wait_stream"]
ON_THREADS = ["wait_on_a_thread", "wait_on_a_thread_stream"]
WAYS = [by_client, by_run_timeout, by_http]


def test_a_deadline_is_kept_by_every_kind_of_entrypoint_on_every_wire(server: HeldServer) -> None:
    cases = list(itertools.product(WAYS, [*ON_THE_LOOP, *ON_THREADS]))
    ready = threading.Barrier(len(cases))

    def timed(way: Callable[[RunningServer, str, Begin], str], tag: str) -> tuple[str, float]:
        began = 0.0

        def begin() -> None:
            nonlocal began
            ready.wait(LONG)
            began = time.monotonic()

        return way(server.running, tag, begin), time.monotonic() - began

    with ThreadPoolExecutor(len(cases)) as pool:
        answers = dict(zip(cases, pool.map(timed, *zip(*cases, strict=True)), strict=True))
    late = {case: elapsed for case, (_, elapsed) in answers.items() if not DEADLINE * 0.9 < elapsed < PATIENCE}
    assert {reason for reason, _ in answers.values()} == {"TIMEOUT"}
    assert late == {}

    # What can be stopped is stopped; what cannot be holds its place until it ends by itself.
    eventually(lambda: sorted(server.ended) == sorted(ON_THE_LOOP * len(WAYS)))
    assert server.running.engine.active == len(ON_THREADS * len(WAYS))
    server.release.set()
    eventually(lambda: sorted(server.ended) == sorted([*ON_THE_LOOP, *ON_THREADS] * len(WAYS)))
    eventually(lambda: server.running.engine.active == 0)
