"""Streams that say nothing for a while, behind proxies that give up silent ones: what heartbeats are for.

`SILENT_SECONDS=30` measures with the silence and the limits that docs/reliability.md tells of.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client import RunAgentClient
from runagent_grpc.engine import EngineSettings
from runagent_grpc.errors import Reason, RunAgentError
from runagent_grpc.testing import RunningServer, serving
from tests.proxies.intermediaries import KINDS, Upstream, passing
from tests.proxies.wires import ConnectionCutError, follow_sse
from tests.rpc.calls import connected

SILENCE = float(os.environ.get("SILENT_SECONDS", "6"))
LONG = SILENCE >= 30
IDLE_SECONDS = {"envoy": 2, "nginx": 5 if LONG else 2, "caddy": 5 if LONG else 2}
WIRES = ["grpc", "websocket", "sse"]

CHUNKS = ["before", "after"]


class Setting(NamedTuple):
    """How a stream is followed."""

    wire: str
    heartbeats: bool
    resumes: bool


class Outcome(NamedTuple):
    """What came of it."""

    chunks: list[Any]
    reason: Reason | None


SETTINGS = [
    Setting(wire, heartbeats, resumes)
    for wire in WIRES
    for heartbeats, resumes in ((True, False), (False, False), (False, True))
]

Outcomes = dict[str, Future[dict[Setting, Outcome]]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """What comes of every setting behind every proxy: found out all at once, for it is mostly silence."""

    async def silent_stream() -> AsyncIterator[str]:
        yield "before"
        await asyncio.sleep(SILENCE)
        yield "after"

    folder = tmp_path_factory.mktemp("proxies")
    agent = {"silent_stream": silent_stream}
    with (
        serving(agent, engine=EngineSettings(heartbeat_interval=1.0)) as beating,
        serving(agent, engine=EngineSettings(heartbeat_interval=600.0)) as quiet,
        ThreadPoolExecutor() as pool,
    ):
        yield {kind: pool.submit(outcomes_behind, kind, folder / kind, beating, quiet) for kind in KINDS}


def outcomes_behind(kind: str, folder: Path, beating: RunningServer, quiet: RunningServer) -> dict[Setting, Outcome]:
    upstreams = [
        Upstream(port=beating.grpc_port, grpc=True),
        Upstream(port=beating.http_port, grpc=False),
        Upstream(port=quiet.grpc_port, grpc=True),
        Upstream(port=quiet.http_port, grpc=False),
    ]
    with (
        passing(kind, folder, upstreams, idle_seconds=IDLE_SECONDS[kind]) as ports,
        ThreadPoolExecutor(len(SETTINGS)) as pool,
    ):

        def outcome(setting: Setting) -> Outcome:
            server = beating if setting.heartbeats else quiet
            grpc_port, http_port = ports[:2] if setting.heartbeats else ports[2:]
            if setting.wire == "sse":
                return followed_as_events(server, http_port, resumes=setting.resumes)
            return streamed(setting, grpc_port, http_port)

        return dict(zip(SETTINGS, pool.map(outcome, SETTINGS), strict=True))


def streamed(setting: Setting, grpc_port: int, http_port: int) -> Outcome:
    address: dict[str, Any] = {"base_url": f"grpc://127.0.0.1:{grpc_port}"}
    if setting.wire == "websocket":
        address = {"base_url": f"http://127.0.0.1:{http_port}", "transport": "http"}
    chunks = []
    retry_seconds = 30.0 if setting.resumes else 0.0
    with RunAgentClient("test-agent", "silent_stream", retry_seconds=retry_seconds, **address) as client:
        try:
            for chunk in client.run_stream():
                chunks.append(chunk)  # noqa: PERF402 - what came before a failure counts, too
        except RunAgentError as error:
            return Outcome(chunks, error.reason)
    return Outcome(chunks, None)


def followed_as_events(server: RunningServer, port: int, *, resumes: bool) -> Outcome:
    call = call_pb2.Call(entrypoint_tag="silent_stream", on_disconnect=call_pb2.ON_DISCONNECT_DETACH)
    with connected(server) as stub:
        stream = stub.RunStream(pb.RunStreamRequest(call=call))
        invocation_id = next(iter(stream)).started.invocation_id
        stream.cancel()
    chunks: list[Any] = []
    while True:
        try:
            for _, value in follow_sse(port, invocation_id, len(chunks)):
                chunks.append(value)
        except ConnectionCutError:
            if not resumes:
                return Outcome(chunks, Reason.STREAM_INTERRUPTED)
        else:
            return Outcome(chunks, None)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", KINDS)
def test_heartbeats_bring_a_silent_stream_through_a_proxy(outcomes: Outcomes, kind: str, wire: str) -> None:
    setting = Setting(wire, heartbeats=True, resumes=False)
    assert outcomes[kind].result()[setting] == Outcome(CHUNKS, None)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", KINDS)
def test_without_heartbeats_a_proxy_cuts_it(outcomes: Outcomes, kind: str, wire: str) -> None:
    setting = Setting(wire, heartbeats=False, resumes=False)
    assert outcomes[kind].result()[setting] == Outcome(["before"], Reason.STREAM_INTERRUPTED)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_resumes_gets_it_whole_even_so(outcomes: Outcomes, kind: str, wire: str) -> None:
    setting = Setting(wire, heartbeats=False, resumes=True)
    assert outcomes[kind].result()[setting] == Outcome(CHUNKS, None)
