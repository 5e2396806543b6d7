from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest

from runagent_grpc import current_invocation
from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import invocation_pb2
from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import serving
from tests.rpc.calls import (
    announced_id,
    connected,
    failure_of,
    run_request,
    value_of,
)
from tests.waiting import eventually


def one(value: Any) -> Any:
    return value


@pytest.mark.parametrize("seconds", [1, 315_576_000_000])
def test_a_run_timeout_may_be_as_long_as_a_duration_can_tell(seconds: int) -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        request = run_request("one", 1, fields={"run_timeout": {"seconds": seconds}})
        assert value_of(stub.Run(request).result) == 1


@pytest.mark.parametrize("asynchronous", [True, False])
def test_the_deadline_of_a_call_ends_it_on_both_sides(asynchronous: bool) -> None:
    finished = threading.Event()

    def sleep() -> None:
        while not current_invocation().cancelled:
            finished.wait(0.01)
        finished.set()

    async def sleep_soon() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            finished.set()

    with serving({"sleep": sleep_soon if asynchronous else sleep}) as server, connected(server) as stub:
        with pytest.raises(grpc.RpcError) as caught:
            stub.Run(run_request("sleep"), timeout=0.3)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        eventually(lambda: server.engine.active == 0)

    assert finished.is_set()


@pytest.mark.parametrize("bound", ["run_timeout", "max_run_timeout"])
def test_a_run_that_is_out_of_time_says_timed_out_and_is_recorded_so(bound: str) -> None:
    async def sleep() -> None:
        await asyncio.sleep(60)

    settings = EngineSettings(max_run_timeout=0.05 if bound == "max_run_timeout" else None)
    fields = {"run_timeout": {"nanos": 50_000_000}} if bound == "run_timeout" else {}
    with serving({"sleep": sleep}, engine=settings) as server, connected(server) as stub:
        call = stub.Run.future(run_request("sleep", fields=fields))
        failure = failure_of(call.exception())
        invocation_id = announced_id(call)
        record = stub.CancelInvocation(pb.CancelInvocationRequest(invocation_id=invocation_id)).invocation

    assert (failure.code, failure.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TIMEOUT")
    assert "timed out" in failure.text
    assert record.state == invocation_pb2.INVOCATION_STATE_TIMED_OUT
    assert record.failure.reason == "TIMEOUT"
    assert record.cause == failure.text
    assert record.end_time.ToDatetime() >= record.start_time.ToDatetime()


async def forever() -> None:
    await asyncio.Event().wait()


def test_a_deadline_that_has_passed_already_harms_nobody() -> None:
    with serving({"one": one, "forever": forever}) as server, connected(server) as stub:
        for timeout in (0.0, -1.0):
            # One without an answer: gRPC rounds deadlines up, and within a millisecond one may be there.
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                stub.Run(run_request("forever"), timeout=timeout)
        assert value_of(stub.Run(run_request("one", 1)).result) == 1
        eventually(lambda: server.engine.active == 0)
