"""WebSocket conversations byte by byte, with frames that may be there and frames that may not (RFC 6455, 7692)."""

from __future__ import annotations

import json
import socket
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "DEFLATE",
    "PING",
    "PONG",
    "TEXT",
    "Heard",
    "close",
    "deflated",
    "frame",
    "frames_in",
    "handshake",
    "talk",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

DEFLATE = "sec-websocket-extensions: permessage-deflate\r\n"


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True) -> bytes:
    """Returns a frame on the wire (RFC 6455 section 5.2), whether it may be there or not."""
    length = len(payload)
    size = 126 if 125 < length < 65536 else 127 if length >= 65536 else length
    head = bytes([fin << 7 | reserved << 4 | opcode, masked << 7 | size])
    head += struct.pack("!H", length) if size == 126 else struct.pack("!Q", length) if size == 127 else b""
    if not masked:
        return head + payload
    mask = b"\x12\x34\x56\x78"
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def deflated(
    opcode: int, payload: bytes, *, fin: bool = True, reserved: int = 4, cut: int = 4, damage: int = 0
) -> bytes:
    """Returns a compressed frame (RFC 7692 section 7.2.1), without the last `cut` bytes, which are four."""
    compressor = zlib.compressobj(wbits=-12)
    compressed = bytearray(compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))
    compressed[0] ^= damage
    return frame(opcode, bytes(compressed[: max(len(compressed) - cut, 0)]), fin=fin, reserved=reserved)


def handshake(path: str, *, headers: str = "", key: str = "dGhlIHNhbXBsZSBub25jZQ==", version: str = "13") -> bytes:
    """Returns the request that asks for a WebSocket. `headers` are more lines of it."""
    return (
        f"GET {path} HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        f"sec-websocket-version: {version}\r\nsec-websocket-key: {key}\r\n{headers}\r\n"
    ).encode()


@dataclass(slots=True)
class Heard:
    """What a server sent until it closed the connection."""

    frames: list[tuple[int, bytes]] = field(default_factory=list)

    @property
    def texts(self) -> list[Any]:
        return [json.loads(payload) for opcode, payload in self.frames if opcode == TEXT]

    @property
    def pongs(self) -> list[bytes]:
        return [payload for opcode, payload in self.frames if opcode == PONG]

    @property
    def close_code(self) -> int | None:
        """The code of the close frame, 1005 where it has none; None where the connection ended without a close."""
        for opcode, payload in self.frames:
            if opcode == CLOSE:
                return int.from_bytes(payload[:2]) if payload else 1005
        return None


def talk(
    address: tuple[str, int],
    path: str,
    sent: Sequence[bytes],
    *,
    headers: str = "",
    leaves: bool = False,
    once_answered: bytes = b"",
) -> Heard:
    """Shakes hands, sends pieces, and hears everything until the server closes the connection.

    A client that `leaves` closes its side behind the last piece. `once_answered` is sent when the server's first frame
    has come. Raises TimeoutError for a server that never closes.
    """
    with socket.create_connection(address, timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(handshake(path, headers=headers))
        with connection.makefile("rb") as file:
            assert file.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
            while file.readline() != b"\r\n":
                pass
            heard = Heard()
            # The server may have closed already.
            with suppress(OSError):
                for piece in sent:
                    connection.sendall(piece)
                if leaves:
                    connection.shutdown(socket.SHUT_WR)
            # One that closes before it has read everything cuts the connection behind its last frame.
            with suppress(ConnectionError):
                for heard_frame in frames_in(file):
                    heard.frames.append(heard_frame)
                    if once_answered and len(heard.frames) == 1:
                        connection.sendall(once_answered)
            if not leaves and heard.close_code is not None:
                # As the protocol asks of a client.
                with suppress(OSError):
                    connection.sendall(frame(CLOSE))
            with suppress(ConnectionError):
                assert file.read() == b"", "Something came behind the close frame."
            return heard


def frames_in(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yields opcodes and payloads, up to the close frame or the end."""
    opcode = -1
    while opcode != CLOSE and len(head := file.read(2)) == 2:
        opcode, size = head[0] & 15, head[1] & 127
        if size > 125:
            size = int.from_bytes(file.read(2 if size == 126 else 8))
        yield opcode, file.read(size)
