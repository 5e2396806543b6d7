"""Streams whose connections are cut, over and over: every chunk arrives once, in order, and the work is done once.

`SEEDS=20` tries more seeds than the few that are quick.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import string
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient
from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import RunningServer, serving
from tests.proxies.cutting import Cut, Cuts, Way, cutting
from tests.proxies.wires import ConnectionCutError, Wire, follow_grpc, follow_sse, follow_websocket
from tests.rpc.calls import connected
from tests.waiting import eventually

CHUNKS = 1000
CUTS = 50
# All cuts together need fewer bytes than the stream has, so that each of them is made; and most connections live long
# enough for a message, which holds a window of chunks where a stream is taken up again.
MOST_BYTES = 4000
SETTINGS = EngineSettings(window_bytes=1024)
WAYS = [Way.RESET, Way.CLOSE]

SEEDS = range(1, 1 + int(os.environ.get("SEEDS", "1")))


def noise(seed: int) -> str:
    """Text that a WebSocket's deflate cannot make much smaller."""
    chance = random.Random(seed)  # noqa: S311 - has to be the same again
    return "".join(chance.choices(string.ascii_letters, k=200))


EXPECTED = [f"{number} {noise(number)}" for number in range(1, CHUNKS + 1)]


class RunLoggingServer:
    """A server of a stream that comes at once, and of one that comes as it is read."""

    def __init__(self, running: RunningServer, runs: list[str]) -> None:
        self.running = running
        self.runs = runs
        """A line for every time that an entrypoint was called."""

    @property
    def ports(self) -> tuple[int, int]:
        """Those of gRPC and HTTP."""
        return self.running.grpc_port, self.running.http_port


@pytest.fixture
def server() -> Iterator[RunLoggingServer]:
    runs: list[str] = []

    def fast_stream() -> Iterator[str]:
        runs.append("fast")
        yield from EXPECTED

    async def steady_stream() -> AsyncIterator[str]:
        runs.append("steady")
        for chunk in EXPECTED:
            yield chunk
            await asyncio.sleep(0.0005)

    with serving({"fast_stream": fast_stream, "steady_stream": steady_stream}, engine=SETTINGS) as running:
        yield RunLoggingServer(running, runs)


def cuts_of(seed: int, wire: str = "") -> Cuts:
    # Over HTTP a client asks first what it meets. That connection may stay, and keep its cut to itself.
    return Cuts.seeded(seed, CUTS + (wire == "http"), most_bytes=MOST_BYTES, ways=WAYS)


def client_options(wire: str, grpc_port: int, http_port: int) -> dict[str, Any]:
    """How a client comes to speak a wire through a proxy, and nothing around it."""
    if wire == "grpc":
        return {"base_url": f"grpc://127.0.0.1:{grpc_port}"}
    return {"base_url": f"http://127.0.0.1:{http_port}", "transport": "http"}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_a_blocking_client_resumes_through_fifty_cuts(server: RunLoggingServer, wire: str, seed: int) -> None:
    cuts = cuts_of(seed, wire)
    with (
        cutting(cuts, *server.ports) as ports,
        RunAgentClient("test-agent", "fast_stream", **client_options(wire, *ports)) as client,
    ):
        chunks = list(client.run_stream())
    assert chunks == EXPECTED
    assert len(cuts.made) >= CUTS
    assert len(server.runs) == 1
    eventually(lambda: server.running.engine.active == 0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_an_async_client_resumes_through_fifty_cuts(server: RunLoggingServer, wire: str, seed: int) -> None:
    async def read(ports: Sequence[int]) -> list[Any]:
        async with AsyncRunAgentClient("test-agent", "steady_stream", **client_options(wire, *ports)) as client:
            return [chunk async for chunk in client.run_stream()]

    cuts = cuts_of(seed, wire)
    with cutting(cuts, *server.ports) as ports:
        chunks = asyncio.run(read(ports))
    assert chunks == EXPECTED
    assert len(cuts.made) >= CUTS
    assert len(server.runs) == 1
    eventually(lambda: server.running.engine.active == 0)


WIRES = [
    pytest.param([follow_grpc], id="grpc"),
    pytest.param([follow_websocket], id="websocket"),
    pytest.param([follow_sse], id="sse"),
    pytest.param([follow_grpc, follow_websocket, follow_sse], id="all"),
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("tag", ["fast_stream", "steady_stream"])
@pytest.mark.parametrize("wires", WIRES)
def test_a_stream_can_be_followed_through_fifty_cuts_on_any_wire(
    server: RunLoggingServer, wires: Sequence[Wire], tag: str, seed: int
) -> None:
    cuts = cuts_of(seed)
    chunks: list[str] = []
    with cutting(cuts, *server.ports) as (grpc_port, http_port):
        invocation_id = start(server.running, tag)
        for wire in itertools.cycle(wires):
            port = grpc_port if wire is follow_grpc else http_port
            try:
                for sequence, value in wire(port, invocation_id, len(chunks)):
                    assert sequence == len(chunks) + 1
                    chunks.append(value)
            except ConnectionCutError:
                continue
            break
    assert chunks == EXPECTED
    assert (len(cuts.made), len(server.runs)) == (CUTS, 1)


def start(running: RunningServer, tag: str) -> str:
    """Starts a stream, and leaves it alone: the invocation's id."""
    call = call_pb2.Call(entrypoint_tag=tag, on_disconnect=call_pb2.ON_DISCONNECT_LINGER)
    with connected(running) as stub:
        stream = stub.RunStream(pb.RunStreamRequest(call=call))
        invocation_id: str = next(iter(stream)).started.invocation_id
        stream.cancel()
        return invocation_id


@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_a_client_resumes_on_another_connection_when_one_falls_silent(wire: str) -> None:
    def fast_stream() -> Iterator[str]:
        yield from EXPECTED

    cuts = Cuts([Cut(after_bytes=after_bytes, way=Way.STALL) for after_bytes in (2000, 5000)])
    settings = EngineSettings(window_bytes=1024, heartbeat_interval=0.2)
    with (
        serving({"fast_stream": fast_stream}, engine=settings) as running,
        cutting(cuts, running.grpc_port, running.http_port) as ports,
        RunAgentClient("test-agent", "fast_stream", **client_options(wire, *ports)) as client,
    ):
        assert list(client.run_stream()) == EXPECTED
    assert len(cuts.made) == 2


@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_a_call_is_repeated_through_cuts_and_runs_once(wire: str) -> None:
    ran: list[int] = []

    def expected(number: int) -> str:
        ran.append(number)
        return EXPECTED[number]

    cuts = cuts_of(2)
    with (
        serving({"expected": expected}) as running,
        cutting(cuts, running.grpc_port, running.http_port) as ports,
        RunAgentClient("test-agent", "expected", **client_options(wire, *ports)) as client,
    ):
        assert [client.run(number=number) for number in range(CHUNKS)] == EXPECTED
    assert ran == list(range(CHUNKS))
    assert len(cuts.made) == CUTS
