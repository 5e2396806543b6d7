from __future__ import annotations

import copy
import pickle
from typing import Any

import grpc
import pytest

from runagent_grpc import errors
from runagent_grpc.errors import TABLE, Reason, RunAgentError, Violation, error_of, reason_of_status

# The table of docs/design.md, errors, written down once more: reason, class, gRPC status, HTTP status, code.
DOCUMENTED = """
VALIDATION_ERROR      InvalidRequestError       INVALID_ARGUMENT    422  VALIDATION_ERROR
MALFORMED_REQUEST     InvalidRequestError       INVALID_ARGUMENT    400  VALIDATION_ERROR
STREAM_ENTRYPOINT     InvalidRequestError       INVALID_ARGUMENT    400  VALIDATION_ERROR
NON_STREAM_ENTRYPOINT InvalidRequestError       INVALID_ARGUMENT    400  VALIDATION_ERROR
INVALID_CURSOR        InvalidRequestError       INVALID_ARGUMENT    400  VALIDATION_ERROR
AGENT_NOT_FOUND       NotFoundError             NOT_FOUND           404  NOT_FOUND
ENTRYPOINT_NOT_FOUND  NotFoundError             NOT_FOUND           404  NOT_FOUND
INVOCATION_NOT_FOUND  NotFoundError             NOT_FOUND           404  NOT_FOUND
ROUTE_NOT_FOUND       NotFoundError             NOT_FOUND           404  NOT_FOUND
AUTHENTICATION_ERROR  AuthenticationError       UNAUTHENTICATED     401  AUTHENTICATION_ERROR
PERMISSION_ERROR      PermissionDeniedError     PERMISSION_DENIED   403  PERMISSION_ERROR
REQUEST_ID_REUSED     ConflictError             ALREADY_EXISTS      409  REQUEST_ID_REUSED
REPLAY_EXPIRED        ReplayExpiredError        OUT_OF_RANGE        410  REPLAY_EXPIRED
OVERLOADED            ResourceExhaustedError    RESOURCE_EXHAUSTED  429  OVERLOADED
RATE_LIMITED          ResourceExhaustedError    RESOURCE_EXHAUSTED  429  RATE_LIMITED
PAYLOAD_TOO_LARGE     ResourceExhaustedError    RESOURCE_EXHAUSTED  413  PAYLOAD_TOO_LARGE
SHUTTING_DOWN         UnavailableError          UNAVAILABLE         503  SHUTTING_DOWN
CONNECTION_ERROR      UnavailableError          UNAVAILABLE         503  CONNECTION_ERROR
STREAM_INTERRUPTED    UnavailableError          UNAVAILABLE         503  CONNECTION_ERROR
INVOCATION_LOST       AbortedError              ABORTED             500  INVOCATION_LOST
READER_REPLACED       AbortedError              ABORTED             500  READER_REPLACED
TIMEOUT               DeadlineExceededError     DEADLINE_EXCEEDED   200  TIMEOUT_ERROR
CANCELLED             InvocationCancelledError  CANCELLED           499  CANCELLED
EXECUTION_FAILED      ExecutionFailedError      UNKNOWN             200  INTERNAL_ERROR
INTERNAL_ERROR        InternalError             INTERNAL            500  INTERNAL_ERROR
"""
ROWS = [line.split() for line in DOCUMENTED.strip().splitlines()]

BARE_STATUSES = {
    "INVALID_ARGUMENT": Reason.VALIDATION_ERROR,
    "NOT_FOUND": Reason.AGENT_NOT_FOUND,
    "UNAUTHENTICATED": Reason.AUTHENTICATION_ERROR,
    "PERMISSION_DENIED": Reason.PERMISSION_ERROR,
    "ALREADY_EXISTS": Reason.REQUEST_ID_REUSED,
    "OUT_OF_RANGE": Reason.REPLAY_EXPIRED,
    "RESOURCE_EXHAUSTED": Reason.PAYLOAD_TOO_LARGE,
    "UNAVAILABLE": Reason.CONNECTION_ERROR,
    "ABORTED": Reason.INVOCATION_LOST,
    "DEADLINE_EXCEEDED": Reason.TIMEOUT,
    "CANCELLED": Reason.CANCELLED,
    # Of an entrypoint that raised, our servers say so; a bare one comes from somebody else.
    "UNKNOWN": Reason.INTERNAL_ERROR,
    "INTERNAL": Reason.INTERNAL_ERROR,
    "UNIMPLEMENTED": Reason.INTERNAL_ERROR,
    "FAILED_PRECONDITION": Reason.INTERNAL_ERROR,
    "DATA_LOSS": Reason.INTERNAL_ERROR,
    "OK": Reason.INTERNAL_ERROR,
}


def test_every_reason_has_its_row() -> None:
    assert set(TABLE) == set(Reason) == {Reason[name] for name, *_ in ROWS}


@pytest.mark.parametrize(("name", "class_name", "status", "http", "code"), ROWS, ids=[row[0] for row in ROWS])
def test_a_reason_is_called_on_each_wire_as_documented(
    name: str, class_name: str, status: str, http: str, code: str
) -> None:
    reason = Reason(name)
    row = TABLE[reason]
    error = error_of(reason, "A message.")

    assert row.error is type(error) is getattr(errors, class_name)
    assert (row.grpc, row.http, row.code) == (status, int(http), code)
    assert (error.reason, error.code, error.message, str(error)) == (reason, code, "A message.", "A message.")
    assert reason == name == str(reason)
    assert status in grpc.StatusCode.__members__


def test_every_class_of_the_tree_is_public_and_has_a_default_of_its_own_row() -> None:
    classes = RunAgentError.__subclasses__()

    assert {row.error for row in TABLE.values()} == set(classes)
    for error_class in classes:
        assert error_class.__name__ in errors.__all__
        assert TABLE[error_class("A message.").reason].error is error_class


@pytest.mark.parametrize("status", grpc.StatusCode.__members__)
def test_a_bare_status_means_what_the_table_says(status: str) -> None:
    assert reason_of_status(status) is BARE_STATUSES[status]


def test_a_status_of_a_future_grpc_is_an_internal_error() -> None:
    assert reason_of_status("TEAPOT") is Reason.INTERNAL_ERROR


def test_an_error_names_the_first_field_that_does_not_fit() -> None:
    violations = (Violation(field="a", description="Missing."), Violation(field="b", description="Missing."))

    assert errors.InvalidRequestError("Two are missing.", violations=violations).field == "a"
    assert errors.InvalidRequestError("All are there.").field is None


def test_the_error_of_one_field_names_it_and_may_have_a_message_and_a_reason_of_its_own() -> None:
    error = errors.InvalidRequestError.of_field("a", "Missing.")
    assert (error.message, error.reason) == ("`a`: Missing.", Reason.VALIDATION_ERROR)
    assert error.violations == (Violation(field="a", description="Missing."),)

    error = errors.InvalidRequestError.of_field("a", "Missing.", message="Say a.", reason=Reason.INVALID_CURSOR)
    assert (error.message, error.field, error.reason) == ("Say a.", "a", Reason.INVALID_CURSOR)


def full_error() -> RunAgentError:
    return error_of(
        Reason.RATE_LIMITED,
        "Too fast.",
        suggestion="Slow down.",
        details="429",
        violations=(Violation(field="a", description="b"),),
        retry_after=1.5,
        invocation_id="an-id",
    )


def test_an_error_is_replaced_by_one_that_differs_in_what_changed_alone() -> None:
    error = full_error()
    error.__cause__ = cause = ValueError("The cause.")
    before = dict(vars(error))
    later = error.replace(message="Far too fast.", invocation_id="another-id")

    assert vars(error) == before
    assert type(later) is type(error)
    assert (str(later), later.args) == ("Far too fast.", ("Far too fast.",))
    assert vars(later) == vars(error) | {"message": "Far too fast.", "invocation_id": "another-id"}
    assert later.__cause__ is cause


def test_a_replaced_error_keeps_its_traceback() -> None:
    try:
        raise full_error()
    except RunAgentError as raised:
        error = raised

    assert error.replace(retry_after=None).__traceback__ is error.__traceback__ is not None


def fields_of(error: RunAgentError) -> tuple[Any, ...]:
    return (type(error), error.args, vars(error))


def test_an_error_survives_a_copy_and_a_process_boundary() -> None:
    error = full_error()

    assert fields_of(copy.copy(error)) == fields_of(error)
    assert fields_of(pickle.loads(pickle.dumps(error))) == fields_of(error)  # noqa: S301 - its own bytes
