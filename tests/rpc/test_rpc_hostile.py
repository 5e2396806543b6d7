from __future__ import annotations

import contextlib
import hashlib
import socket
from contextlib import ExitStack
from typing import Any

import pytest

from runagent_grpc.testing import RunningServer, serving
from tests.rpc.calls import connected, run_request, value_of


def one(value: Any) -> Any:
    return value


def noise(size: int) -> bytes:
    """Bytes that look like chance and are the same every time."""
    return hashlib.shake_128(b"noise").digest(size)


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes.fromhex("000000040000000000")
PING = bytes.fromhex("000008060000000000" + "00" * 8)
RESET = bytes.fromhex("000004030000000001" + "00000008")
HOSTILE = {
    "nothing": b"",
    "noise": noise(100_000),
    "HTTP/1.1": b"GET /api/v1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/1.1 upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "half a preface": PREFACE[:10],
    "a preface alone": PREFACE,
    "noise behind a preface": PREFACE + SETTINGS + noise(10_000),
    "a frame that never ends": PREFACE + SETTINGS + bytes.fromhex("ffffff000100000001") + bytes(100),
    "endless settings": PREFACE + SETTINGS * 20_000,
    "endless pings": PREFACE + SETTINGS + PING * 5000,
    "resets of nothing": PREFACE + SETTINGS + RESET * 5000,
}


def attack(server: RunningServer, sent: bytes) -> socket.socket:
    connection = socket.create_connection((server.host, server.grpc_port), timeout=5)
    # It may be cut off already, as it should be.
    with contextlib.suppress(OSError):
        connection.sendall(sent)
    return connection


@pytest.mark.parametrize("leaves", [True, False], ids=["and leave", "and stay"])
def test_hostile_bytes_leave_the_server_serving(leaves: bool) -> None:
    with ExitStack() as open_sockets, serving({"one": one}) as server, connected(server) as stub:
        for sent in HOSTILE.values():
            for _ in range(5):
                connection = attack(server, sent)
                if leaves:
                    connection.close()
                else:
                    open_sockets.callback(connection.close)
            assert value_of(stub.Run(run_request("one", 1)).result) == 1
        # And for somebody who comes now.
        with connected(server) as newcomer:
            assert value_of(newcomer.Run(run_request("one", 2)).result) == 2


def test_hundreds_of_idle_connections_keep_nobody_out() -> None:
    with ExitStack() as open_sockets, serving({"one": one}) as server:
        for _ in range(300):
            open_sockets.callback(attack(server, PREFACE[:3]).close)
        with connected(server) as stub:
            assert value_of(stub.Run(run_request("one", 1), timeout=10).result) == 1
