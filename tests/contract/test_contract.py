from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePosixPath
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc._gen.runagent.v1 import payload_pb2
from runagent_grpc.contract.messages import (
    ERROR_DOMAIN,
    MAX_STATUS_BYTES,
    argument_from,
    argument_to,
    chunks_to,
    duration_to,
    error_from,
    payload_to,
    seconds_from,
    status_to,
    timestamp_to,
    value_from,
)
from runagent_grpc.errors import TABLE, InvalidRequestError, Reason, RunAgentError, Violation, error_of
from runagent_grpc.values.payload import Json, argument_value, encode

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NUMBERS = st.integers() | st.integers(-(10**4300) + 1, 10**4300 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def wired(message: payload_pb2.Payload) -> payload_pb2.Payload:
    return payload_pb2.Payload.FromString(message.SerializeToString())


@given(JSON_VALUES | st.binary(max_size=20))
def test_a_value_comes_through_a_message_as_it_was(value: Any) -> None:
    as_argument = argument_value(argument_from(wired(argument_to(value, "a")), "a"), "a")
    as_result = value_from(wired(payload_to(encode(value))))

    # By their forms, for 1 == 1.0 == True.
    assert repr(as_argument) == repr(as_result) == repr(value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("1", "text"), ("", "text"), (b"", "binary"), (None, "json"), (1, "json"), ({}, "json"), (math.inf, "text")],
    ids=repr,
)
def test_each_kind_of_value_has_its_field(value: Any, kind: str) -> None:
    assert wired(payload_to(encode(value))).WhichOneof("kind") == kind


def test_payloads_become_messages_in_their_order() -> None:
    kinds = [message.WhichOneof("kind") for message in chunks_to(1, ["a", Json("1"), b"b"]).chunks.values]

    assert kinds == ["text", "json", "binary"]


def test_a_result_of_an_unknown_kind_is_none() -> None:
    # Field 15 stands for a kind that a later version may add.
    assert value_from(payload_pb2.Payload.FromString(b"\x7a\x01x")) is None
    assert value_from(payload_pb2.Payload()) is None


@pytest.mark.parametrize("message", [payload_pb2.Payload(), payload_pb2.Payload.FromString(b"\x7a\x01x")])
def test_an_argument_of_no_kind_is_refused(message: payload_pb2.Payload) -> None:
    with pytest.raises(InvalidRequestError, match="no kind set") as caught:
        argument_from(message, "kwargs.a")

    assert (caught.value.reason, caught.value.field) == (Reason.VALIDATION_ERROR, "kwargs.a")


@pytest.mark.parametrize(
    ("json", "reason"),
    [
        ("", Reason.MALFORMED_REQUEST),
        ("NaN", Reason.MALFORMED_REQUEST),
        ("[" * 100_000, Reason.VALIDATION_ERROR),
        ("9" * 10**6, Reason.VALIDATION_ERROR),
        ('{"a":1,"a":1}', Reason.VALIDATION_ERROR),
        ('"\\ud800"', Reason.VALIDATION_ERROR),
    ],
    ids=["nothing", "NaN", "deep", "long", "twice", "surrogate"],
)
def test_an_argument_that_is_no_good_json_is_refused_by_its_name(json: str, reason: Reason) -> None:
    with pytest.raises(InvalidRequestError, match=r"^Argument `args\[3\]`: .*\.$") as caught:
        argument_value(argument_from(payload_pb2.Payload(json=json), "args[3]"), "args[3]")

    assert (caught.value.reason, caught.value.field) == (reason, "args[3]")


@pytest.mark.parametrize(
    "value",
    ["\ud800", PurePosixPath("\udcff"), ["\ud800"], 10**4300, {10**4300: 1}],
    ids=["surrogate", "path", "nested surrogate", "integer", "key"],
)
def test_an_argument_that_cannot_travel_is_refused_by_its_name(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match=r"^Argument `a`: ") as caught:
        argument_to(value, "a")

    assert caught.value.field == "a"


@given(st.floats(0, 3e9) | st.integers(0, 10**9))
def test_a_duration_keeps_its_microseconds(seconds: float) -> None:
    assert seconds_from(duration_to(seconds)) == pytest.approx(seconds, abs=1e-6)


def test_a_time_travels_in_utc_to_the_microsecond() -> None:
    moment = datetime(2024, 2, 29, 1, 2, 3, 456789, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    assert timestamp_to(moment).ToDatetime(tzinfo=UTC) == moment


def fields_of(error: RunAgentError) -> dict[str, Any]:
    return vars(error) | {"type": type(error)}


def through_a_status(error: RunAgentError) -> RunAgentError:
    """Sends an error as a server does, and reads it as a client does."""
    status = rpc_status.to_status(status_to(error))
    [(key, details)] = status.trailing_metadata
    assert key == "grpc-status-details-bin"
    assert isinstance(details, bytes)
    return error_from(status.code.name, status.details, details)


@pytest.mark.parametrize("reason", Reason)
def test_an_error_of_each_reason_comes_through_a_status(reason: Reason) -> None:
    error = error_of(
        reason,
        "Das geht nicht: ☃.",
        suggestion="Versuch es später.",
        details="ValueError",
        violations=(Violation(field="größe", description="Zu groß."), Violation(field="b[0].c", description="Fehlt.")),
        retry_after=1.25,
    )

    assert fields_of(through_a_status(error)) == fields_of(error)
    assert fields_of(through_a_status(error_of(reason, "No more."))) == fields_of(error_of(reason, "No more."))


@pytest.mark.parametrize("reason", Reason)
def test_a_status_carries_one_error_info_and_the_code_of_the_table(reason: Reason) -> None:
    status = status_to(error_of(reason, "No."))
    info = error_details_pb2.ErrorInfo()

    assert status.code == grpc.StatusCode[TABLE[reason].grpc].value[0]
    assert len(status.details) == 1
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason.value, ERROR_DOMAIN, {})


def test_details_that_do_not_apply_are_left_out() -> None:
    error = error_of(Reason.OVERLOADED, "No.", retry_after=0.0, violations=(Violation(field="a", description="b"),))

    types = [detail.TypeName() for detail in status_to(error).details]

    assert types == ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.rpc.RetryInfo"]


@pytest.mark.parametrize("letter", ["a", "é", "☃", "😀"])
@pytest.mark.parametrize("extra", range(4))
def test_a_long_text_is_cut_where_a_character_ends(letter: str, extra: int) -> None:
    text = "x" * extra + letter * 2000

    message = status_to(error_of(Reason.EXECUTION_FAILED, text)).message

    assert MAX_STATUS_BYTES - 6 <= len(message.encode()) <= MAX_STATUS_BYTES
    assert message.endswith("...")
    assert text.startswith(message[:-3])


def test_a_text_that_just_fits_is_not_cut() -> None:
    text = "é" * (MAX_STATUS_BYTES // 2)

    assert status_to(error_of(Reason.EXECUTION_FAILED, text)).message == text


def test_a_text_that_no_utf_8_can_hold_still_arrives() -> None:
    assert through_a_status(error_of(Reason.EXECUTION_FAILED, "a\ud800b")).message == "a?b"


@pytest.mark.parametrize("letter", ["a", "é", "☃", "😀"])
def test_the_trailers_of_the_largest_error_stay_below_8_kib(letter: str) -> None:
    violations = tuple(Violation(field=letter * 500, description=letter * 500) for _ in range(1000))
    error = error_of(
        Reason.VALIDATION_ERROR,
        letter * 5000,
        suggestion=letter * 5000,
        details=letter * 5000,
        violations=violations,
        retry_after=1.0,
    )
    status = status_to(error)

    percent_encoded = sum(1 if letter.isascii() else 3 for _ in status.message.encode())
    in_base64 = len(status.SerializeToString()) * 4 / 3

    # gRPC begins to refuse metadata there, at random; 400 bytes are left for other trailers.
    assert percent_encoded + in_base64 < 8192 - 400
    assert through_a_status(error).violations


def packed(message: Any) -> AnyMessage:
    detail = AnyMessage()
    detail.Pack(message)
    return detail


def status_of(*details: AnyMessage) -> bytes:
    data: bytes = status_pb2.Status(code=3, message="Not used.", details=details).SerializeToString()
    return data


INFO = packed(error_details_pb2.ErrorInfo(reason="TIMEOUT", domain=ERROR_DOMAIN))
GARBAGE: dict[str, bytes] = {
    "nothing": b"",
    "no message": b"\xff\xff\xff",
    "half a message": status_of(INFO)[:-3],
    "no details": status_of(),
    "detail of no type": status_of(AnyMessage(type_url="", value=b"\xff")),
    "detail of an unknown type": status_of(AnyMessage(type_url="type.googleapis.com/x.Y", value=b"\xff")),
    "broken ErrorInfo": status_of(AnyMessage(type_url=INFO.type_url, value=b"\xff\xff")),
    "broken BadRequest": status_of(AnyMessage(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\x0a\x09")),
    "broken RetryInfo": status_of(AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\x0a\x09")),
    "another's domain": status_of(packed(error_details_pb2.ErrorInfo(reason="TIMEOUT", domain="example.com"))),
    "reason of a later version": status_of(packed(error_details_pb2.ErrorInfo(reason="NEW", domain=ERROR_DOMAIN))),
}


@pytest.mark.parametrize("details", GARBAGE.values(), ids=GARBAGE)
def test_details_that_say_nothing_leave_the_bare_status(details: bytes) -> None:
    error = error_from("NOT_FOUND", "Not here.", details)

    assert fields_of(error) == fields_of(error_of(Reason.AGENT_NOT_FOUND, "Not here."))


def test_one_broken_detail_does_not_cost_the_others() -> None:
    broken = AnyMessage(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\x0a\x09")
    delay = packed(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2)))

    error = error_from("INTERNAL", "Late.", status_of(broken, INFO, delay))

    assert (error.reason, error.retry_after, error.violations) == (Reason.TIMEOUT, 2.0, ())


@given(st.binary(max_size=100))
def test_no_bytes_of_a_peer_break_the_reading_of_an_error(details: bytes) -> None:
    assert isinstance(error_from("ABORTED", "Gone.", details), RunAgentError)


@pytest.mark.parametrize(
    ("status", "reason"), [("UNKNOWN", "INTERNAL_ERROR"), ("RESOURCE_EXHAUSTED", "PAYLOAD_TOO_LARGE"), ("X", None)]
)
def test_a_bare_status_is_mapped_by_the_table(status: str, reason: str | None) -> None:
    error = error_from(status, None, None, invocation_id="an-id")

    assert error.reason == Reason(reason or "INTERNAL_ERROR")
    assert (error.message, error.invocation_id) == (status, "an-id")
