"""What a failed RPC means to the caller of a client, and what goes wrong on any wire."""

from __future__ import annotations

from typing import Any, Protocol

import grpc

from runagent_grpc.contract import STATUS_DETAILS_METADATA, error_from
from runagent_grpc.errors import (
    DeadlineExceededError,
    InvocationCancelledError,
    RunAgentError,
    UnavailableError,
)

__all__ = ["closed_meanwhile", "failure_from", "metadata_value", "nobody_answers", "timed_out"]


# How gRPC's texts say that somebody answered, with something that is no HTTP/2. The status alone does not tell.
_SPEAKS_SOMETHING_ELSE = ("HTTP/2", "http1.x")


class _FailedCall(Protocol):
    """What sync and async RPC errors have in common."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...

    def trailing_metadata(self) -> Any: ...


def failure_from(call: _FailedCall, *, address: str, timeout: float | None) -> RunAgentError:
    """Returns the error of a failed RPC: the one that the server told, else what the bare status says."""
    code, text = call.code(), call.details() or ""
    details = metadata_value(call.trailing_metadata(), STATUS_DETAILS_METADATA)
    if isinstance(details, bytes):
        return error_from(code.name, text, details)
    match code:
        case grpc.StatusCode.DEADLINE_EXCEEDED if timeout is not None:
            return timed_out(timeout, text)
        case grpc.StatusCode.UNAVAILABLE if not any(phrase in text for phrase in _SPEAKS_SOMETHING_ELSE):
            return nobody_answers(address, text)
        case (
            grpc.StatusCode.UNAVAILABLE
            | grpc.StatusCode.UNIMPLEMENTED
            | grpc.StatusCode.UNKNOWN
            | grpc.StatusCode.INTERNAL
        ):
            # Something else listens there: an HTTP server, a proxy, a gRPC server of another kind.
            return UnavailableError(
                f"What answers at {address} is not a RunAgent server's gRPC port.",
                suggestion="Check the port; `runagent serve` prints it.",
                details=f"{code.name}: {text}",
            )
    return error_from(code.name, text, None)


def metadata_value(metadata: Any, key: str) -> str | bytes | None:
    """Returns a metadata value by its key."""
    return next((value for name, value in metadata or () if name == key), None)


def timed_out(timeout: float, details: str | None = None) -> RunAgentError:
    """Returns what it means that the caller's time is up."""
    return DeadlineExceededError(f"The call timed out after {timeout:g} s.", details=details)


def nobody_answers(address: str, details: str | None) -> RunAgentError:
    """Returns what it means that nothing listens at the address."""
    return UnavailableError(
        f"No server answers at {address}.",
        suggestion="Check the address, and that the server runs (`runagent serve PATH`).",
        details=details,
    )


def closed_meanwhile() -> RunAgentError:
    """Returns what it means to a call that its client was closed."""
    return InvocationCancelledError("The client was closed while it waited.")
