from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest

from runagent_grpc import current_invocation
from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import invocation_pb2
from runagent_grpc.testing import serving
from tests.rpc.calls import announced_id, connected, connected_async, failing, failure_of, run_request, stream_request
from tests.waiting import eventually

FORMS = ["sync", "async"]


class Counted:
    """Endless work in each form that work comes in, and how often its `finally` ran."""

    def __init__(self) -> None:
        self.cleaned_up = 0
        self._lock = threading.Lock()

    def clean_up(self) -> None:
        with self._lock:
            self.cleaned_up += 1

    def sync_stream(self) -> Iterator[int]:
        try:
            yield 1
            while True:
                threading.Event().wait(0.005)
                yield 0
        finally:
            self.clean_up()

    async def async_stream(self) -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            self.clean_up()

    def sync_run(self) -> None:
        while not current_invocation().cancelled:
            threading.Event().wait(0.005)
        self.clean_up()

    async def async_run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.clean_up()

    @property
    def entrypoints(self) -> dict[str, Callable[..., Any]]:
        return {
            "sync_stream": self.sync_stream,
            "async_stream": self.async_stream,
            "sync": self.sync_run,
            "async": self.async_run,
        }


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What we log as amiss. grpc.aio complains of its own: of callers who left before their call began, and of loops
    that have closed."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("runagent")
    ]


def cancel_request(invocation_id: str) -> pb.CancelInvocationRequest:
    return pb.CancelInvocationRequest(invocation_id=invocation_id)


@pytest.mark.parametrize("form", FORMS)
def test_a_caller_who_cancels_a_stream_ends_the_work(form: str) -> None:
    work = Counted()
    with serving(work.entrypoints) as server, connected(server) as stub:
        call = stub.RunStream(stream_request(f"{form}_stream"))
        next(call)
        next(call)
        call.cancel()
        eventually(lambda: server.engine.active == 0)
        record = stub.CancelInvocation(cancel_request(announced_id(call))).invocation

    assert work.cleaned_up == 1
    assert record.state == invocation_pb2.INVOCATION_STATE_CANCELLED
    assert record.cause == "The caller left."


@pytest.mark.parametrize("form", FORMS)
def test_a_caller_who_cancels_a_run_ends_the_work(form: str) -> None:
    work = Counted()
    with serving(work.entrypoints) as server, connected(server) as stub:
        call = stub.Run.future(run_request(form))
        eventually(lambda: server.engine.active == 1)
        call.cancel()
        eventually(lambda: server.engine.active == 0)

    # A coroutine that had not begun has nothing to clean up.
    assert work.cleaned_up == 1 or form == "async"


@pytest.mark.parametrize("form", FORMS)
def test_a_connection_that_is_cut_ends_the_work(form: str) -> None:
    work = Counted()
    with serving(work.entrypoints) as server:
        with connected(server) as stub:
            call = stub.RunStream(stream_request(f"{form}_stream"))
            next(call)
            next(call)
        eventually(lambda: server.engine.active == 0)

    assert work.cleaned_up == 1


@pytest.mark.parametrize("form", FORMS)
def test_many_who_leave_at_once_leave_nothing_behind(form: str, caplog: pytest.LogCaptureFixture) -> None:
    work = Counted()

    async def leave(server: Any) -> None:
        async with connected_async(server) as stub:
            calls = [stub.RunStream(stream_request(f"{form}_stream")) for _ in range(50)]
            for call in calls:
                assert (await call.read()).WhichOneof("event") == "started"
            for call in calls:
                assert (await call.read()).WhichOneof("event") == "chunks"
            for call in calls:
                call.cancel()
            await asyncio.to_thread(eventually, lambda: server.engine.active == 0)

    with serving(work.entrypoints) as server:
        asyncio.run(leave(server))

    assert work.cleaned_up == 50
    assert complaints(caplog) == []


@pytest.mark.parametrize("form", FORMS)
def test_many_who_leave_before_anything_came_leave_nothing_behind(form: str, caplog: pytest.LogCaptureFixture) -> None:
    async def leave(server: Any) -> None:
        async with connected_async(server) as stub:
            for pause in (0, 0.001, 0.01):
                calls = [stub.RunStream(stream_request(f"{form}_stream")) for _ in range(20)]
                calls += [stub.Run(run_request(form)) for _ in range(20)]
                await asyncio.sleep(pause)
                for call in calls:
                    call.cancel()
                await asyncio.to_thread(eventually, lambda: server.engine.active == 0)

    with serving(Counted().entrypoints) as server:
        asyncio.run(leave(server))

    assert complaints(caplog) == []


@pytest.mark.parametrize("form", FORMS)
def test_an_invocation_that_is_cancelled_by_its_id_tells_its_caller(form: str) -> None:
    work = Counted()
    with serving(work.entrypoints) as server, connected(server) as stub:
        call = stub.RunStream(stream_request(f"{form}_stream"))
        next(call)
        record = stub.CancelInvocation(cancel_request(announced_id(call))).invocation
        with pytest.raises(grpc.RpcError) as caught:
            for _ in call:
                pass
        eventually(lambda: server.engine.active == 0)

    failure = failure_of(caught.value)
    assert (failure.code, failure.reason) == (grpc.StatusCode.CANCELLED, "CANCELLED")
    assert failure.text == "The invocation was cancelled."
    assert record.invocation_id == announced_id(call)
    assert record.agent_id == "test-agent"
    assert record.entrypoint_tag == f"{form}_stream"
    assert record.state == invocation_pb2.INVOCATION_STATE_CANCELLED
    assert record.cause == "The invocation was cancelled."
    assert record.failure.reason == "CANCELLED"
    assert record.HasField("end_time")


def test_a_run_that_is_cancelled_by_its_id_tells_its_caller() -> None:
    async def call() -> grpc.aio.AioRpcError:
        known = asyncio.Queue[str]()
        loop = asyncio.get_running_loop()

        async def endless() -> None:
            loop.call_soon_threadsafe(known.put_nowait, current_invocation().invocation_id)
            await asyncio.Event().wait()

        with serving({"endless": endless}) as server:
            async with connected_async(server) as stub:
                running = stub.Run(run_request("endless"))
                await stub.CancelInvocation(cancel_request(await known.get()))
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await running
                return caught.value

    error = asyncio.run(call())
    assert error.code() is grpc.StatusCode.CANCELLED
    assert error.details() == "The invocation was cancelled."


def test_a_cancellation_does_not_wait_for_the_clean_up() -> None:
    let_go = threading.Event()

    def slow_to_leave_stream() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            let_go.wait(10)

    with serving({"slow_to_leave_stream": slow_to_leave_stream}) as server, connected(server) as stub:
        call = stub.RunStream(stream_request("slow_to_leave_stream"))
        next(call)
        stub.CancelInvocation(cancel_request(announced_id(call)))
        # Its slot stays taken until its thread is done.
        assert server.engine.active == 1
        let_go.set()
        eventually(lambda: server.engine.active == 0)


def test_cancelling_twice_or_too_late_changes_nothing() -> None:
    with serving({"count_stream": lambda: iter([1, 2])}) as server, connected(server) as stub:
        call = stub.RunStream(stream_request("count_stream"))
        assert len(list(call)) >= 3
        first = stub.CancelInvocation(cancel_request(announced_id(call))).invocation
        second = stub.CancelInvocation(cancel_request(announced_id(call))).invocation

    assert first == second
    assert first.state == invocation_pb2.INVOCATION_STATE_COMPLETED
    assert first.cause == ""
    assert first.chunk_count == 2
    assert not first.HasField("failure")


@pytest.mark.parametrize("invocation_id", ["", "never-was", "x" * 10_000])
def test_cancelling_an_unknown_invocation_finds_none(invocation_id: str) -> None:
    with serving(Counted().entrypoints) as server, connected(server) as stub:
        failure = failing(stub.CancelInvocation, cancel_request(invocation_id))

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "INVOCATION_NOT_FOUND")
    assert failure.text == "Invocation not found"


@pytest.mark.parametrize("form", FORMS)
def test_the_deadline_of_a_stream_ends_the_work(form: str) -> None:
    work = Counted()
    with serving(work.entrypoints) as server, connected(server) as stub:
        call = stub.RunStream(stream_request(f"{form}_stream"), timeout=0.3)
        with pytest.raises(grpc.RpcError) as caught:
            for _ in call:
                pass
        eventually(lambda: server.engine.active == 0)

    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert work.cleaned_up == 1
