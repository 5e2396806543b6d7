from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest

from runagent_grpc import current_invocation
from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2, payload_pb2
from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import serving
from tests.rpc.calls import (
    announced_id,
    call_of,
    connected,
    connected_async,
    failing,
    payload_of,
    run_request,
    value_of,
)
from tests.waiting import eventually

VALUES = ["", "text", "ünï 😀", b"", b"\x00\xff", None, True, 1, 1.0, 2**64, -(10**4000), [1, [2]], {"a": {"b": None}}]


def echo(*args: Any, **kwargs: Any) -> list[Any]:
    return [list(args), kwargs]


def names(**kwargs: Any) -> list[str]:
    return list(kwargs)


def one(value: Any) -> Any:
    return value


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_a_value_comes_back_as_it_went_out(value: Any) -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        result = value_of(stub.Run(run_request("one", value)).result)

    assert result == value
    assert type(result) is type(value)


def test_a_run_returns_its_id_its_result_and_how_long_it_took() -> None:
    with serving({"echo": echo}) as server, connected(server) as stub:
        response, call = stub.Run.with_call(run_request("echo", 1, "two", flag=True))

    assert value_of(response.result) == [[1, "two"], {"flag": True}]
    assert announced_id(call) == response.invocation_id
    assert 0 <= response.elapsed.ToTimedelta().total_seconds() < 10


def test_keywords_keep_their_order_and_those_of_the_map_come_after() -> None:
    call = call_of("names", k=0)
    order = ["z", "a", *map(str, range(100, 50, -1)), "m"]
    for name in order:
        call.keywords.add(name=name, value=payload_of(1))
    with serving({"names": names}) as server, connected(server) as stub:
        assert value_of(stub.Run(pb.RunRequest(call=call)).result) == [*order, "k"]


def test_the_invocation_id_arrives_before_the_result() -> None:
    let_go = threading.Event()

    def wait() -> str:
        let_go.wait(10)
        return current_invocation().invocation_id

    with serving({"wait": wait}) as server, grpc.insecure_channel(server.target) as channel:
        # As if it were a stream, for Python hands out the metadata of a call of one value with its result.
        run = channel.unary_stream(
            "/runagent.v1.AgentService/Run",
            request_serializer=pb.RunRequest.SerializeToString,
            response_deserializer=pb.RunResponse.FromString,
        )
        call = run(run_request("wait"))
        announced = announced_id(call)
        assert call.is_active()
        let_go.set()
        response = next(call)

    assert value_of(response.result) == announced == response.invocation_id


def test_the_entrypoint_knows_whom_it_runs_for() -> None:
    def who() -> list[Any]:
        current = current_invocation()
        return [current.agent_id, current.entrypoint_tag, current.user_id, current.persistent_memory]

    with serving({"who": who}) as server, connected(server) as stub:
        request = run_request("who", fields={"user_id": "ada", "persistent_memory": True})
        assert value_of(stub.Run(request).result) == ["test-agent", "who", "ada", True]


@pytest.mark.parametrize("agent_id", ["", "test-agent"])
def test_the_only_agent_needs_no_name(agent_id: str) -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        assert value_of(stub.Run(run_request("one", 1, fields={"agent_id": agent_id})).result) == 1


@pytest.mark.parametrize("mode", list(call_pb2.OnDisconnect.values()))
def test_every_way_to_leave_is_taken(mode: call_pb2.OnDisconnect.ValueType) -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        request = run_request("one", 1, fields={"on_disconnect": mode, "resume_window": {"seconds": 5}})
        assert value_of(stub.Run(request).result) == 1


def test_two_callers_do_not_wait_for_each_other() -> None:
    meeting = threading.Barrier(3)

    def meet() -> int:
        return meeting.wait(10)

    async def answer() -> str:
        return "at once"

    with serving({"meet": meet, "answer": answer}) as server, connected(server) as stub:
        callers = [stub.Run.future(run_request("meet")) for _ in range(2)]
        # Both block, and a third caller is answered all the same.
        assert value_of(stub.Run(run_request("answer")).result) == "at once"
        meeting.wait(10)
        assert sorted(value_of(caller.result().result) for caller in callers) != []


def test_a_burst_of_calls_loses_none() -> None:
    async def burst(count: int) -> list[int]:
        with serving({"one": one}) as server:
            async with connected_async(server) as stub:
                answers = await asyncio.gather(*(stub.Run(run_request("one", number)) for number in range(count)))
                return [value_of(answer.result) for answer in answers]

    assert asyncio.run(burst(500)) == list(range(500))


def test_more_calls_than_the_engine_runs_are_refused_at_once_and_told_when_to_come_back() -> None:
    let_go = threading.Event()

    def wait() -> None:
        let_go.wait(10)

    settings = EngineSettings(max_invocations=2, max_queued=0)
    with serving({"wait": wait}, engine=settings) as server, connected(server) as stub:
        running = [stub.Run.future(run_request("wait")) for _ in range(2)]
        eventually(lambda: server.engine.active == 2)
        failure = failing(stub.Run, run_request("wait"))
        let_go.set()
        for call in running:
            call.result()
        stub.Run(run_request("wait"))

    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert failure.retry_after is not None
    assert failure.retry_after > 0


def test_the_same_call_can_be_made_with_the_asyncio_stub() -> None:
    async def call() -> Any:
        with serving({"echo": echo}) as server:
            async with connected_async(server) as stub:
                return value_of((await stub.Run(pb.RunRequest(call=call_of("echo", 1)))).result)

    assert asyncio.run(call()) == [[1], {}]


def test_a_payload_that_is_written_by_hand_is_read_like_any_other() -> None:
    assert value_of(payload_of([1.0])) == [1.0]
    with serving({"one": one}) as server, connected(server) as stub:
        request = pb.RunRequest(
            call=call_pb2.Call(entrypoint_tag="one", args=[payload_pb2.Payload(json=' {"b" : 1e2} ')])
        )
        assert stub.Run(request).result == payload_pb2.Payload(json='{"b":100.0}')
