"""What a failed RPC means to the caller of a client, and what goes wrong on any wire."""

from __future__ import annotations

from typing import Any, Protocol

import grpc

from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.retry import PeerStatus
from runagent_grpc.contract.messages import STATUS_DETAILS_METADATA, error_from
from runagent_grpc.errors import InvocationCancelledError, RunAgentError, UnavailableError

__all__ = ["closed_meanwhile", "contact_in", "failure_from", "lost", "metadata_value", "nobody_answers"]

# What gRPC's texts say. The status alone does not tell: somebody answered with something that is no HTTP/2, ...
_SPEAKS_SOMETHING_ELSE = ("HTTP/2", "http1.x")
# ... nobody took the connection, ...
_NOBODY_THERE = ("Failed to connect to remote host", "errors resolving", "DNS resolution failed")
# ... or it broke before anything was said, where it is not one of those.
_NOT_CONNECTED = "failed to connect to all addresses"
# It is this side that has cancelled a call.
_OUR_OWN_DOING = ("Locally cancelled", "Channel closed")


class _FailedCall(Protocol):
    """What sync and async RPC errors have in common."""

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...

    def trailing_metadata(self) -> Any: ...


def failure_from(call: _FailedCall, *, address: str, deadline: Deadline) -> RunAgentError:
    """Returns the error of a failed RPC: the one that the server told, else what the bare status says."""
    code, text = call.code(), call.details() or ""
    details = metadata_value(call.trailing_metadata(), STATUS_DETAILS_METADATA)
    if isinstance(details, bytes):
        return error_from(code.name, text, details)
    match code:
        case grpc.StatusCode.DEADLINE_EXCEEDED if deadline.timeout is not None:
            return deadline.error(text)
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED if contact_in(call) is PeerStatus.ANSWER:
            return lost(address, text)
        case grpc.StatusCode.UNAVAILABLE if not _says(text, _SPEAKS_SOMETHING_ELSE):
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


def contact_in(call: _FailedCall) -> PeerStatus:
    """Returns what a failed RPC shows of whoever is at the address."""
    text = call.details() or ""
    if isinstance(metadata_value(call.trailing_metadata(), STATUS_DETAILS_METADATA), bytes):
        return PeerStatus.ANSWER
    if call.code() is grpc.StatusCode.CANCELLED and not _says(text, _OUR_OWN_DOING):
        # Who cancels an invocation is told so in words. A bare one is what a server that ends leaves of calls that it
        # has not looked at yet, and what a proxy leaves of those that it gives up.
        return PeerStatus.ANSWER
    if call.code() is not grpc.StatusCode.UNAVAILABLE or _says(text, (*_SPEAKS_SOMETHING_ELSE, *_NOBODY_THERE)):
        return PeerStatus.NONE
    return PeerStatus.CONNECTION if _NOT_CONNECTED in text else PeerStatus.ANSWER


def metadata_value(metadata: Any, key: str) -> str | bytes | None:
    """Returns a metadata value by its key."""
    return next((value for name, value in metadata or () if name == key), None)


def nobody_answers(address: str, details: str | None) -> RunAgentError:
    """Returns what it means that nothing listens at the address."""
    return UnavailableError(
        f"No server answers at {address}.",
        suggestion="Check the address, and that the server runs (`runagent serve PATH`).",
        details=details,
    )


def lost(address: str, details: str | None = None) -> RunAgentError:
    """Returns what it means that a connection broke."""
    return UnavailableError(f"The connection to the server at {address} was lost.", details=details)


def closed_meanwhile() -> RunAgentError:
    """Returns what it means to a call that its client was closed."""
    return InvocationCancelledError("The client was closed while it waited.")


def _says(text: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in text for phrase in phrases)
