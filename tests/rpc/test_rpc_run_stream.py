from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import invocation_pb2
from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import serving
from tests.rpc.calls import (
    announced_id,
    call_of,
    connected,
    failing,
    failure_of,
    keep,
    run_request,
    stream_request,
    value_of,
)


def count_stream(count: int = 3) -> Iterator[int]:
    yield from range(1, count + 1)


async def count_soon_stream(count: int = 3) -> AsyncIterator[int]:
    for number in range(1, count + 1):
        yield number


def kinds_of(events: list[pb.RunStreamResponse]) -> list[str | None]:
    return [event.WhichOneof("event") for event in events]


def chunks_of(events: list[pb.RunStreamResponse]) -> list[Any]:
    """The chunks, after a check that their numbers are consecutive from 1 on."""
    values: list[Any] = []
    for event in events:
        if event.WhichOneof("event") == "chunks":
            assert event.chunks.first_sequence == len(values) + 1
            assert event.chunks.values
            values.extend(value_of(payload) for payload in event.chunks.values)
    return values


@pytest.mark.parametrize("function", [count_stream, count_soon_stream])
@pytest.mark.parametrize("count", [0, 1, 3, 5000])
def test_a_stream_starts_then_numbers_its_chunks_then_completes(function: Callable[..., Any], count: int) -> None:
    with serving({"count_stream": function}) as server, connected(server) as stub:
        call = stub.RunStream(stream_request("count_stream", count))
        events = list(call)

    kinds = kinds_of(events)
    assert kinds[0] == "started"
    assert kinds[-1] == "completed"
    assert set(kinds[1:-1]) <= {"chunks"}
    assert chunks_of(events) == list(range(1, count + 1))
    assert events[-1].completed.chunk_count == count
    assert events[-1].completed.elapsed.ToTimedelta().total_seconds() >= 0
    assert events[0].started.invocation_id == announced_id(call)
    assert call.code() is grpc.StatusCode.OK


def test_a_stream_tells_when_it_started_and_how_often_it_gives_a_sign_of_life() -> None:
    before = time.time()
    with (
        serving({"count_stream": count_stream}, engine=EngineSettings(heartbeat_interval=2.5)) as server,
        connected(server) as stub,
    ):
        started = next(stub.RunStream(stream_request("count_stream"))).started

    assert before - 1 <= started.start_time.ToNanoseconds() / 1e9 <= time.time() + 1
    assert started.heartbeat_interval.ToTimedelta().total_seconds() == 2.5


def test_the_invocation_id_and_started_arrive_before_the_first_chunk() -> None:
    let_go = threading.Event()

    def wait_stream() -> Iterator[str]:
        let_go.wait(10)
        yield "late"

    with serving({"wait_stream": wait_stream}) as server, connected(server) as stub:
        call = stub.RunStream(stream_request("wait_stream"))
        invocation_id = announced_id(call)
        assert next(call).started.invocation_id == invocation_id
        assert not let_go.is_set()
        let_go.set()
        assert kinds_of(list(call)) == ["chunks", "completed"]


def test_every_chunk_is_sent_when_it_is_ready() -> None:
    turn = threading.Semaphore(0)

    def stepwise_stream() -> Iterator[int]:
        for number in range(3):
            yield number
            turn.acquire(timeout=10)

    with serving({"stepwise_stream": stepwise_stream}) as server, connected(server) as stub:
        call = stub.RunStream(stream_request("stepwise_stream"))
        next(call)
        for number in range(3):
            assert [value_of(payload) for payload in next(call).chunks.values] == [number]
            turn.release()
        assert kinds_of(list(call)) == ["completed"]


def test_a_silent_stream_gives_signs_of_life() -> None:
    let_go = threading.Event()

    def wait_stream() -> Iterator[str]:
        yield "early"
        let_go.wait(10)
        yield "late"

    with (
        serving({"wait_stream": wait_stream}, engine=EngineSettings(heartbeat_interval=0.01)) as server,
        connected(server) as stub,
    ):
        call = stub.RunStream(stream_request("wait_stream"))
        events = [next(call)]
        while kinds_of(events).count("heartbeat") < 3:
            events.append(next(call))
        let_go.set()
        events += call

    assert chunks_of(events) == ["early", "late"]
    assert kinds_of(events)[-1] == "completed"


@pytest.mark.parametrize("value", ["", "text", b"\x00\xff", None, 1.0, {"a": [1]}, [1, 2]])
def test_chunks_keep_their_kind(value: Any) -> None:
    def one_stream() -> Iterator[Any]:
        yield value

    with serving({"one_stream": one_stream}) as server, connected(server) as stub:
        (chunk,) = chunks_of(list(stub.RunStream(stream_request("one_stream"))))

    assert chunk == value
    assert type(chunk) is type(value)


def test_a_plain_entrypoint_is_not_streamed() -> None:
    with serving({"plain": lambda: 1}) as server, connected(server) as stub:
        failure = failing(stub.RunStream, stream_request("plain", unknown=1))

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "NON_STREAM_ENTRYPOINT")
    assert failure.text.startswith("Entrypoint `plain` is not a streaming entrypoint.")


def test_what_is_wrong_is_told_before_the_stream_starts() -> None:
    with serving({"count_stream": count_stream}) as server, connected(server) as stub:
        call = stub.RunStream(stream_request("count_stream", count="many"))
        with pytest.raises(grpc.RpcError) as caught:
            next(call)
        failure = failure_of(caught.value)
        unknown_agent = failing(stub.RunStream, stream_request("count_stream", fields={"agent_id": "other"}))
        unknown_tag = failing(stub.RunStream, stream_request("nothing_stream"))

    assert (failure.reason, list(failure.violations)) == ("VALIDATION_ERROR", ["count"])
    assert unknown_agent.reason == "AGENT_NOT_FOUND"
    assert unknown_tag.reason == "ENTRYPOINT_NOT_FOUND"


def test_a_request_without_a_source_is_malformed() -> None:
    with serving({"count_stream": count_stream}) as server, connected(server) as stub:
        failure = failing(stub.RunStream, pb.RunStreamRequest())

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")
    assert failure.text == "Set `call` or `resume`."


@pytest.mark.parametrize("after", [-1, 0, 5])
def test_a_resume_of_an_unknown_invocation_finds_none(after: int) -> None:
    resume = pb.ResumePoint(invocation_id="never-was", after_sequence=after)
    with serving({"count_stream": count_stream}) as server, connected(server) as stub:
        failure = failing(stub.RunStream, pb.RunStreamRequest(resume=resume))
        empty = failing(stub.RunStream, pb.RunStreamRequest(resume=pb.ResumePoint()))

    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "INVOCATION_NOT_FOUND")
    assert empty.reason == "INVOCATION_NOT_FOUND"


def test_a_resume_whose_chunks_are_gone_says_so() -> None:
    with serving({"count_stream": count_stream}) as server, connected(server) as stub:
        call = stub.RunStream(stream_request("count_stream"))
        list(call)
        resume = pb.ResumePoint(invocation_id=announced_id(call), after_sequence=1)
        failure = failing(stub.RunStream, pb.RunStreamRequest(resume=resume))

    assert (failure.code, failure.reason) == (grpc.StatusCode.OUT_OF_RANGE, "REPLAY_EXPIRED")


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("chunks", [0, 1, 300])
def test_a_failure_arrives_after_the_chunks_before_it(asynchronous: bool, chunks: int) -> None:
    def fail_stream() -> Iterator[int]:
        yield from range(chunks)
        raise LookupError("It broke.")

    async def fail_soon_stream() -> AsyncIterator[int]:
        for number in range(chunks):
            yield number
        raise LookupError("It broke.")

    with (
        serving({"fail_stream": fail_soon_stream if asynchronous else fail_stream}) as server,
        connected(server) as stub,
    ):
        call = stub.RunStream(stream_request("fail_stream"))
        events: list[pb.RunStreamResponse] = []
        with pytest.raises(grpc.RpcError) as caught:
            keep(call, events)
        record = stub.CancelInvocation(pb.CancelInvocationRequest(invocation_id=announced_id(call))).invocation

    failure = failure_of(caught.value)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNKNOWN, "EXECUTION_FAILED")
    assert failure.text == "It broke."
    assert "completed" not in kinds_of(events)
    assert chunks_of(events) == list(range(chunks))
    assert record.state == invocation_pb2.INVOCATION_STATE_FAILED
    assert record.chunk_count == chunks


def test_a_stream_that_is_out_of_time_ends_with_a_timeout_after_its_chunks() -> None:
    async def slow_stream() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(60)

    with serving({"slow_stream": slow_stream}) as server, connected(server) as stub:
        call = stub.RunStream(stream_request("slow_stream", fields={"run_timeout": {"nanos": 50_000_000}}))
        assert kinds_of([next(call), next(call)]) == ["started", "chunks"]
        with pytest.raises(grpc.RpcError) as caught:
            next(call)

    failure = failure_of(caught.value)
    assert (failure.code, failure.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "TIMEOUT")
    assert "timed out" in failure.text


def test_two_streams_do_not_wait_for_each_other() -> None:
    meeting = threading.Barrier(2)

    def meet_stream() -> Iterator[int]:
        for _ in range(3):
            yield meeting.wait(10)

    with serving({"meet_stream": meet_stream}) as server, connected(server) as stub:
        first, second = (stub.RunStream(stream_request("meet_stream")) for _ in range(2))
        # Each needs the other to go on, on the server; the callers take turns as they like.
        assert len(chunks_of(list(first))) == len(chunks_of(list(second))) == 3


def test_many_streams_that_block_run_at_once() -> None:
    meeting = threading.Barrier(100)

    def meet_stream() -> Iterator[str]:
        yield "here"
        meeting.wait(20)
        yield "all here"

    with serving({"meet_stream": meet_stream}) as server, connected(server) as stub:
        calls = [stub.RunStream(stream_request("meet_stream")) for _ in range(100)]
        assert all(chunks_of(list(call)) == ["here", "all here"] for call in calls)


def test_a_call_and_a_stream_of_the_same_agent_do_not_mix() -> None:
    with serving({"plain": lambda: "one", "count_stream": count_stream}) as server, connected(server) as stub:
        stream = stub.RunStream(pb.RunStreamRequest(call=call_of("count_stream")))
        assert value_of(stub.Run(run_request("plain")).result) == "one"
        assert chunks_of(list(stream)) == [1, 2, 3]
