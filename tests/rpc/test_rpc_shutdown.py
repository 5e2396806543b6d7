from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc
from runagent_grpc.client import AsyncRunAgentClient
from runagent_grpc.errors import RunAgentError
from runagent_grpc.server.server import Server
from runagent_grpc.testing import RunningServer, serving
from runagent_grpc.worker import Agent
from tests.configs import any_ports
from tests.rpc.calls import connected, failure_of, run_request, stream_request, value_of
from tests.waiting import eventually


class Held:
    """Entrypoints that go on when they are told to, and what they did."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.cleaned_up = threading.Event()

    def run(self) -> str:
        self.go_on.wait(10)
        return "done"

    def run_stream(self) -> Iterator[str]:
        try:
            yield "begun"
            self.go_on.wait(10)
            yield "done"
        finally:
            self.cleaned_up.set()

    async def endless_stream(self) -> AsyncIterator[str]:
        try:
            yield "begun"
            await asyncio.Event().wait()
        finally:
            self.cleaned_up.set()

    @property
    def agent(self) -> Agent:
        return Agent.from_functions(
            {"run": self.run, "run_stream": self.run_stream, "endless_stream": self.endless_stream}
        )


@asynccontextmanager
async def running(agent: Agent, grace: float) -> AsyncIterator[tuple[Server, Any, Any]]:
    """A server, with a stub of its service and one of its health. Does not end it."""
    server = Server(agent, config=any_ports(drain_grace=grace))
    await server.__aenter__()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield server, agent_service_pb2_grpc.AgentServiceStub(channel), health_pb2_grpc.HealthStub(channel)


async def until_it_drains(health: Any) -> None:
    async for answer in health.Watch(health_pb2.HealthCheckRequest()):
        if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
            return


async def read_on(stream: Any) -> None:
    while await stream.read() is not grpc.aio.EOF:
        pass


def test_a_server_that_drains_says_so_finishes_what_runs_and_takes_nothing_new() -> None:
    held = Held()

    async def drain() -> None:
        async with running(held.agent, grace=10) as (server, stub, health):
            run = stub.Run(run_request("run"))
            stream = stub.RunStream(stream_request("run_stream"))
            await asyncio.to_thread(eventually, lambda: server.engine.active == 2)
            ending = asyncio.create_task(server.__aexit__(None, None, None))
            await until_it_drains(health)

            for refused in (stub.Run(run_request("run")), stub.RunStream(stream_request("run_stream")).read()):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await refused
                failure = failure_of(Blocking(caught.value))
                assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
                assert failure.retry_after is not None
            assert not ending.done()

            held.go_on.set()
            assert value_of((await run).result) == "done"
            events = [event async for event in stream]
            assert [value_of(value) for event in events for value in event.chunks.values] == ["begun", "done"]
            assert events[-1].completed.chunk_count == 2
            await ending

    asyncio.run(drain())


class Blocking:
    """What `grpc_status` reads of a failed call, of the asyncio kind."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code, self.details = error.code, error.details
        self.trailing_metadata = lambda: tuple(error.trailing_metadata())


@pytest.mark.parametrize("tag", ["endless_stream", "run_stream"])
def test_what_runs_on_past_the_grace_is_lost_and_told(tag: str) -> None:
    held = Held()

    async def drain() -> None:
        async with running(held.agent, grace=0.05) as (server, stub, _):
            stream = stub.RunStream(stream_request(tag))
            await stream.read()
            await stream.read()
            ending = asyncio.create_task(server.__aexit__(None, None, None))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read_on(stream)
            failure = failure_of(Blocking(caught.value))
            assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "INVOCATION_LOST")
            assert failure.text == "The server shut down before the invocation ended."
            held.go_on.set()
            await ending
            assert server.engine.active == 0

    asyncio.run(drain())
    assert held.cleaned_up.is_set()


def test_a_server_that_has_ended_has_closed_its_port() -> None:
    with serving({"run": lambda: 1}) as server, connected(server) as stub:
        stub.Run(run_request("run"))
    with connected(server) as stub, pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
        stub.Run(run_request("run"))


def test_a_thread_that_does_not_return_does_not_keep_the_server_from_ending() -> None:
    stuck, let_go = threading.Event(), threading.Event()

    def never_returns() -> None:
        stuck.set()
        let_go.wait(30)

    with serving({"never_returns": never_returns}) as server, connected(server) as stub:
        call = stub.Run.future(run_request("never_returns"))
        stuck.wait(10)
    assert isinstance(call.exception(), grpc.RpcError)
    let_go.set()


def test_a_client_hears_why_its_call_was_refused() -> None:
    async def drain() -> RunAgentError:
        held = Held()
        async with running(held.agent, grace=10) as (server, stub, health):
            run = stub.Run(run_request("run"))
            await asyncio.to_thread(eventually, lambda: server.engine.active == 1)
            ending = asyncio.create_task(server.__aexit__(None, None, None))
            await until_it_drains(health)
            url = f"grpc://127.0.0.1:{server.grpc_port}"
            async with AsyncRunAgentClient(None, "run", base_url=url, retry_seconds=0) as client:
                with pytest.raises(RunAgentError) as caught:
                    await client.run()
            held.go_on.set()
            await run
            await ending
            return caught.value

    error = asyncio.run(drain())
    assert (error.code, error.reason) == ("SHUTTING_DOWN", "SHUTTING_DOWN")
    assert error.retry_after is not None


def test_calls_that_are_on_their_way_when_a_server_stops_are_told_to_come_again() -> None:
    ended: list[tuple[grpc.StatusCode, str]] = []
    made = threading.Semaphore(0)

    async def one() -> int:
        return 1

    def call_until_it_fails(server: RunningServer) -> None:
        # Whoever is told to come again has nothing to do with the end of this server any more.
        with connected(server) as stub:
            error: Any = None
            while error is None:
                call = stub.Run.future(run_request("one"))
                error = call.exception()
                made.release()
            ended.append((error.code(), failure_of(error).reason))

    with ThreadPoolExecutor(24) as callers:
        with serving({"one": one}, drain_grace=5) as server:
            calls = [callers.submit(call_until_it_fails, server) for _ in range(24)]
            for _ in range(240):
                made.acquire()
        for call in calls:
            call.result()
    assert ended == [(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")] * 24
