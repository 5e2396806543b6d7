from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2, invocation_pb2
from runagent_grpc.contract.records import call_from, event_to, invocation_to
from runagent_grpc.core.call import Call, OnDisconnect
from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamEvent, StreamHeartbeat, StreamStarted
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.principal import ANYONE, Principal
from runagent_grpc.errors import DeadlineExceededError
from runagent_grpc.values.payload import Json
from tests.rpc.calls import call_of

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_an_empty_call_means_the_defaults_of_a_call() -> None:
    assert call_from(call_pb2.Call(), deadline=None, principal=ANYONE) == Call(
        entrypoint_tag="", args=[], transport="grpc"
    )


def test_everything_that_a_caller_says_reaches_the_engine() -> None:
    message = call_of(
        "chat_stream",
        1,
        b"two",
        fields={
            "agent_id": "agent",
            "request_id": "request",
            "user_id": "ada",
            "persistent_memory": True,
            "on_disconnect": call_pb2.ON_DISCONNECT_DETACH,
            "resume_window": {"seconds": 3, "nanos": 500_000_000},
            "run_timeout": {"nanos": 1},
        },
        name={"deep": [1.0]},
    )

    assert call_from(message, deadline=2.5, principal=Principal(subject="key")) == Call(
        entrypoint_tag="chat_stream",
        agent_id="agent",
        args=[Json("1"), b"two"],
        kwargs={"name": Json('{"deep": [1.0]}')},
        request_id="request",
        user_id="ada",
        persistent_memory=True,
        on_disconnect=OnDisconnect.DETACH,
        resume_window=3.5,
        run_timeout=1e-9,
        deadline=2.5,
        transport="grpc",
        principal=Principal(subject="key"),
    )


def test_every_way_to_leave_has_its_word_in_the_engine() -> None:
    modes = {
        name: call_from(call_pb2.Call(on_disconnect=number), deadline=None, principal=ANYONE).on_disconnect.name
        for name, number in call_pb2.OnDisconnect.items()
    }
    assert modes == {
        "ON_DISCONNECT_UNSPECIFIED": "CANCEL",
        "ON_DISCONNECT_CANCEL": "CANCEL",
        "ON_DISCONNECT_LINGER": "LINGER",
        "ON_DISCONNECT_DETACH": "DETACH",
    }


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (StreamStarted("id", NOON, 15.0), "started"),
        (StreamChunks(7, ["text", b"binary", Json("[1]")]), "chunks"),
        (StreamHeartbeat(), "heartbeat"),
        (StreamCompleted(9, 1.5), "completed"),
    ],
)
def test_every_event_has_its_message(event: StreamEvent, kind: str) -> None:
    assert event_to(event).WhichOneof("event") == kind


def test_every_kind_of_event_in_the_contract_is_sent() -> None:
    kinds = {field.name for field in pb.RunStreamResponse.DESCRIPTOR.oneofs_by_name["event"].fields}
    assert kinds == {"started", "chunks", "heartbeat", "completed"}


def test_an_event_keeps_what_it_says() -> None:
    started = event_to(StreamStarted("id", NOON, 0.25)).started
    assert started.invocation_id == "id"
    assert started.start_time.ToDatetime(tzinfo=UTC) == NOON
    assert started.heartbeat_interval.ToNanoseconds() == 250_000_000

    chunks = event_to(StreamChunks(7, ["text", b"binary", Json("[1]")])).chunks
    assert chunks.first_sequence == 7
    assert [(value.WhichOneof("kind")) for value in chunks.values] == ["text", "binary", "json"]

    completed = event_to(StreamCompleted(9, 1.5)).completed
    assert (completed.chunk_count, completed.elapsed.ToNanoseconds()) == (9, 1_500_000_000)


def test_every_state_of_an_invocation_has_its_value_in_the_contract() -> None:
    ours = {f"INVOCATION_STATE_{state.name}" for state in InvocationState}
    assert ours | {"INVOCATION_STATE_UNSPECIFIED"} == set(invocation_pb2.InvocationState.keys())


def test_a_running_invocation_has_no_end_and_no_failure() -> None:
    invocation = InvocationRecord(
        invocation_id="id",
        agent_id="agent",
        entrypoint_tag="tag",
        owner="whoever",
        start_time=NOON,
        state=InvocationState.RUNNING,
    )

    message = invocation_to(invocation)

    assert message.state == invocation_pb2.INVOCATION_STATE_RUNNING
    assert (message.invocation_id, message.agent_id, message.entrypoint_tag) == ("id", "agent", "tag")
    assert not message.HasField("end_time")
    assert not message.HasField("failure")
    # Whose key it was is nobody's business.
    assert "whoever" not in str(message)


def test_an_ended_invocation_tells_when_and_why() -> None:
    invocation = InvocationRecord(
        invocation_id="id",
        agent_id="agent",
        entrypoint_tag="tag",
        owner="",
        start_time=NOON,
        end_time=NOON,
        state=InvocationState.TIMED_OUT,
        cause="It timed out.",
        chunk_count=3,
        error=DeadlineExceededError("It timed out."),
    )

    message = invocation_to(invocation)

    assert message.state == invocation_pb2.INVOCATION_STATE_TIMED_OUT
    assert message.end_time.ToDatetime(tzinfo=UTC) == NOON
    assert (message.cause, message.chunk_count) == ("It timed out.", 3)
    assert (message.failure.reason, message.failure.message) == ("TIMEOUT", "It timed out.")
