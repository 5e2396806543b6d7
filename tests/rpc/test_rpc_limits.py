from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.recorder import NullRecorder
from runagent_grpc.engine import EngineSettings
from runagent_grpc.rpc import GrpcSettings
from runagent_grpc.testing import serving
from runagent_grpc.worker import Agent
from tests.rpc.calls import connected, failing, failure_of, keep, run_request, stream_request, value_of
from tests.waiting import eventually

MIB = 1024 * 1024


def one(value: Any) -> Any:
    return value


def length(value: Any) -> int:
    return len(value)


def big(size: int) -> bytes:
    return bytes(size)


def big_stream(*sizes: int) -> Iterator[bytes]:
    for size in sizes:
        yield bytes(size)


@pytest.mark.parametrize("value", ["x" * 20 * MIB, bytes(20 * MIB)], ids=["text", "binary"])
def test_twenty_mebibytes_pass_in_both_directions(value: Any) -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        assert value_of(stub.Run(run_request("one", value)).result) == value


def test_a_chunk_of_twenty_mebibytes_passes_among_small_ones() -> None:
    with serving({"big_stream": big_stream}) as server, connected(server) as stub:
        events = list(stub.RunStream(stream_request("big_stream", 1, 20 * MIB, 2)))

    sizes = [len(payload.binary) for event in events for payload in event.chunks.values]
    assert sizes == [1, 20 * MIB, 2]
    assert events[-1].completed.chunk_count == 3


@pytest.mark.parametrize("compression", grpc.Compression)
def test_a_request_of_more_than_a_message_holds_is_refused_also_when_it_travels_small(
    compression: grpc.Compression,
) -> None:
    with serving({"length": length}) as server, connected(server) as stub:
        with pytest.raises(grpc.RpcError) as caught:
            stub.Run(run_request("length", bytes(33 * MIB)), compression=compression)
        assert value_of(stub.Run(run_request("length", bytes(MIB)), compression=compression).result) == MIB

    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_result_of_more_than_a_message_holds_is_refused_in_words() -> None:
    with serving({"big": big}) as server, connected(server) as stub:
        failure = failing(stub.Run, run_request("big", 33 * MIB))

    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE")
    assert failure.text == "The entrypoint produced a value of 34,603,008 bytes; the limit is 33,488,896."


def test_a_chunk_of_more_than_a_message_holds_ends_the_stream_after_those_before_it() -> None:
    settings = EngineSettings(max_payload_bytes=1000)
    with serving({"big_stream": big_stream}, engine=settings) as server, connected(server) as stub:
        call = stub.RunStream(stream_request("big_stream", 1, 1000, 1001, 1))
        events: list[pb.RunStreamResponse] = []
        with pytest.raises(grpc.RpcError) as caught:
            keep(call, events)

    assert [len(payload.binary) for event in events for payload in event.chunks.values] == [1, 1000]
    assert failure_of(caught.value).reason == "PAYLOAD_TOO_LARGE"


def test_the_largest_result_fits_into_a_message() -> None:
    with serving({"big": big}) as server, connected(server) as stub:
        assert len(stub.Run(run_request("big", EngineSettings().max_payload_bytes)).result.binary) > 31 * MIB


def test_many_large_chunks_that_are_ready_do_not_add_up_to_too_large_a_message() -> None:
    settings = EngineSettings(max_payload_bytes=60_000, window_bytes=100_000)
    limits = GrpcSettings(max_message_bytes=110_000)
    with serving({"big_stream": big_stream}, engine=settings, grpc=limits) as server, connected(server) as stub:
        events = list(stub.RunStream(stream_request("big_stream", *[60_000] * 30)))

    assert events[-1].completed.chunk_count == 30


def test_more_metadata_than_the_server_takes_is_refused() -> None:
    with serving({"one": one}) as server, connected(server) as stub:
        with pytest.raises(grpc.RpcError) as caught:
            stub.Run(run_request("one", 1), metadata=(("x-large", "x" * 17_000),))
        assert value_of(stub.Run(run_request("one", 1)).result) == 1

    assert isinstance(caught.value, grpc.Call)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_fault_of_our_own_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    class BrokenRecorder(NullRecorder):
        def started(self, record: InvocationRecord, call: Call) -> None:
            raise RuntimeError("secret detail")

    agent = Agent.from_functions({"one": one, "big_stream": big_stream})
    with serving(agent, recorder=BrokenRecorder()) as server, connected(server) as stub:
        failures = [failing(stub.Run, run_request("one", 1)), failing(stub.RunStream, stream_request("big_stream"))]

    for failure in failures:
        assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
        assert failure.text == "Internal error."
        assert failure.suggestion == ""
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert all(record.exc_info and "secret detail" in str(record.exc_info[1]) for record in errors)


def test_a_recorder_that_fails_at_the_end_takes_no_outcome_away() -> None:
    class BrokenRecorder(NullRecorder):
        def ended(self, record: InvocationRecord) -> None:
            raise RuntimeError("secret detail")

    with serving({"one": one}, recorder=BrokenRecorder()) as server, connected(server) as stub:
        assert value_of(stub.Run(run_request("one", 1)).result) == 1
        eventually(lambda: server.engine.active == 0)


@pytest.mark.parametrize("method", ["AgentService/Run", "AgentService/RunStream", "HistoryService/ListLogs"])
@pytest.mark.parametrize("text", [b"\xff\xff\xff", b"\x0a\x05\x0a\x03\xff\xfe\xfd"], ids=["no message", "no UTF-8"])
def test_bytes_that_are_no_message_are_malformed(method: str, text: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with serving({"one": one}) as server, grpc.insecure_channel(server.target) as channel:
        kind = channel.unary_stream if method.endswith("RunStream") else channel.unary_unary
        failure = failing(kind(f"/runagent.v1.{method}"), text)
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")
    assert caplog.messages == []


def test_unknown_fields_are_ignored() -> None:
    with serving({"one": one}) as server, grpc.insecure_channel(server.target) as channel:
        run: Any = channel.unary_unary("/runagent.v1.AgentService/Run", response_deserializer=pb.RunResponse.FromString)
        # Field 1000, a string of two bytes.
        assert value_of(run(run_request("one", 1).SerializeToString() + b"\xc2\x3e\x02hi").result) == 1
