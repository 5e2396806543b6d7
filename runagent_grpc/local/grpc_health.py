"""One gRPC health check, over a plain socket: whether a server serves a service of some name.

By hand, in the frames of RFC 9113: this part of the package knows no gRPC library, so that a server that looks for
others needs no client. The header block that comes back is passed over, so that no HPACK decoder is needed: only a
server that knows the service sends a message.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable

__all__ = ["HealthProtocolError", "serves"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEAD_BYTES = 9
_LARGEST_FRAME = 16 * 1024
_MOST_FRAMES = 64
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS = 0x1, 0x4
_STREAM = 1
_SERVING, _NOT_SERVING = b"\x08\x01", b"\x08\x02"


class HealthProtocolError(Exception):
    """Who listens there does not speak HTTP/2."""


def serves(host: str, port: int, *, service: str, timeout: float, tls: ssl.SSLContext | None = None) -> bool:
    """Whether the server knows the service, which is at most 64 characters of ASCII.

    Raises HealthProtocolError for any other protocol, and OSError where there is no answer. `timeout` is for each step.
    """
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((host, port), timeout=timeout))
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
            connection = stack.enter_context(tls.wrap_socket(connection, server_hostname=host))
        message = b"\x0a" + _text(service)
        headers = _request_headers("https" if tls else "http")
        connection.sendall(
            _PREFACE
            + _frame(_SETTINGS, 0, 0, b"")
            + _frame(_HEADERS, _END_HEADERS, _STREAM, headers)
            + _frame(_DATA, _END_STREAM, _STREAM, b"\x00" + len(message).to_bytes(4, "big") + message)
        )
        return _answer(stack.enter_context(connection.makefile("rb")).read)


def _answer(read: Callable[[int], bytes]) -> bool:
    """Reads frames until the call ends, and returns whether a status came."""
    for number in range(_MOST_FRAMES):
        head = read(_FRAME_HEAD_BYTES)
        if number == 0 and head[3:4] != bytes([_SETTINGS]):
            raise HealthProtocolError
        if len(head) < _FRAME_HEAD_BYTES:
            return False
        size, kind, flags, stream = int.from_bytes(head[:3]), head[3], head[4], int.from_bytes(head[5:])
        if size > _LARGEST_FRAME or kind in (_RST_STREAM, _GOAWAY):
            return False
        payload = read(size)
        if stream == _STREAM and kind == _DATA:
            # After the byte that says whether it is compressed, and four of its length.
            return payload[5:] in (_SERVING, _NOT_SERVING)
        if stream == _STREAM and flags & _END_STREAM:
            return False
    return False


def _request_headers(scheme: str) -> bytes:
    """Returns a header block (RFC 7541): static indices, and literals that are neither indexed nor compressed."""
    return (
        b"\x83"  # :method POST
        + {"http": b"\x86", "https": b"\x87"}[scheme]
        + b"\x04"
        + _text("/grpc.health.v1.Health/Check")
        + b"\x01"
        + _text("localhost")
        + b"\x0f\x10"
        + _text("application/grpc")
        + b"\x00"
        + _text("te")
        + _text("trailers")
    )


def _text(text: str) -> bytes:
    """One byte holds a length of up to 126, in HPACK as in protobuf."""
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
