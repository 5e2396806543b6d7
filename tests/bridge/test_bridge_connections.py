"""Connections that take their time, too much of it, or too many: each is given up, and none is news in the log."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from runagent_grpc.bridge import BridgeSettings
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import AGENT, ask, run
from tests.bridge.raw_frames import TEXT, frame, handshake
from tests.waiting import eventually

PATH = f"{AGENT}/run-stream"
HALF = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-slow: "
WHOLE = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
LAST = WHOLE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


def one() -> int:
    return 1


def slow_stream() -> Iterator[int]:
    yield 1
    time.sleep(0.4)
    yield 2


def slow() -> int:
    time.sleep(0.4)
    return 1


@pytest.fixture(scope="module")
def impatient() -> Iterator[RunningServer]:
    limits = BridgeSettings(head_timeout=0.2, body_timeout=0.2, keep_alive=60)
    with serving({"one": one, "slow": slow, "slow_stream": slow_stream}, bridge=limits) as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving({"slow": slow}) as running:
        yield running


@contextmanager
def connected(server: RunningServer) -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.http_port), timeout=10) as connection:
        yield connection


def heard(connection: socket.socket) -> bytes:
    """Returns all that comes until the server closes. Raises TimeoutError where it does not."""
    received = b""
    with suppress(ConnectionError):
        while data := connection.recv(65536):
            received += data
    return received


def answered(connection: socket.socket, request: bytes = WHOLE) -> bytes:
    """Asks for the health, and returns the first line of the answer once all of it is there."""
    connection.sendall(request)
    received = b""
    while not received.endswith(b"}"):
        data = connection.recv(65536)
        assert data, f"The connection ended within {received!r}."
        received += data
    return received.split(b"\r\n")[0]


@pytest.mark.parametrize("sent", [b"", HALF[:1], HALF, handshake(PATH)[:-2]])
def test_a_head_that_does_not_come_is_given_up(
    impatient: RunningServer, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(impatient) as connection:
        connection.sendall(sent)
        began = time.monotonic()
        assert heard(connection) == b""
        assert time.monotonic() - began < 5
    assert caplog.records == []


def test_a_head_that_comes_in_drops_has_no_longer(impatient: RunningServer) -> None:
    with connected(impatient) as connection:
        stop = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                connection.sendall(HALF)
                while not stop.wait(0.02):
                    connection.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        assert heard(connection) == b""
        assert time.monotonic() - began < 5
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("request_head", "then"), [(WHOLE, HALF), (WHOLE.replace(b"\r\n\r\n", b"\r\ncontent-length: 9\r\n\r\n"), b"x")]
)
def test_behind_an_answer_the_time_for_a_head_starts_with_its_first_byte(
    impatient: RunningServer, request_head: bytes, then: bytes
) -> None:
    with connected(impatient) as connection:
        assert answered(connection) == b"HTTP/1.1 200 OK"
        # It takes longer than a head may; a connection that is idle is not slow.
        assert run(impatient, "slow").json()["success"]
        assert answered(connection, request_head) == b"HTTP/1.1 200 OK"
        connection.sendall(then)
        assert heard(connection) == b""


def test_an_answer_may_take_longer_than_a_head(impatient: RunningServer) -> None:
    assert run(impatient, "slow").json()["success"]


def test_a_websocket_may_take_longer_than_a_head(impatient: RunningServer) -> None:
    first = json.dumps({"entrypoint_tag": "slow_stream"}).encode()
    with connected(impatient) as connection:
        connection.sendall(handshake(PATH))
        received = connection.recv(65536)
        connection.sendall(frame(TEXT, first))
        while b"stream_completed" not in received:
            data = connection.recv(65536)
            assert data
            received += data


def test_an_idle_connection_is_closed_after_a_while() -> None:
    with serving({"one": one}, bridge=BridgeSettings(keep_alive=0.2)) as server, connected(server) as connection:
        assert answered(connection) == b"HTTP/1.1 200 OK"
        assert heard(connection) == b""


@pytest.mark.parametrize("pieces", [1, 100])
def test_a_head_that_has_no_end_is_refused(
    impatient: RunningServer, pieces: int, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(impatient) as connection:
        with suppress(ConnectionError):
            connection.sendall(HALF)
            for _ in range(pieces):
                connection.sendall(b"x" * 65536)
        # What was not read any more may cut the connection before the answer has come.
        assert heard(connection).startswith(b"HTTP/1.1 431 ") or pieces > 1
    assert caplog.records == []


@pytest.mark.parametrize(
    "headers",
    ["".join(f"x-{number}: 1\r\n" for number in range(200)), f"x: {'x' * 9000}\r\n", "content-length: 1\r\n"],
    ids=["too many headers", "too long a header", "a body"],
)
def test_a_handshake_that_cannot_be_read_is_answered(
    impatient: RunningServer, headers: str, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(impatient) as connection:
        connection.sendall(handshake(PATH, headers=headers))
        assert heard(connection).startswith(b"HTTP/1.1 400 ")
    assert caplog.records == []


def test_a_handshake_that_is_refused_is_no_news(impatient: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    for path, headers, status in (("/nowhere", "", 404), (PATH, "origin: http://evil.example\r\n", 403)):
        with connected(impatient) as connection:
            connection.sendall(handshake(path, headers=headers))
            assert heard(connection).startswith(f"HTTP/1.1 {status} ".encode())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_only_so_many_connections_are_open_at_once() -> None:
    with serving({"one": one}, bridge=BridgeSettings(max_connections=3)) as server, ExitStack() as stack:
        kept, silent, upgraded = (stack.enter_context(connected(server)) for _ in range(3))
        assert answered(kept) == b"HTTP/1.1 200 OK"
        upgraded.sendall(handshake(PATH))
        assert upgraded.recv(12) == b"HTTP/1.1 101"
        for _ in range(5):
            answer = ask(server, "GET", "/health")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        # Those that are in are as they were.
        assert answered(kept) == b"HTTP/1.1 200 OK"
        upgraded.close()
        eventually(lambda: ask(server, "GET", "/health").status_code == 200)
        silent.close()
        assert run(server, "one").json()["success"]


@pytest.mark.parametrize(("waiting", "answers"), [(16, 17), (17, 0)])
def test_only_so_many_requests_wait_on_a_connection(server: RunningServer, waiting: int, answers: int) -> None:
    first = json.dumps({"entrypoint_tag": "slow"}).encode()
    head = f"POST {AGENT}/run HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(first)}\r\n\r\n".encode()
    with connected(server) as connection:
        connection.sendall(head + first + WHOLE * (waiting - 1) + LAST)
        assert heard(connection).count(b"HTTP/1.1 200 OK") == answers


def test_requests_whose_answers_are_not_read_are_not_kept(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    # More than the sockets' buffers hold, so that the server has to take it or to end it.
    with connected(server) as connection, pytest.raises(ConnectionError):
        connection.sendall(WHOLE * 500_000)
    assert ask(server, "GET", "/health").status_code == 200
    assert caplog.records == []
