"""Callers that leave: what is cancelled then, by which id, and what goes on without them."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient
from tests.client.calling import FORMS
from tests.client.fakes import INVOCATION_ID, chunks, scripted, started
from tests.waiting import eventually, on_a_loop


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("options", "stream_of"),
    [
        ({"on_disconnect": "detach"}, lambda client: client.run_stream()),
        ({}, lambda client: client.resume(INVOCATION_ID)),
    ],
    ids=["detached", "resumed"],
)
def test_leaving_what_may_go_on_cancels_nothing(form: str, options: dict[str, Any], stream_of: Any) -> None:
    async def leave_soon(base_url: str) -> None:
        client = AsyncRunAgentClient(None, "any_stream", base_url=base_url, **options)
        async with client, stream_of(client) as stream:
            assert await anext(stream) == "a"

    with scripted(started(), chunks(1, "a"), then_silent=True) as server:
        if form == "async":
            asyncio.run(leave_soon(server.base_url))
        else:
            client = RunAgentClient(None, "any_stream", base_url=server.base_url, **options)
            with client, stream_of(client) as stream:
                assert next(stream) == "a"
        assert server.left.wait(10)
    assert server.farewells == []
    if options:
        assert server.calls[0].on_disconnect == call_pb2.ON_DISCONNECT_DETACH
        assert not server.calls[0].HasField("resume_window")


def test_a_stream_that_is_left_before_it_has_started_is_cancelled_by_its_callers_id() -> None:
    with (
        scripted(then_silent=True) as server,
        RunAgentClient(None, "any_stream", base_url=server.base_url) as client,
    ):
        with client.run_stream():
            eventually(lambda: server.requests)
        (cancel_request,) = server.farewells
        assert cancel_request == pb.CancelInvocationRequest(request_id=server.calls[0].request_id)


@on_a_loop
async def test_a_run_whose_task_is_cancelled_is_cancelled_by_its_callers_id() -> None:
    with scripted() as server:
        async with AsyncRunAgentClient(None, "any", base_url=server.base_url) as client:
            task = asyncio.create_task(client.run())
            await asyncio.to_thread(eventually, lambda: server.calls)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert server.farewells == [pb.CancelInvocationRequest(request_id=server.calls[0].request_id)]
        assert await asyncio.to_thread(server.left.wait, 10)


@on_a_loop
async def test_a_detached_run_goes_on_without_its_caller() -> None:
    with scripted() as server:
        async with AsyncRunAgentClient(None, "any", base_url=server.base_url, on_disconnect="detach") as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.run()
        assert server.farewells == []


def test_a_dropped_stream_takes_leave_on_a_thread_that_holds_no_lock() -> None:
    threads: list[str] = []
    with (
        scripted(started(), chunks(1, "a"), then_silent=True) as server,
        RunAgentClient(None, "any_stream", base_url=server.base_url) as client,
    ):
        stream = client.run_stream()
        assert next(stream) == "a"
        events: Any = stream._events
        drop = events.drop

        def drop_here(*args: Any, **kwargs: Any) -> None:
            threads.append(threading.current_thread().name)
            drop(*args, **kwargs)

        events.drop = drop_here
        del stream
        gc.collect()
        eventually(lambda: server.cancelled == [INVOCATION_ID])
    assert threads == ["runagent-silence"]
