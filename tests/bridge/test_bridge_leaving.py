"""Clients that leave, and servers that do: what becomes of the work, and what the other side is told."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.recorder import NullRecorder
from runagent_grpc.server.server import Server
from runagent_grpc.testing import serving
from runagent_grpc.worker import Agent
from tests.bridge.http_helpers import AGENT, masked, talking
from tests.configs import any_ports
from tests.waiting import eventually, on_a_loop, soon


class Held:
    """Entrypoints that go on when they are told to, and what they did."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.cleaned_up = threading.Event()

    def endless_stream(self) -> Iterator[int]:
        try:
            self.begun.set()
            yield from itertools.count()
        finally:
            self.cleaned_up.set()

    async def quiet_stream(self) -> AsyncIterator[int]:
        try:
            self.begun.set()
            yield 1
            await asyncio.Event().wait()
        finally:
            self.cleaned_up.set()

    def gated_stream(self) -> Iterator[str]:
        yield "begun"
        self.begun.set()
        self.go_on.wait(20)
        yield "done"

    async def run(self) -> None:
        try:
            self.begun.set()
            await asyncio.Event().wait()
        finally:
            self.cleaned_up.set()

    def gated(self) -> str:
        self.begun.set()
        self.go_on.wait(20)
        return "done"

    @property
    def functions(self) -> dict[str, Any]:
        tags = ("endless_stream", "quiet_stream", "gated_stream", "run", "gated")
        return {tag: getattr(self, tag) for tag in tags}


class Outcomes(NullRecorder):
    """Keeps how invocations ended."""

    def __init__(self) -> None:
        self.ends: list[tuple[InvocationState, str]] = []

    def ended(self, record: InvocationRecord) -> None:
        self.ends.append((record.state, record.cause))


@pytest.mark.parametrize("path", [f"{AGENT}/run-stream", f"{AGENT}/execute/TAG"])
@pytest.mark.parametrize("tag", ["endless_stream", "quiet_stream"])
@pytest.mark.parametrize("how", ["close", "cut", "reset"])
@on_a_loop
async def test_a_websocket_client_that_leaves_closes_its_generator(how: str, tag: str, path: str) -> None:
    held, outcomes = Held(), Outcomes()
    with serving(held.functions, recorder=outcomes) as server:
        async with talking(server, path.replace("TAG", tag)) as client:
            await client.send(json.dumps({"entrypoint_tag": tag, "data": {"action": "start_stream"}}))
            await client.recv()
            await client.recv()
            if how == "cut":
                client.transport.abort()
            elif how == "reset":
                reset(client)
        await asyncio.to_thread(held.cleaned_up.wait, 2)
        assert held.cleaned_up.is_set()
        await asyncio.to_thread(eventually, lambda: server.engine.active == 0)
    assert outcomes.ends == [(InvocationState.CANCELLED, "WebSocket disconnected")]


@pytest.mark.parametrize("path", [f"{AGENT}/run-stream", f"{AGENT}/execute/endless_stream"])
@on_a_loop
async def test_a_fast_stream_that_is_cut_is_not_in_the_log(path: str, caplog: pytest.LogCaptureFixture) -> None:
    held = Held()
    with serving(held.functions) as server:
        for _ in range(10):
            async with talking(server, path) as client:
                await client.send(json.dumps({"entrypoint_tag": "endless_stream", **LEGACY_START}))
                for _ in range(100):
                    await client.recv()
                reset(client)
            await soon(lambda: server.engine.active == 0)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@on_a_loop
async def test_a_client_that_neither_reads_nor_answers_is_given_up() -> None:
    from runagent_grpc.bridge import BridgeSettings

    held, outcomes = Held(), Outcomes()
    settings = BridgeSettings(ping_interval=0.1, ping_timeout=0.2)
    with serving(held.functions, recorder=outcomes, bridge=settings) as server:
        async with talking(server) as client:
            await client.send(json.dumps({"entrypoint_tag": "quiet_stream"}))
            await client.recv()
            client.transport.pause_reading()
            await asyncio.to_thread(held.cleaned_up.wait, 5)
            assert held.cleaned_up.is_set()
            client.transport.resume_reading()
        await asyncio.to_thread(eventually, lambda: server.engine.active == 0)
    assert outcomes.ends == [(InvocationState.CANCELLED, "WebSocket disconnected")]


@pytest.mark.parametrize("path", [f"{AGENT}/run", f"{AGENT}/execute/run"])
@on_a_loop
async def test_a_rest_client_that_leaves_cancels_its_run(path: str) -> None:
    held, outcomes = Held(), Outcomes()
    with serving(held.functions, recorder=outcomes) as server:
        async with httpx.AsyncClient(trust_env=False) as client:
            asking = asyncio.create_task(client.post(server.http_url + path, json={"entrypoint_tag": "run"}))
            await asyncio.to_thread(held.begun.wait, 5)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await asyncio.to_thread(held.cleaned_up.wait, 2)
        assert held.cleaned_up.is_set()
        await asyncio.to_thread(eventually, lambda: server.engine.active == 0)
    assert outcomes.ends == [(InvocationState.CANCELLED, "The caller left.")]


@on_a_loop
async def test_a_cancelled_invocation_is_told_to_its_callers() -> None:
    held, ids = Held(), []

    class Ids(NullRecorder):
        def started(self, record: InvocationRecord, call: Any) -> None:
            ids.append(record.invocation_id)

    with serving(held.functions, recorder=Ids()) as server:
        async with httpx.AsyncClient(trust_env=False) as client, talking(server) as stream:
            asking = asyncio.create_task(client.post(f"{server.http_url}{AGENT}/run", json={"entrypoint_tag": "run"}))
            await stream.send(json.dumps({"entrypoint_tag": "quiet_stream"}))
            await soon(lambda: len(ids) == 2)
            for invocation_id in ids:
                server.loop.call_soon_threadsafe(server.engine.cancel, invocation_id)
            answer = await asking
            frames = [json.loads(frame) async for frame in iterate(stream)]
    assert (answer.status_code, answer.json()["error"]["code"]) == (499, "CANCELLED")
    assert answer.headers["x-invocation-id"] in ids
    assert (frames[-1]["error"], frames[-1]["code"]) == ("The invocation was cancelled.", "CANCELLED")
    assert stream.close_code == 1011


def reset(client: ClientConnection) -> None:
    """Ends a connection so that the server's next write fails."""
    at_once = struct.pack("ii", 1, 0)
    client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    client.transport.abort()


async def iterate(stream: Any) -> AsyncIterator[Any]:
    """Yields what comes until the stream closes, however it does."""
    from websockets.exceptions import ConnectionClosed

    while True:
        try:
            yield await stream.recv()
        except ConnectionClosed:
            return


@asynccontextmanager
async def running(held: Held, grace: float) -> AsyncIterator[tuple[Server, str]]:
    """A server on the test's own loop, and the address of its streams. Does not end it."""
    server = Server(Agent.from_functions(held.functions), config=any_ports(drain_grace=grace))
    await server.__aenter__()
    yield server, f"ws://127.0.0.1:{server.http_port}{AGENT}/run-stream"


@on_a_loop
async def test_a_server_that_drains_finishes_what_runs_and_takes_nothing_new() -> None:
    held = Held()
    async with running(held, grace=10) as (server, address), httpx.AsyncClient(trust_env=False) as client:
        run_address = address.replace("ws:", "http:").removesuffix("-stream")
        async with connect(address, proxy=None) as stream, connect(address, proxy=None) as late:
            asking = asyncio.create_task(client.post(run_address, json={"entrypoint_tag": "gated"}))
            await stream.send(json.dumps({"entrypoint_tag": "gated_stream"}))
            await soon(lambda: server.engine.active == 2 and held.begun.is_set())
            ending = asyncio.create_task(server.__aexit__(None, None, None))
            await soon(lambda: server.engine.draining)

            for path, status, said in (
                ("/health", 200, "healthy"),
                ("/live", 200, "live"),
                ("/ready", 503, "draining"),
            ):
                probed = await client.get(f"http://127.0.0.1:{server.http_port}{path}")
                assert (probed.status_code, probed.json()["status"]) == (status, said)
            refused = await client.post(run_address, json={"entrypoint_tag": "gated"})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.json()["error"]["code"] == "SHUTTING_DOWN"
            await late.send(json.dumps({"entrypoint_tag": "gated_stream"}))
            frames = [json.loads(frame) async for frame in iterate(late)]
            assert ([frame["code"] for frame in frames], late.close_code) == (["SHUTTING_DOWN"], 1012)

            held.go_on.set()
            assert (await asking).json()["success"]
            frames = [json.loads(frame) async for frame in iterate(stream)]
            assert [frame.get("status") for frame in frames] == ["stream_started", None, None, "stream_completed"]
            assert stream.close_code == 1000
        await ending


QUIET = {"entrypoint_tag": "quiet_stream"}
LEGACY_START = {"data": {"action": "start_stream", "input_data": {}}}


async def cut_by_a_shutdown(*first: dict[str, Any], path: str = "") -> tuple[list[str], int | None]:
    """Returns the frames of a stream that outlives the grace, and how its connection was closed.

    Of several first frames each has a connection of its own, and takes up the stream of the one before.
    """
    held = Held()
    async with running(held, grace=0.05) as (server, address), AsyncExitStack() as streams:
        invocation_id = ""
        for frame in first:
            stream = await streams.enter_async_context(connect(address.replace("/run-stream", path or "/run-stream")))
            await stream.send(json.dumps(frame).replace("THE STREAM", invocation_id))
            started = json.loads(await stream.recv())
            invocation_id = started.get("invocation_id", "")
            await stream.recv()
        ending = asyncio.create_task(server.__aexit__(None, None, None))
        frames = [masked(str(text)) async for text in iterate(stream)]
        await ending
    assert held.cleaned_up.is_set()
    return frames, stream.close_code


@pytest.mark.parametrize(
    "first",
    [
        [{**QUIET, "on_disconnect": "linger"}],
        [{**QUIET, "on_disconnect": "detach"}],
        [{**QUIET, "on_disconnect": "detach"}, {"resume": {"invocation_id": "THE STREAM"}}],
        [{**QUIET, "wire": 2}],
    ],
    ids=["lingering", "detached", "resumed", "one that knows this wire"],
)
@on_a_loop
async def test_a_client_that_knows_the_status_learns_that_the_server_goes_away(first: list[dict[str, Any]]) -> None:
    frames, code = await cut_by_a_shutdown(*first)
    assert frames == ['{"type":"status","status":"server_draining","invocation_id":"ID"}']
    assert code == 1012


@pytest.mark.parametrize(
    ("first", "path"),
    [
        (QUIET, ""),
        ({**QUIET, "on_disconnect": "cancel"}, ""),
        ({**QUIET, "wire": 1}, ""),
        (LEGACY_START, "/execute/quiet_stream"),
    ],
    ids=["plain", "cancelling", "of the first wire", "legacy"],
)
@on_a_loop
async def test_any_other_client_learns_by_an_error_that_a_shutdown_cut_its_stream(
    first: dict[str, Any], path: str
) -> None:
    frames, code = await cut_by_a_shutdown(first, path=path)
    (error,) = map(json.loads, frames)
    assert (error["type"], error["error"]) == ("error", "The server shut down before the invocation ended.")
    assert code == 1012


@on_a_loop
async def test_connections_without_a_request_do_not_keep_a_server_from_ending() -> None:
    held = Held()
    async with running(held, grace=0) as (server, address), connect(address, proxy=None) as idle:
        with socket.create_connection(("127.0.0.1", server.http_port or 0)) as silent:
            silent.sendall(b"GET / HTT")
            async with asyncio.timeout(5):
                await server.__aexit__(None, None, None)
                await idle.wait_closed()
    assert idle.close_code == 1012


def test_a_server_may_show_one_face_alone() -> None:
    async def ports(*, http: bool = True, grpc: bool = True) -> tuple[bool, bool, bool]:
        config = any_ports(http=http, grpc=grpc)
        async with Server(Agent.from_functions({"run": lambda: 1}), config=config) as server:
            return server.http_port is not None, server.grpc_port is not None, bool(server.port)

    assert asyncio.run(ports(grpc=False)) == (True, False, True)
    assert asyncio.run(ports(http=False)) == (False, True, True)
    with pytest.raises(ValueError, match="at least one"):
        asyncio.run(ports(http=False, grpc=False))


def test_a_server_without_grpc_advertises_none() -> None:
    async def advertised() -> Any:
        async with (
            Server(Agent.from_functions({"run": lambda: 1}), config=any_ports(grpc=False)) as server,
            httpx.AsyncClient(trust_env=False) as client,
        ):
            return (await client.get(f"http://127.0.0.1:{server.http_port}/api/v1")).json()

    assert "grpc" not in asyncio.run(advertised())


def test_a_port_in_use_leaves_no_face_behind() -> None:
    from runagent_grpc.addresses import PortInUseError

    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = any_ports(port=taken.getsockname()[1])
        server = Server(Agent.from_functions({"run": lambda: 1}), config=config)

        async def enter() -> None:
            async with server:
                pass

        with pytest.raises(PortInUseError):
            asyncio.run(enter())
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", server.grpc_port or 0))
