"""Frames as RFC 6455 has them, and as it has not: each conversation ends as on plain uvicorn, none is news in the log.

Everything that is sent here is sent to uvicorn as it comes, too, with an application that answers as ours does. What
one write carries has one outcome: the same code and the same pongs. What comes in pieces may be read as fewer, and is
settled by the first piece that says enough, so there the code is one that uvicorn comes to with the first so many
pieces in one. Better is what closes with a code where uvicorn drops the connection without a word.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runagent_grpc.bridge import BridgeSettings
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import AGENT, ask
from tests.bridge.plain_uvicorn import THREAD, plain_uvicorn
from tests.bridge.raw_frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    PING,
    PONG,
    TEXT,
    Heard,
    close,
    deflated,
    frame,
    talk,
)
from tests.waiting import eventually

START = json.dumps({"entrypoint_tag": "count_stream", "input_args": [3]}).encode()
WAIT = json.dumps({"entrypoint_tag": "wait_stream"}).encode()
PATH = f"{AGENT}/run-stream"
MOST = 100_000
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))


def count_stream(numbers: int) -> Iterator[int]:
    yield from range(numbers)


async def wait_stream() -> AsyncIterator[int]:
    yield 1
    await asyncio.Event().wait()


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    limits = BridgeSettings(max_body_bytes=MOST)
    with serving({"count_stream": count_stream, "wait_stream": wait_stream}, bridge=limits) as running:
        yield running


@pytest.fixture(scope="module")
def plain() -> Iterator[tuple[str, int]]:
    with plain_uvicorn(PATH, start=WAIT.decode(), max_bytes=MOST) as address:
        yield address


def ours(
    server: RunningServer, *sent: bytes, headers: str = "", leaves: bool = False, once_answered: bytes = b""
) -> Heard:
    address = (server.host, server.http_port)
    return talk(address, PATH, sent, headers=headers, leaves=leaves, once_answered=once_answered)


def news(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Returns what was logged, but by the yardstick."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.threadName != THREAD
    ]


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
    heard = ours(server, *sent)
    assert [text["type"] for text in heard.texts] == ["status", "data", "data", "data", "status"]
    assert heard.close_code == 1000


@pytest.mark.parametrize(
    "sent",
    [
        (deflated(TEXT, START),),
        (deflated(TEXT, START[:5], fin=False, cut=0), deflated(CONTINUATION, START[5:], reserved=0)),
        (deflated(TEXT, START), deflated(BINARY, b"and more"), frame(TEXT, b"and more")),
        (frame(TEXT, START),),
    ],
    ids=["whole", "in fragments", "with more behind it", "or not"],
)
def test_a_request_may_come_compressed(server: RunningServer, sent: tuple[bytes, ...]) -> None:
    heard = ours(server, *sent, headers=DEFLATE)
    # What comes back is compressed as well.
    assert (len(heard.frames), heard.close_code) == (6, 1000)


FORBIDDEN = [
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
    (frame(CLOSE), 1005),
    (close(0), 1002),
    (close(999), 1002),
    (close(1004), 1002),
    (close(1005), 1002),
    (close(1006), 1002),
    (close(1015), 1002),
    (close(5000), 1002),
    (close(1000, b"\xff"), 1007),
    (close(1000), 1000),
    (close(3000, b"ours"), 3000),
    (frame(TEXT, b"x" * (MOST + 1)), 1009),
    (frame(TEXT, b"x" * 60_000, fin=False) + frame(CONTINUATION, b"x" * 60_000), 1009),
]


@pytest.mark.parametrize(("sent", "code"), FORBIDDEN)
def test_what_the_protocol_forbids_closes_with_its_code(
    server: RunningServer, plain: tuple[str, int], sent: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    heard = ours(server, sent)
    assert (heard.texts, heard.close_code) == ([], code)
    assert talk(plain, PATH, [sent]).close_code == code
    assert news(caplog) == []


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (deflated(TEXT, b"x" * (MOST + 1)), 1009),
        (deflated(TEXT, b"x" * 60_000, fin=False) + frame(CONTINUATION, b"x" * 60_000), 1009),
        (deflated(TEXT, START, damage=7), 1002),
        (deflated(PING, b"x"), 1002),
        (deflated(TEXT, b"{", fin=False) + deflated(CONTINUATION, b"}"), 1002),
    ],
)
def test_what_deflate_forbids_closes_with_its_code(
    server: RunningServer, plain: tuple[str, int], sent: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    heard = ours(server, sent, headers=DEFLATE)
    assert (heard.texts, heard.close_code) == ([], code)
    assert talk(plain, PATH, [sent], headers=DEFLATE).close_code == code
    assert news(caplog) == []


def test_text_that_is_none_and_a_close_in_one_piece_are_answered_by_a_close(
    server: RunningServer, plain: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    sent = frame(TEXT, b"\xff") + close(3000)
    assert ours(server, sent).close_code == 3000
    # The parser is ahead of the events: it has answered the close before uvicorn sees the text, and falls over.
    assert talk(plain, PATH, [sent]).close_code is None
    assert news(caplog) == []


def test_a_ping_is_answered_before_anything_else_was_said(server: RunningServer) -> None:
    assert ours(server, frame(PING, b"are you there?"), close(1000)).frames[0] == (PONG, b"are you there?")


FRAMES = st.one_of(
    st.builds(
        frame,
        st.integers(0, 15),
        st.one_of(st.sampled_from([WAIT, WAIT[:9], WAIT[9:]]), st.binary(max_size=200)),
        fin=st.booleans(),
        reserved=st.sampled_from([0, 0, 0, 0, 1, 4, 7]),
        masked=st.sampled_from([True, True, True, True, False]),
    ),
    st.builds(
        deflated,
        st.sampled_from([CONTINUATION, TEXT, TEXT, BINARY, PING]),
        st.one_of(st.sampled_from([WAIT, b"x" * (MOST + 1)]), st.binary(max_size=300)),
        fin=st.booleans(),
        cut=st.sampled_from([4, 4, 4, 0, 2, 6, 100]),
        damage=st.sampled_from([0, 0, 0, 1, 2, 7, 255]),
    ),
    st.just(frame(TEXT, WAIT)),
    st.builds(close, st.integers(0, 65535), st.binary(max_size=130)),
    st.sampled_from([close(code) for code in (1000, 1001, 1004, 1005, 1006, 1015, 3000, 4999)]),
    st.binary(max_size=50),
)


@pytest.mark.parametrize("in_one", [True, False], ids=["in one write", "in pieces"])
@pytest.mark.parametrize("headers", ["", DEFLATE], ids=["plain", "deflate"])
def test_whatever_is_sent_ends_as_on_plain_uvicorn_or_better(
    server: RunningServer, plain: tuple[str, int], headers: str, in_one: bool, caplog: pytest.LogCaptureFixture
) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=EXAMPLES <= 150,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(FRAMES, max_size=6))
    def attack(sent: list[bytes]) -> None:
        def theirs(pieces: int) -> Heard:
            return talk(plain, PATH, [b"".join(sent[:pieces])], headers=headers, leaves=True)

        pieces = [b"".join(sent)] if in_one else sent
        heard, expected = ours(server, *pieces, headers=headers, leaves=True), theirs(len(sent))
        better = expected.close_code is None and heard.close_code is not None
        if in_one:
            assert heard.close_code == expected.close_code or better
            assert heard.pongs == expected.pongs or better
        elif heard.close_code != expected.close_code:
            assert heard.close_code in {theirs(count).close_code for count in range(1, len(sent))} or better

    attack()
    assert ask(server, "GET", "/health").status_code == 200
    eventually(lambda: server.engine.active == 0)
    assert news(caplog) == []


def test_a_client_that_breaks_the_protocol_within_a_stream_is_gone_and_no_news(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    long = START.replace(b"[3]", b"[100000]")
    for _ in range(10):
        heard = ours(server, frame(TEXT, long), once_answered=frame(3))
        assert (heard.texts[0]["status"], heard.close_code) == ("stream_started", 1002)
    eventually(lambda: server.engine.active == 0)
    assert news(caplog) == []
