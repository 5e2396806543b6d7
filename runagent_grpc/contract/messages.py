"""The one place where values, calls and errors become messages of `runagent.v1`, and the other way round."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import payload_pb2
from runagent_grpc.errors import (
    TABLE,
    InternalError,
    InvalidRequestError,
    Reason,
    RunAgentError,
    Violation,
    error_of,
    reason_of_status,
)
from runagent_grpc.values.payload import Json, Payload, decode, encode

__all__ = [
    "ERROR_DOMAIN",
    "INVOCATION_ID_METADATA",
    "MAX_MESSAGE_BYTES",
    "MAX_STATUS_BYTES",
    "STATUS_DETAILS_METADATA",
    "argument_from",
    "argument_to",
    "chunks_to",
    "duration_to",
    "error_from",
    "moment_from",
    "payload_to",
    "seconds_from",
    "status_to",
    "timestamp_to",
    "value_from",
]

ERROR_DOMAIN = "runagent.dev"
"""The domain of our reasons, in google.rpc.ErrorInfo."""

INVOCATION_ID_METADATA = "x-invocation-id"
"""The initial metadata that names the invocation."""

STATUS_DETAILS_METADATA = "grpc-status-details-bin"
"""The trailing metadata that carries a google.rpc.Status."""

MAX_MESSAGE_BYTES = 32 * 1024 * 1024
"""The largest message that servers and clients of this package send and take. gRPC's own default is 4 MiB."""

MAX_STATUS_BYTES = 1024
"""Where a status's text is cut: trailers of 8 KB break some peers."""

# A status's text travels twice: percent-encoded, and in its details, which proxies see in base64. All of that, at its
# largest, has to stay below 8 KiB, where gRPC begins to refuse metadata by the throw of a die.
_MAX_SUGGESTION_BYTES = 512
_MAX_DETAILS_BYTES = 128
_MAX_VIOLATIONS_BYTES = 1536


def payload_to(payload: Payload) -> payload_pb2.Payload:
    """Returns the message that carries a payload."""
    return payload_pb2.Payload(**_fields_of(payload))


def chunks_to(first_sequence: int, payloads: Iterable[Payload]) -> pb.RunStreamResponse:
    """Returns the event of a stream that carries consecutive chunks."""
    # Made of dicts in one go: a message made of messages copies each of them, at five times the price.
    chunks: Any = {"first_sequence": first_sequence, "values": [_fields_of(payload) for payload in payloads]}
    return pb.RunStreamResponse(chunks=chunks)


def value_from(message: payload_pb2.Payload) -> Any:
    """Returns the value of a result or a chunk. One of no kind, or of a kind yet unknown, is None.

    Raises InternalError for what is no JSON, which only a server that is broken sends.
    """
    # Most are text, and reading it costs a third of asking which kind is set.
    if text := message.text:
        return text
    match message.WhichOneof("kind"):
        case "json":
            return _decoded(message.json)
        case "binary":
            return message.binary
        case "text":
            return text
    return None


def argument_from(message: payload_pb2.Payload, field: str) -> Payload:
    """Returns an argument's payload. Raises InvalidRequestError, naming `field`, for one of no kind."""
    match message.WhichOneof("kind"):
        case "text":
            return message.text
        case "binary":
            return message.binary
        case "json":
            return Json(message.json)
    raise InvalidRequestError.of_argument(field, "The payload has no kind set; set text, json or binary.")


def argument_to(value: Any, field: str) -> payload_pb2.Payload:
    """Returns the message of an argument. Raises InvalidRequestError, naming `field`, where the value cannot travel."""
    try:
        return payload_to(encode(value, surrogates="refuse"))
    except InvalidRequestError as error:
        raise InvalidRequestError.of_argument(field, error.message, reason=error.reason) from None


def duration_to(seconds: float) -> Duration:
    """Returns a duration, to the nanosecond that a double can tell."""
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration


def seconds_from(duration: Duration) -> float:
    """Returns a duration's seconds."""
    return duration.seconds + duration.nanos / 1e9


def timestamp_to(moment: datetime) -> Timestamp:
    """Returns a moment, which knows its time zone."""
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def moment_from(timestamp: Timestamp) -> datetime:
    """Returns a moment, in UTC."""
    return timestamp.ToDatetime(UTC)


def status_to(error: RunAgentError) -> status_pb2.Status:
    """Returns the status that carries an error: its text, cut, and the details that a program needs."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN)
    if error.suggestion:
        info.metadata["suggestion"] = _cut(error.suggestion, _MAX_SUGGESTION_BYTES)
    if error.details:
        info.metadata["details"] = _cut(error.details, _MAX_DETAILS_BYTES)
    details: list[Any] = [info]
    if error.violations:
        details.append(_bad_request(error.violations))
    if error.retry_after is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=duration_to(error.retry_after)))
    code, _ = grpc.StatusCode[TABLE[error.reason].grpc].value
    return status_pb2.Status(code=code, message=_cut(error.message), details=[_packed(detail) for detail in details])


def error_from(
    grpc_status: str, text: str | None, details: bytes | None, *, invocation_id: str | None = None
) -> RunAgentError:
    """Returns the error that a failed call's status carries, or what its bare code says by the same table.

    `grpc_status` is the code's name, `details` the trailing metadata "grpc-status-details-bin".
    """
    reason, suggestion, more, retry_after = None, None, None, None
    violations: tuple[Violation, ...] = ()
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in _parsed(details).details:
        if _unpacks(detail, info) and info.domain == ERROR_DOMAIN and info.reason in Reason.__members__:
            reason = Reason(info.reason)
            suggestion, more = info.metadata.get("suggestion"), info.metadata.get("details")
        elif _unpacks(detail, bad_request):
            violations = tuple(
                Violation(field=violation.field, description=violation.description)
                for violation in bad_request.field_violations
            )
        elif _unpacks(detail, retry):
            retry_after = seconds_from(retry.retry_delay)
    return error_of(
        reason or reason_of_status(grpc_status),
        text or grpc_status,
        suggestion=suggestion,
        details=more,
        violations=violations,
        retry_after=retry_after,
        invocation_id=invocation_id,
    )


def _decoded(text: str) -> Any:
    try:
        return decode(Json(text))
    except (ValueError, RecursionError) as error:
        raise InternalError("The server sent a value that is no JSON.", details=str(error)) from None


_KINDS: dict[type, str] = {str: "text", Json: "json", bytes: "binary"}


def _fields_of(payload: Payload) -> dict[str, Any]:
    return {_KINDS[type(payload)]: payload}


def _bad_request(violations: tuple[Violation, ...]) -> error_details_pb2.BadRequest:
    """Returns the first violations, as many as there is room for."""
    message = error_details_pb2.BadRequest()
    for violation in violations:
        message.field_violations.add(field=_cut(violation.field, 100), description=_cut(violation.description, 200))
        if message.ByteSize() > _MAX_VIOLATIONS_BYTES:
            del message.field_violations[-1]
            break
    return message


def _packed(message: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _unpacks(detail: AnyMessage, message: Any) -> bool:
    """Whether a detail is of the message's type and can be read, into the message."""
    try:
        return detail.Unpack(message)
    except DecodeError:
        return False


def _parsed(details: bytes | None) -> status_pb2.Status:
    try:
        return status_pb2.Status.FromString(details or b"")
    except DecodeError:
        return status_pb2.Status()


def _cut(text: str, limit: int = MAX_STATUS_BYTES) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - 3].decode("utf-8", "ignore") + "..."
