"""Frames as RFC 6455 has them, and as it has not: each conversation ends in order, and none is news in the log."""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runagent_grpc.bridge import BridgeSettings
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.asking import AGENT, ask
from tests.waiting import eventually

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

START = json.dumps({"entrypoint_tag": "count_stream", "input_args": [3]}).encode()
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))


def count_stream(numbers: int) -> Iterator[int]:
    yield from range(numbers)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    bridge = BridgeSettings(max_body_bytes=100_000, first_frame_timeout=0.5)
    with serving({"count_stream": count_stream}, bridge=bridge) as running:
        yield running


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


class Heard:
    """What the server sent until it closed."""

    def __init__(self, file: IO[bytes]) -> None:
        self.frames: list[tuple[int, bytes]] = []
        # A server that closes before it has read everything cuts the connection behind its last frame.
        with suppress(ConnectionError):
            while len(head := file.read(2)) == 2:
                size = head[1] & 127
                if size > 125:
                    size = int.from_bytes(file.read(2 if size == 126 else 8), "big")
                self.frames.append((head[0] & 15, file.read(size)))
                if head[0] & 15 == CLOSE:
                    break

    @property
    def texts(self) -> list[Any]:
        return [json.loads(payload) for opcode, payload in self.frames if opcode == TEXT]

    @property
    def close_code(self) -> int | None:
        for opcode, payload in self.frames:
            if opcode == CLOSE and payload:
                return int(struct.unpack("!H", payload[:2])[0])
        return None


def talk(server: RunningServer, *sent: bytes, extensions: str = "") -> Heard:
    """Shakes hands, sends bytes, and hears everything until the server closes."""
    with socket.create_connection((server.host, server.http_port), timeout=10) as connection:
        head = (
            f"GET {AGENT}/run-stream HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extensions}\r\n"
        )
        connection.sendall(head.encode())
        with connection.makefile("rb") as file:
            assert file.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
            while file.readline() != b"\r\n":
                pass
            with suppress(ConnectionError):
                for piece in sent:
                    connection.sendall(piece)
            return Heard(file)


@pytest.mark.parametrize(
    "sent",
    [
        (frame(TEXT, START),),
        tuple(bytes([byte]) for byte in frame(TEXT, START)),
        (frame(TEXT, START[:5], fin=False), frame(CONTINUATION, b"", fin=False), frame(CONTINUATION, START[5:])),
        (frame(TEXT, START[:5], fin=False), frame(PING, b"within"), frame(CONTINUATION, START[5:])),
        (frame(PONG, b"unasked"), frame(TEXT, START), frame(TEXT, b"and more"), frame(BINARY, b"\xff")),
    ],
    ids=["whole", "byte by byte", "in fragments", "a ping between fragments", "with more around it"],
)
def test_a_request_may_come_in_pieces(server: RunningServer, sent: tuple[bytes, ...]) -> None:
    heard = talk(server, *sent)
    assert [text["type"] for text in heard.texts] == ["status", "data", "data", "data", "status"]
    assert heard.close_code == 1000


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"\xce", fin=False) + frame(CONTINUATION, b"\xff"), 1007),
        (frame(TEXT, START, reserved=4), 1002),
        (frame(TEXT, START, reserved=2), 1002),
        (frame(TEXT, START, masked=False), 1002),
        (frame(3, b""), 1002),
        (frame(11, b""), 1002),
        (frame(CONTINUATION, b"of nothing"), 1002),
        (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(PING, b"", fin=False), 1002),
        (frame(CLOSE, b"\x03"), 1002),
        (close(999), 1002),
        (close(1005), 1002),
        (close(1000, b"\xff"), 1007),
        (close(1000), 1000),
        (close(3000, b"ours"), 3000),
        (frame(TEXT, b"x" * 100_001), 1009),
        (frame(TEXT, b"x" * 60_000, fin=False) + frame(CONTINUATION, b"x" * 60_000), 1009),
    ],
)
def test_what_the_protocol_forbids_closes_with_its_code(
    server: RunningServer, sent: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    heard = talk(server, sent)
    assert (heard.texts, heard.close_code) == ([], code)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_ping_is_answered_before_anything_else_was_said(server: RunningServer) -> None:
    assert talk(server, frame(PING, b"are you there?"), close(1000)).frames[0] == (PONG, b"are you there?")


FRAMES = st.one_of(
    st.builds(
        frame,
        st.integers(0, 15),
        st.one_of(st.just(START), st.just(START[:9]), st.just(START[9:]), st.binary(max_size=200)),
        fin=st.booleans(),
        reserved=st.sampled_from([0, 0, 0, 0, 1, 4, 7]),
        masked=st.sampled_from([True, True, True, True, False]),
    ),
    st.just(frame(TEXT, START)),
    st.builds(close, st.integers(0, 65535), st.binary(max_size=130)),
    st.binary(max_size=50),
)


@pytest.mark.parametrize(
    "extensions", ["", "sec-websocket-extensions: permessage-deflate\r\n"], ids=["plain", "deflate"]
)
def test_whatever_is_sent_ends_in_order(
    server: RunningServer, extensions: str, caplog: pytest.LogCaptureFixture
) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=EXAMPLES <= 60,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(FRAMES, max_size=6))
    def attack(sent: list[bytes]) -> None:
        # Whatever went before, the client goes in the end.
        talk(server, *sent, close(1000), extensions=extensions)

    attack()
    assert ask(server, "GET", "/health").status_code == 200
    eventually(lambda: server.engine.active == 0)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_client_that_breaks_the_protocol_within_a_stream_is_gone_and_no_news(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    long = START.replace(b"[3]", b"[100000]")
    # Enough between the two that they are not read as one.
    between = [frame(PONG, b"x" * 125)] * 200
    for _ in range(10):
        heard = talk(server, frame(TEXT, long), *between, frame(3))
        assert (heard.texts[0]["status"], heard.close_code) == ("stream_started", 1002)
    eventually(lambda: server.engine.active == 0)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
