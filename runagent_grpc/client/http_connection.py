"""What the two drivers of REST and WebSocket share: their limits, the caller's deadline, what their libraries raise."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.http11 import Response

from runagent_grpc.addresses import is_loopback
from runagent_grpc.client.address import Address
from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.failures import closed_meanwhile, lost, nobody_answers
from runagent_grpc.client.http_failures import failure_of_response, not_ours
from runagent_grpc.client.http_wire import headers_of
from runagent_grpc.contract.messages import MAX_MESSAGE_BYTES
from runagent_grpc.errors import Reason, ResourceExhaustedError, RunAgentError, UnavailableError

__all__ = [
    "TRANSPORT_ERRORS",
    "KeepaliveTimeouts",
    "RefusedError",
    "broke",
    "close_code",
    "failure_of_close",
    "failure_of_handshake",
    "failure_of_refusal",
    "failure_of_request",
    "httpx_options",
    "httpx_timeout",
    "silent",
    "too_large",
    "websocket_options",
]

_CONNECT_SECONDS = 10.0

_CLOSE_SECONDS = 1.0

# Servers drop a connection that was idle for five seconds, perhaps just when the next request is on its way.
_IDLE_SECONDS = 2.0

_NORMAL, _GOING_AWAY, _TOO_BIG, _RESTARTING = 1000, 1001, 1009, 1012

TRANSPORT_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, InvalidHandshake, OSError, ValueError)
"""What a connection that cannot be made, or breaks, raises; ValueError among it for a host that is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepaliveTimeouts:
    """How long a stream may be silent, in seconds."""

    ping_after: float = 20.0
    """After how much silence a client asks whether the server is still there."""
    pong_within: float = 60.0
    """How long the answer may take. A published server that runs blocking code answers when that lets it."""


class RefusedError(Exception):
    """A server answered a WebSocket handshake with something else. A redirect is not followed."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"HTTP status {response.status_code}")
        self.response = response


def httpx_options(address: Address, api_key: str | None) -> dict[str, Any]:
    """Returns the options of either of httpx's clients."""
    return {
        # A body that is not compressed cannot grow beyond its limit.
        "headers": {**headers_of(api_key), "accept-encoding": "identity", "content-type": "application/json"},
        # A context that trusts nobody is there at once, and a plain address needs none.
        "verify": ssl.create_default_context() if address.tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        # A proxy named by the environment has no way to this machine's own loopback.
        "trust_env": not is_loopback(address.host),
        "limits": httpx.Limits(max_connections=None, keepalive_expiry=_IDLE_SECONDS),
    }


def httpx_timeout(deadline: Deadline) -> httpx.Timeout:
    """Returns how long each step of a request may take."""
    return httpx.Timeout(deadline.remaining(), connect=deadline.remaining(_CONNECT_SECONDS))


def websocket_options(
    address: Address, api_key: str | None, deadline: Deadline, more_headers: Mapping[str, str]
) -> dict[str, Any]:
    """Returns the options of either of websockets' clients."""
    headers = {**headers_of(api_key), **more_headers}
    return {
        "user_agent_header": headers.pop("user-agent"),
        "additional_headers": headers,
        "open_timeout": deadline.remaining(_CONNECT_SECONDS),
        "close_timeout": _CLOSE_SECONDS,
        # Theirs counts as silence that a caller takes their time.
        "ping_interval": None,
        "max_size": MAX_MESSAGE_BYTES,
        "proxy": None if is_loopback(address.host) else True,
        "ssl": ssl.create_default_context() if address.tls else None,
    }


def failure_of_request(error: Exception, address: Address, deadline: Deadline) -> RunAgentError:
    """Returns what it means that a request got no response."""
    details = f"{type(error).__name__}: {error}"
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        return deadline.error(details) if deadline.passed else nobody_answers(str(address), details)
    if isinstance(error, httpx.TimeoutException):
        return deadline.error(details)
    if broke(error):
        return lost(str(address), details)
    if isinstance(error, httpx.RemoteProtocolError):
        return not_ours(str(address), details)
    return nobody_answers(str(address), details)


def broke(error: Exception) -> bool:
    """Whether it was a connection that broke which somebody had taken."""
    if isinstance(error, httpx.RemoteProtocolError):
        # Its other texts tell of something that is no HTTP.
        return any(text in str(error) for text in ("disconnected", "closed connection"))
    if isinstance(error, InvalidMessage):
        return isinstance(error.__cause__, EOFError | OSError)
    return isinstance(error, httpx.NetworkError) and not isinstance(error, httpx.ConnectError)


def failure_of_handshake(error: Exception, address: Address, deadline: Deadline) -> RunAgentError:
    """Returns what it means that a stream could not be opened."""
    details = f"{type(error).__name__}: {error}"
    if isinstance(error, TimeoutError) and deadline.passed:
        return deadline.error(details)
    if broke(error):
        return lost(str(address), details)
    if isinstance(error, InvalidHandshake):
        return not_ours(str(address), details)
    return nobody_answers(str(address), details)


def close_code(*, on_purpose: bool) -> int:
    """Returns the code to close a stream's connection with: ours cancel what is closed by the normal one."""
    return _NORMAL if on_purpose else _GOING_AWAY


def failure_of_close(closed: ConnectionClosed, address: Address) -> RunAgentError | None:
    """Returns what it means that a stream's connection is gone; None for a close that ends it well."""
    sent = None if closed.sent is None or closed.rcvd_then_sent else closed.sent.code
    received = None if closed.rcvd is None else closed.rcvd.code
    if sent == _TOO_BIG:
        return too_large()
    if sent in (_NORMAL, _GOING_AWAY):
        # Another thread, or task, closed the stream under its reader.
        return closed_meanwhile()
    if received == _NORMAL:
        return None
    if received == _TOO_BIG:
        return ResourceExhaustedError("The call is larger than the server takes.", reason=Reason.PAYLOAD_TOO_LARGE)
    if received == _RESTARTING:
        return UnavailableError("The server is shutting down.", reason=Reason.SHUTTING_DOWN)
    return lost(str(address), str(closed))


def silent(patience: KeepaliveTimeouts) -> RunAgentError:
    """Returns what it means that not even a ping is answered."""
    return UnavailableError(
        f"The server fell silent for {patience.ping_after + patience.pong_within:g} s.",
        reason=Reason.STREAM_INTERRUPTED,
    )


def too_large() -> RunAgentError:
    """Returns what it means that the server sends more than a client takes."""
    return ResourceExhaustedError(
        f"The server sent a value of more than {MAX_MESSAGE_BYTES:,} bytes.", reason=Reason.PAYLOAD_TOO_LARGE
    )


def failure_of_refusal(refused: RefusedError, address: Address) -> RunAgentError:
    """Returns what it means that a stream was refused before it began."""
    response = refused.response
    try:
        document = json.loads(response.body or b"")
    except (ValueError, RecursionError):
        document = None
    failure = failure_of_response(
        str(address), response.status_code, response.headers, document if isinstance(document, dict) else None
    )
    if failure.reason is Reason.PERMISSION_ERROR and not document:
        return failure.replace(
            suggestion="Check the agent's id, for a published server says so of one it does not know, and the key."
        )
    return failure
