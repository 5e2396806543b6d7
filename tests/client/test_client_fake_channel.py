"""The sync client against grpcio-testing's channel: every event of a stream in the test's own hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import grpc_testing
import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2, payload_pb2
from runagent_grpc.client import RunAgentClient, RunAgentError
from runagent_grpc.client.grpc_sync import GrpcTransport
from tests.client.fakes import INVOCATION_ID, chunks, completed, heartbeat, started

SERVICE = pb.DESCRIPTOR.services_by_name["AgentService"]
METHODS = SERVICE.methods_by_name
ID_METADATA = (("x-invocation-id", INVOCATION_ID),)


@pytest.fixture
def channel() -> Any:
    return grpc_testing.channel([SERVICE], grpc_testing.strict_real_time())


@pytest.fixture
def caller() -> Iterator[ThreadPoolExecutor]:
    """Where the client's code runs, which blocks; the test is the server."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def client_on(channel: Any, tag: str, **options: Any) -> RunAgentClient:
    client = RunAgentClient("chat", tag, base_url="grpc://nowhere:1", **options)
    client._connection._transport = GrpcTransport(client.address, options.get("api_key"), channel=channel)
    return client


def test_a_run_is_one_call_with_everything_in_it(channel: Any, caller: ThreadPoolExecutor) -> None:
    client = client_on(channel, "greet", api_key="key", timeout=30, user_id="ada", persistent_memory=True)
    running: Future[Any] = caller.submit(client.run, "Hi", times=2)

    metadata, request, call = channel.take_unary_unary(METHODS["Run"])
    call.send_initial_metadata(ID_METADATA)
    call.terminate(pb.RunResponse(result=payload_pb2.Payload(json="[1.0]")), (), grpc.StatusCode.OK, "")

    assert running.result(10) == [1.0]
    assert ("authorization", "Bearer key") in metadata
    assert (request.call.agent_id, request.call.entrypoint_tag) == ("chat", "greet")
    assert (request.call.user_id, request.call.persistent_memory) == ("ada", True)
    keyword = request.call.keywords[0]
    assert (request.call.args[0].text, keyword.name, keyword.value.json) == ("Hi", "times", "2")
    assert uuid.UUID(request.call.request_id).version == 4
    assert request.call.on_disconnect == call_pb2.ON_DISCONNECT_LINGER
    assert request.call.resume_window.seconds == 10


def test_a_stream_hands_out_every_chunk_before_the_next_comes(channel: Any, caller: ThreadPoolExecutor) -> None:
    stream = client_on(channel, "greet_stream").run()
    _, request, call = channel.take_unary_stream(METHODS["RunStream"])
    assert request.WhichOneof("source") == "call"

    call.send_initial_metadata(ID_METADATA)
    call.send_response(started())
    for number, text in enumerate("abc", start=1):
        call.send_response(chunks(number, text))
        assert caller.submit(next, stream).result(10) == text
        call.send_response(heartbeat())
    call.send_response(completed(3))
    call.terminate((), grpc.StatusCode.OK, "")
    assert list(stream) == []


def test_chunks_of_one_event_come_one_by_one(channel: Any) -> None:
    stream = client_on(channel, "greet_stream").run()
    _, _, call = channel.take_unary_stream(METHODS["RunStream"])
    call.send_initial_metadata(())
    for event in (started(), chunks(1, "a", "b"), completed(2)):
        call.send_response(event)
    call.terminate((), grpc.StatusCode.OK, "")

    assert [next(stream), next(stream), next(stream, "end")] == ["a", "b", "end"]


@pytest.mark.parametrize(
    ("code", "error_code"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_ERROR"),
        (grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
        (grpc.StatusCode.UNAUTHENTICATED, "AUTHENTICATION_ERROR"),
        (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_ERROR"),
        (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"),
        (grpc.StatusCode.OUT_OF_RANGE, "REPLAY_EXPIRED"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "PAYLOAD_TOO_LARGE"),
        (grpc.StatusCode.UNAVAILABLE, "CONNECTION_ERROR"),
        (grpc.StatusCode.ABORTED, "INVOCATION_LOST"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "TIMEOUT_ERROR"),
        (grpc.StatusCode.CANCELLED, "CONNECTION_ERROR"),
        (grpc.StatusCode.UNKNOWN, "CONNECTION_ERROR"),
        (grpc.StatusCode.INTERNAL, "CONNECTION_ERROR"),
        (grpc.StatusCode.UNIMPLEMENTED, "CONNECTION_ERROR"),
        (grpc.StatusCode.DATA_LOSS, "INTERNAL_ERROR"),
        (grpc.StatusCode.FAILED_PRECONDITION, "INTERNAL_ERROR"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_status_that_comes_bare_is_told_by_the_table(
    channel: Any, caller: ThreadPoolExecutor, code: grpc.StatusCode, error_code: str
) -> None:
    running: Future[Any] = caller.submit(client_on(channel, "greet", retry_seconds=0).run)
    _, _, call = channel.take_unary_unary(METHODS["Run"])
    call.send_initial_metadata(ID_METADATA)
    call.terminate(None, (), code, "What the peer said.")

    with pytest.raises(RunAgentError) as caught:
        running.result(10)

    assert caught.value.code == error_code
    assert caught.value.message
    assert "What the peer said." in caught.value.message + (caught.value.details or "")
    assert caught.value.invocation_id == INVOCATION_ID


def test_a_call_that_its_server_drops_without_a_word_is_made_again(channel: Any, caller: ThreadPoolExecutor) -> None:
    running: Future[Any] = caller.submit(client_on(channel, "greet").run)
    _, first, call = channel.take_unary_unary(METHODS["Run"])
    call.send_initial_metadata(())
    # What is left of calls that reached a server at the moment of its end.
    call.terminate(None, (), grpc.StatusCode.CANCELLED, "CANCELLED")
    _, again, call = channel.take_unary_unary(METHODS["Run"])
    call.send_initial_metadata(())
    call.terminate(pb.RunResponse(result=payload_pb2.Payload(text="Hello.")), (), grpc.StatusCode.OK, "")

    assert running.result(10) == "Hello."
    assert first.call.request_id == again.call.request_id != ""


def test_a_stream_whose_status_is_ok_and_whose_end_is_missing_is_an_error(channel: Any) -> None:
    stream = client_on(channel, "greet_stream", retry_seconds=0).run()
    _, _, call = channel.take_unary_stream(METHODS["RunStream"])
    call.send_initial_metadata(())
    call.send_response(started())
    call.send_response(chunks(1, "a"))
    call.terminate((), grpc.StatusCode.OK, "")

    assert next(stream) == "a"
    with pytest.raises(RunAgentError) as caught:
        next(stream)
    assert caught.value.reason == "STREAM_INTERRUPTED"


def test_the_descriptions_of_agents_are_asked_for_by_name(channel: Any, caller: ThreadPoolExecutor) -> None:
    client = client_on(channel, "greet")
    asking: Future[Any] = caller.submit(client.get_agent)
    _, request, call = channel.take_unary_unary(METHODS["GetAgent"])
    call.send_initial_metadata(())
    agent = pb.Agent(agent_id="chat", entrypoints=[pb.Entrypoint(tag="greet", input_schema='{"type":"object"}')])
    call.terminate(pb.GetAgentResponse(agent=agent), (), grpc.StatusCode.OK, "")

    assert request.agent_id == "chat"
    assert asking.result(10).entrypoints[0].input_schema == {"type": "object"}
