"""Bodies and frames as a client writes and reads them, without a server."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client.address import Address
from runagent_grpc.client.http_failures import failure_of_frame, failure_of_response
from runagent_grpc.client.http_wire import FrameReader, agent_path, body_of, value_in, websocket_url
from runagent_grpc.contract.messages import argument_to, value_from
from runagent_grpc.errors import TABLE, RunAgentError
from tests.client_http.fakes import data, frame, structured

ADDRESS = Address(host="127.0.0.1", port=8450)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def call_of(*args: Any, **kwargs: Any) -> call_pb2.Call:
    return call_pb2.Call(
        agent_id="chat",
        entrypoint_tag="greet",
        args=[argument_to(value, "") for value in args],
        keywords=[
            call_pb2.KeywordArgument(name=name, value=argument_to(value, name)) for name, value in kwargs.items()
        ],
    )


def body_with(call: call_pb2.Call, timeout: float | None = None) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(body_of(call, timeout))
    return body


def answer(**fields: Any) -> bytes:
    return json.dumps({"success": True, "error": None, **fields}).encode()


def events_of(*frames: str | bytes) -> list[Any]:
    reader = FrameReader(ADDRESS)
    return [reader.event_of(frame) for frame in frames]


def test_a_body_holds_what_is_documented_and_no_more() -> None:
    assert body_with(call_of("Hi", times=2)) == {
        "entrypoint_tag": "greet",
        "async_execution": False,
        "input_args": ["Hi"],
        "input_kwargs": {"times": 2},
    }


def test_a_body_names_the_user_the_memory_and_the_timeout_where_there_are_any() -> None:
    call = call_of()
    call.user_id, call.persistent_memory = "ada", True
    body = body_with(call, 1.5)
    assert (body["user_id"], body["persistent_memory"], body["timeout_seconds"]) == ("ada", True, 1.5)
    assert (body["input_args"], body["input_kwargs"]) == ([], {})


def test_whole_seconds_are_sent_as_an_integer() -> None:
    assert '"timeout_seconds": 600,' in body_of(call_of(), 600.0)


def test_bytes_travel_in_base64() -> None:
    assert body_with(call_of(b"\x00\xff"))["input_args"] == ["AP8="]


@given(st.lists(JSON, max_size=3), st.dictionaries(st.text(min_size=1), JSON, max_size=3))
def test_every_value_is_in_the_body_as_it_was(args: list[Any], kwargs: dict[str, Any]) -> None:
    call = call_pb2.Call(args=[argument_to(value, "") for value in args])
    for name, value in kwargs.items():
        call.keywords.add(name=name, value=argument_to(value, ""))
    body = body_with(call)
    assert (repr(body["input_args"]), body["input_kwargs"]) == (repr(args), kwargs)
    assert list(body["input_kwargs"]) == list(kwargs)


def test_a_path_takes_any_agent_id() -> None:
    assert agent_path("a/b?c#ü", "run") == "/api/v1/agents/a%2Fb%3Fc%23%C3%BC/run"


def test_an_address_of_ipv6_becomes_a_url() -> None:
    assert websocket_url(Address(host="::1", port=1, tls=True), "/x") == "wss://[::1]:1/x"


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        (structured("[1,1.0]", "array"), [1, 1.0]),
        (structured('""', "string"), ""),
        (structured("null", "null"), None),
        (structured(str(2**70), "integer"), 2**70),
        ("no JSON at all", "no JSON at all"),
        ('{"type":"string"}', '{"type":"string"}'),
        ('{"type":"string","payload":1}', '{"type":"string","payload":1}'),
        ("", ""),
        (None, None),
        ({"a": [1]}, {"a": [1]}),
        (0, 0),
    ],
)
def test_a_result_is_unwrapped_where_it_is_wrapped(sent: Any, value: Any) -> None:
    came = value_in(ADDRESS, 200, {}, answer(data=sent))
    assert (came, type(came)) == (value, type(value))


@pytest.mark.parametrize("payload", ["{", "\ud800", "[" * 100_000])
def test_a_payload_that_is_no_json_is_an_error_of_the_server(payload: str) -> None:
    with pytest.raises(RunAgentError) as caught:
        value_in(ADDRESS, 200, {}, answer(data=structured(payload)))
    assert (caught.value.reason, caught.value.message) == (
        "INTERNAL_ERROR",
        "The server sent a value that is no JSON.",
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff", b"[" * 100_000, b'{"success":true}', b"{}"])
def test_a_200_of_something_else_is_no_runagent_server(body: bytes) -> None:
    with pytest.raises(RunAgentError, match="is not a RunAgent server") as caught:
        value_in(ADDRESS, 200, {}, body)
    assert caught.value.reason == "CONNECTION_ERROR"


def test_frames_become_the_events_of_the_contract() -> None:
    started, first, beat, second, completed = events_of(
        frame(type="status", status="stream_started", invocation_id="i"),
        data("a"),
        frame(type="status", status="heartbeat"),
        data([1]),
        frame(type="status", status="stream_completed", total_chunks=2),
    )
    assert started.started.invocation_id == "i"
    assert (first.chunks.first_sequence, value_from(first.chunks.values[0])) == (1, "a")
    assert beat.WhichOneof("event") == "heartbeat"
    assert (second.chunks.first_sequence, value_from(second.chunks.values[0])) == (2, [1])
    assert completed.completed.chunk_count == 2


def test_a_sequence_counts_where_the_server_tells_one() -> None:
    first, next_one = events_of(data("a", sequence=7), data("b"))
    assert (first.chunks.first_sequence, next_one.chunks.first_sequence) == (7, 8)


@pytest.mark.parametrize("fields", [{"status": "queued"}, {"status": None}, {}])
def test_a_status_that_is_unknown_is_a_sign_of_life(fields: dict[str, Any]) -> None:
    (event,) = events_of(frame(type="status", **fields))
    assert event.WhichOneof("event") == "heartbeat"


def test_a_type_that_is_unknown_is_a_sign_of_life() -> None:
    (event,) = events_of(frame(type="ping"))
    assert event.WhichOneof("event") == "heartbeat"


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"no": "type"}', b"\xff", "[" * 100_000])
def test_a_frame_that_is_no_object_with_a_type_is_no_runagent_servers(text: str | bytes) -> None:
    with pytest.raises(RunAgentError, match="is not a RunAgent server"):
        events_of(text)


@pytest.mark.parametrize("reason", TABLE, ids=str)
def test_a_reason_that_the_server_names_decides(reason: Any) -> None:
    row = TABLE[reason]
    told = {"code": row.code, "message": "So it is.", "reason": reason.value, "suggestion": "Do so.", "field": "x"}
    of_response = failure_of_response("here", row.http, {}, {"success": False, "error": told})
    of_frame = failure_of_frame({"type": "error", "error": "So it is.", "code": row.code, "data": told})
    for failure in (of_response, of_frame):
        assert (type(failure), failure.reason, failure.code) == (row.error, reason, row.code)
        assert (failure.message, failure.field) == ("So it is.", "x")
        assert failure.suggestion == "Do so." or (reason, row.http) == ("AUTHENTICATION_ERROR", 401)


@pytest.mark.parametrize(
    ("status", "document", "reason", "message"),
    [
        (200, {"error": {"code": "INTERNAL_ERROR", "message": "Agent execution failed: x"}}, "EXECUTION_FAILED", "x"),
        (
            200,
            {"error": {"message": "Agent execution failed: Server error running agent a-1: Streaming error: x"}},
            "EXECUTION_FAILED",
            "Streaming error: x",
        ),
        (200, {"error": "[X] y"}, "EXECUTION_FAILED", "[X] y"),
        (200, {"error": {"code": "TIMEOUT_ERROR", "message": "It timed out"}}, "TIMEOUT", "It timed out"),
        (200, {"error": {"code": "NEW", "message": "x"}}, "EXECUTION_FAILED", "x"),
        (200, {"error": None}, "CONNECTION_ERROR", None),
        (404, {"error": {"code": "NOT_FOUND", "message": "Entrypoint a not found"}}, "ENTRYPOINT_NOT_FOUND", None),
        (404, {"error": {"code": "NOT_FOUND", "message": "Agent not found"}}, "AGENT_NOT_FOUND", None),
        (404, {"error": {"code": "NOT_FOUND", "message": "Invocation i not found"}}, "INVOCATION_NOT_FOUND", None),
        (404, {"detail": "Not Found"}, "AGENT_NOT_FOUND", "Agent not found"),
        (404, None, "CONNECTION_ERROR", None),
        (
            400,
            {"error": {"message": "Can't use Streaming Entrypoint `a_stream` through non-streaming endpoint."}},
            "STREAM_ENTRYPOINT",
            None,
        ),
        (400, {"detail": "Bad."}, "MALFORMED_REQUEST", "Bad."),
        (422, {"detail": "x"}, "VALIDATION_ERROR", "x"),
        (
            422,
            {"detail": [{"loc": ["body", "input_args"], "msg": "Input should be a valid list"}]},
            "VALIDATION_ERROR",
            "`input_args`: Input should be a valid list.",
        ),
        (401, None, "AUTHENTICATION_ERROR", "The server refused the call (HTTP status 401)."),
        (403, None, "PERMISSION_ERROR", None),
        (409, {"error": {"code": "REQUEST_ID_REUSED", "message": "x"}}, "REQUEST_ID_REUSED", "x"),
        (413, None, "PAYLOAD_TOO_LARGE", None),
        (429, None, "OVERLOADED", None),
        (500, None, "CONNECTION_ERROR", None),
        (500, {"error": {"code": "INTERNAL_ERROR", "message": "x"}}, "INTERNAL_ERROR", "x"),
        (500, {"error": {"code": "INTERNAL_ERROR", "message": "Agent execution failed: x"}}, "EXECUTION_FAILED", "x"),
        (502, None, "CONNECTION_ERROR", None),
        (503, {"error": {"code": "SHUTTING_DOWN", "message": "x"}}, "SHUTTING_DOWN", "x"),
        (504, None, "CONNECTION_ERROR", None),
        (418, None, "CONNECTION_ERROR", None),
        (302, None, "CONNECTION_ERROR", None),
    ],
)
def test_a_failure_without_a_reason_is_told_by_its_text_its_code_or_its_status(
    status: int, document: Any, reason: str, message: str | None
) -> None:
    failure = failure_of_response("here", status, {}, document)
    assert failure.reason == reason
    assert message is None or failure.message == message


@pytest.mark.parametrize(
    ("fields", "reason", "message"),
    [
        ({"error": "Streaming error: x"}, "EXECUTION_FAILED", "x"),
        ({"error": "Streaming error: Agent not found"}, "EXECUTION_FAILED", "Agent not found"),
        ({"error": "Chunk serialization failed: x"}, "EXECUTION_FAILED", "Chunk serialization failed: x"),
        ({"detail": "Entrypoint a_stream not found"}, "ENTRYPOINT_NOT_FOUND", None),
        ({"detail": "Entrypoint `a` is not a streaming entrypoint. Use one."}, "NON_STREAM_ENTRYPOINT", None),
        ({"detail": "Invalid JSON format: x"}, "MALFORMED_REQUEST", None),
        ({"detail": "Missing required field: input_args"}, "VALIDATION_ERROR", None),
        ({"error": "x", "code": "TIMEOUT_ERROR"}, "TIMEOUT", "x"),
        ({"error": "x", "code": "INTERNAL_ERROR"}, "INTERNAL_ERROR", "x"),
        ({"error": {"code": "NOT_FOUND", "message": "Agent not found"}}, "AGENT_NOT_FOUND", None),
        ({}, "EXECUTION_FAILED", "The stream failed."),
    ],
)
def test_an_error_frame_is_told_by_its_text_or_its_code(
    fields: dict[str, Any], reason: str, message: str | None
) -> None:
    failure = failure_of_frame({"type": "error", **fields})
    assert failure.reason == reason
    assert message is None or failure.message == message


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), ("soon", None), ("Wed, 21 Oct 2015", None), ("-1", None)])
def test_a_server_that_says_when_to_come_back_is_heard(header: str, seconds: float | None) -> None:
    assert failure_of_response("here", 429, {"retry-after": header}, None).retry_after == seconds


@given(st.integers(100, 599), JSON, st.dictionaries(st.sampled_from(["error", "detail", "data", "success"]), JSON))
def test_whatever_a_server_answers_is_a_value_or_one_of_our_errors(status: int, body: Any, fields: Any) -> None:
    for document in (body, fields):
        with contextlib.suppress(RunAgentError):
            value_in(ADDRESS, status, {}, json.dumps(document).encode())


@given(
    st.sampled_from(["data", "status", "error", "other"]),
    st.sampled_from(["stream_started", "stream_completed", "heartbeat"]),
    st.dictionaries(
        st.sampled_from(["content", "sequence", "status", "total_chunks", "error", "data", "code", "invocation_id"]),
        JSON,
    ),
)
def test_whatever_frame_comes_is_an_event_or_one_of_our_errors(kind: str, status: str, fields: Any) -> None:
    with contextlib.suppress(RunAgentError):
        events_of(json.dumps({**fields, "type": kind}))
    with contextlib.suppress(RunAgentError):
        events_of(json.dumps({**fields, "type": "status", "status": status}))
