"""What can go wrong, in one tree of exceptions and one table.

    RunAgentError
    ├── InvalidRequestError        the caller must change the request
    ├── NotFoundError              no such agent, entrypoint or invocation
    ├── AuthenticationError        no key, or a wrong one
    ├── PermissionDeniedError      the key may not do this
    ├── ConflictError              the request_id belongs to another call
    ├── ReplayExpiredError         the chunks to resume from are gone
    ├── ResourceExhaustedError     too many, too fast or too large
    ├── UnavailableError           no server there, or one that is going away
    ├── AbortedError               the invocation, or this reader of it, was dropped
    ├── DeadlineExceededError      the time is up
    ├── InvocationCancelledError   somebody cancelled it
    ├── ExecutionFailedError       the entrypoint raised
    └── InternalError              our own fault

Every error knows its `Reason`, and `TABLE` says what a reason is called on each wire. Nothing here knows a
transport: `contract/messages.py` writes the gRPC status, the bridge writes the HTTP body (docs/design.md, errors).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Self, TypedDict, Unpack

__all__ = [
    "TABLE",
    "AbortedError",
    "AuthenticationError",
    "ConflictError",
    "DeadlineExceededError",
    "ErrorRow",
    "ExecutionFailedError",
    "InternalError",
    "InvalidRequestError",
    "InvocationCancelledError",
    "NotFoundError",
    "PermissionDeniedError",
    "Reason",
    "ReplayExpiredError",
    "ResourceExhaustedError",
    "RunAgentError",
    "UnavailableError",
    "Violation",
    "error_of",
    "reason_of_status",
]


class Reason(enum.StrEnum):
    """Why a call failed, in one word that programs can branch on."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
        return name

    MALFORMED_REQUEST = enum.auto()
    VALIDATION_ERROR = enum.auto()
    STREAM_ENTRYPOINT = enum.auto()
    """A `*_stream` tag was called for one value."""
    NON_STREAM_ENTRYPOINT = enum.auto()
    """A plain tag was called for a stream."""
    INVALID_CURSOR = enum.auto()
    """A resume from beyond the last chunk."""
    AGENT_NOT_FOUND = enum.auto()
    ENTRYPOINT_NOT_FOUND = enum.auto()
    INVOCATION_NOT_FOUND = enum.auto()
    ROUTE_NOT_FOUND = enum.auto()
    AUTHENTICATION_ERROR = enum.auto()
    PERMISSION_ERROR = enum.auto()
    REQUEST_ID_REUSED = enum.auto()
    REPLAY_EXPIRED = enum.auto()
    """A resume from before the oldest chunk that is kept."""
    OVERLOADED = enum.auto()
    RATE_LIMITED = enum.auto()
    PAYLOAD_TOO_LARGE = enum.auto()
    SHUTTING_DOWN = enum.auto()
    CONNECTION_ERROR = enum.auto()
    """Raised by clients alone: no server answers at the address."""
    STREAM_INTERRUPTED = enum.auto()
    """Raised by clients alone: a stream ended, or fell silent, without its terminal event."""
    INVOCATION_LOST = enum.auto()
    """The process that ran the invocation died."""
    READER_REPLACED = enum.auto()
    """Another reader took the stream over."""
    TIMEOUT = enum.auto()
    CANCELLED = enum.auto()
    EXECUTION_FAILED = enum.auto()
    INTERNAL_ERROR = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One argument or field that does not fit."""

    field: str
    description: str


class _Fields(TypedDict, total=False):
    message: str
    reason: Reason
    suggestion: str | None
    details: str | None
    violations: tuple[Violation, ...]
    retry_after: float | None
    invocation_id: str | None


class RunAgentError(Exception):
    """The base of every error that this package raises to a caller.

    An error is a value: to say more, or something else, `replace` makes another one.
    """

    default_reason = Reason.INTERNAL_ERROR

    def __init__(
        self,
        message: str,
        *,
        reason: Reason | None = None,
        suggestion: str | None = None,
        details: str | None = None,
        violations: tuple[Violation, ...] = (),
        retry_after: float | None = None,
        invocation_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message: Final = message
        """What went wrong, for a person."""
        self.reason: Final = reason or self.default_reason
        """What went wrong, for a program."""
        self.suggestion: Final = suggestion
        """What to do about it, where there is something to do."""
        self.details: Final = details
        """More about it, such as what the transport said."""
        self.violations: Final = violations
        """The arguments that do not fit, where that is the trouble."""
        self.retry_after: Final = retry_after
        """After how many seconds a repeated call may fare better."""
        self.invocation_id: Final = invocation_id
        """The invocation that failed, where one had started."""

    def replace(self, **changes: Unpack[_Fields]) -> Self:
        """Returns an error like this one but for the changes, with the same cause and the same traceback."""
        fields: _Fields = {
            "message": self.message,
            "reason": self.reason,
            "suggestion": self.suggestion,
            "details": self.details,
            "violations": self.violations,
            "retry_after": self.retry_after,
            "invocation_id": self.invocation_id,
        }
        error = type(self)(**(fields | changes))
        error.__cause__ = self.__cause__
        return error.with_traceback(self.__traceback__)

    @property
    def code(self) -> str:
        """The documented code, such as "NOT_FOUND": coarser than the reason (docs/wire.md, errors)."""
        return TABLE[self.reason].code

    @property
    def field(self) -> str | None:
        """The first argument that does not fit."""
        return self.violations[0].field if self.violations else None


class InvalidRequestError(RunAgentError):
    default_reason = Reason.VALIDATION_ERROR

    @classmethod
    def of_field(
        cls, field: str, description: str, *, message: str | None = None, reason: Reason | None = None
    ) -> InvalidRequestError:
        """Returns the error of one field or option that cannot be.

        `message` is the error's own, where it is to be another than the field's name and the description.
        """
        violation = Violation(field=field, description=description)
        return cls(message or f"`{field}`: {description}", reason=reason, violations=(violation,))

    @classmethod
    def of_argument(
        cls, field: str, description: str, *, reason: Reason = Reason.VALIDATION_ERROR
    ) -> InvalidRequestError:
        """Returns the error of one argument of a call."""
        violation = Violation(field=field, description=description)
        return cls(f"Argument `{field}`: {description}", reason=reason, violations=(violation,))


class NotFoundError(RunAgentError):
    default_reason = Reason.AGENT_NOT_FOUND


class AuthenticationError(RunAgentError):
    default_reason = Reason.AUTHENTICATION_ERROR


class PermissionDeniedError(RunAgentError):
    default_reason = Reason.PERMISSION_ERROR


class ConflictError(RunAgentError):
    default_reason = Reason.REQUEST_ID_REUSED


class ReplayExpiredError(RunAgentError):
    default_reason = Reason.REPLAY_EXPIRED


class ResourceExhaustedError(RunAgentError):
    default_reason = Reason.OVERLOADED


class UnavailableError(RunAgentError):
    default_reason = Reason.CONNECTION_ERROR


class AbortedError(RunAgentError):
    default_reason = Reason.INVOCATION_LOST


class DeadlineExceededError(RunAgentError):
    default_reason = Reason.TIMEOUT


class InvocationCancelledError(RunAgentError):
    default_reason = Reason.CANCELLED


class ExecutionFailedError(RunAgentError):
    default_reason = Reason.EXECUTION_FAILED


class InternalError(RunAgentError):
    default_reason = Reason.INTERNAL_ERROR


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """What a reason is called on each wire."""

    error: type[RunAgentError]
    grpc: str
    """The name of the gRPC status code."""
    http: int
    """The HTTP status. 200 means a body with `success: false`, as published clients expect it."""
    code: str
    """The documented code."""


# One row a reason. The first row of a gRPC status also speaks for that status when it arrives bare, raised by gRPC
# itself or by a proxy, without our details.
TABLE: dict[Reason, ErrorRow] = {
    Reason.VALIDATION_ERROR: ErrorRow(InvalidRequestError, "INVALID_ARGUMENT", 422, "VALIDATION_ERROR"),
    Reason.MALFORMED_REQUEST: ErrorRow(InvalidRequestError, "INVALID_ARGUMENT", 400, "VALIDATION_ERROR"),
    Reason.STREAM_ENTRYPOINT: ErrorRow(InvalidRequestError, "INVALID_ARGUMENT", 400, "VALIDATION_ERROR"),
    Reason.NON_STREAM_ENTRYPOINT: ErrorRow(InvalidRequestError, "INVALID_ARGUMENT", 400, "VALIDATION_ERROR"),
    Reason.INVALID_CURSOR: ErrorRow(InvalidRequestError, "INVALID_ARGUMENT", 400, "VALIDATION_ERROR"),
    Reason.AGENT_NOT_FOUND: ErrorRow(NotFoundError, "NOT_FOUND", 404, "NOT_FOUND"),
    Reason.ENTRYPOINT_NOT_FOUND: ErrorRow(NotFoundError, "NOT_FOUND", 404, "NOT_FOUND"),
    Reason.INVOCATION_NOT_FOUND: ErrorRow(NotFoundError, "NOT_FOUND", 404, "NOT_FOUND"),
    Reason.ROUTE_NOT_FOUND: ErrorRow(NotFoundError, "NOT_FOUND", 404, "NOT_FOUND"),
    Reason.AUTHENTICATION_ERROR: ErrorRow(AuthenticationError, "UNAUTHENTICATED", 401, "AUTHENTICATION_ERROR"),
    Reason.PERMISSION_ERROR: ErrorRow(PermissionDeniedError, "PERMISSION_DENIED", 403, "PERMISSION_ERROR"),
    Reason.REQUEST_ID_REUSED: ErrorRow(ConflictError, "ALREADY_EXISTS", 409, "REQUEST_ID_REUSED"),
    Reason.REPLAY_EXPIRED: ErrorRow(ReplayExpiredError, "OUT_OF_RANGE", 410, "REPLAY_EXPIRED"),
    # gRPC raises RESOURCE_EXHAUSTED itself for a message over the limit.
    Reason.PAYLOAD_TOO_LARGE: ErrorRow(ResourceExhaustedError, "RESOURCE_EXHAUSTED", 413, "PAYLOAD_TOO_LARGE"),
    Reason.OVERLOADED: ErrorRow(ResourceExhaustedError, "RESOURCE_EXHAUSTED", 429, "OVERLOADED"),
    Reason.RATE_LIMITED: ErrorRow(ResourceExhaustedError, "RESOURCE_EXHAUSTED", 429, "RATE_LIMITED"),
    Reason.CONNECTION_ERROR: ErrorRow(UnavailableError, "UNAVAILABLE", 503, "CONNECTION_ERROR"),
    Reason.STREAM_INTERRUPTED: ErrorRow(UnavailableError, "UNAVAILABLE", 503, "CONNECTION_ERROR"),
    Reason.SHUTTING_DOWN: ErrorRow(UnavailableError, "UNAVAILABLE", 503, "SHUTTING_DOWN"),
    Reason.INVOCATION_LOST: ErrorRow(AbortedError, "ABORTED", 500, "INVOCATION_LOST"),
    Reason.READER_REPLACED: ErrorRow(AbortedError, "ABORTED", 500, "READER_REPLACED"),
    Reason.TIMEOUT: ErrorRow(DeadlineExceededError, "DEADLINE_EXCEEDED", 200, "TIMEOUT_ERROR"),
    Reason.CANCELLED: ErrorRow(InvocationCancelledError, "CANCELLED", 499, "CANCELLED"),
    Reason.INTERNAL_ERROR: ErrorRow(InternalError, "INTERNAL", 500, "INTERNAL_ERROR"),
    Reason.EXECUTION_FAILED: ErrorRow(ExecutionFailedError, "UNKNOWN", 200, "INTERNAL_ERROR"),
}


def error_of(
    reason: Reason,
    message: str,
    *,
    suggestion: str | None = None,
    details: str | None = None,
    violations: tuple[Violation, ...] = (),
    retry_after: float | None = None,
    invocation_id: str | None = None,
) -> RunAgentError:
    """Builds the error of the class that the table names for `reason`."""
    return TABLE[reason].error(
        message,
        reason=reason,
        suggestion=suggestion,
        details=details,
        violations=violations,
        retry_after=retry_after,
        invocation_id=invocation_id,
    )


def reason_of_status(grpc_status: str) -> Reason:
    """Returns what a bare gRPC status means; a bare UNKNOWN, and one that the table lacks, is an internal error."""
    if grpc_status != TABLE[Reason.EXECUTION_FAILED].grpc:
        for reason, row in TABLE.items():
            if row.grpc == grpc_status:
                return reason
    return Reason.INTERNAL_ERROR
