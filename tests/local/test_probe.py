"""Whether the server of a lease lives: by real servers, strangers, and nobody."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runagent_grpc.auth.api_keys import ApiKeys
from runagent_grpc.local import Lease, LeaseState, probe, probe_all
from runagent_grpc.server.server import Server
from runagent_grpc.worker import Agent
from tests.configs import any_ports
from tests.local.leased import a_lease, answering_as, free_port
from tests.waiting import on_a_loop

SHAPES: dict[str, dict[str, Any]] = {
    "both": {},
    "http": {"grpc": False},
    "grpc": {"http": False},
    "with keys": {"keys": ["a-secret-key-1"]},
    "grpc with keys": {"http": False, "keys": ["a-secret-key-1"]},
    "ipv6": {"host": "::1"},
    "grpc on ipv6": {"host": "::1", "http": False},
}


def on_only(which: str, port: int, **changes: Any) -> Lease:
    """A lease of a server that has one port."""
    ports: dict[str, Any] = {"http_port": None, which: port}
    return a_lease(**ports | changes)


async def asked(lease: Lease) -> LeaseState:
    return await asyncio.to_thread(probe, lease)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_server_lives_by_its_own_instance_id_alone(shape: str) -> None:
    listen = dict(SHAPES[shape])
    keys = ApiKeys(listen.pop("keys", ()))

    @on_a_loop
    async def test() -> None:
        agent = Agent.from_functions({"one": lambda: 1})
        async with Server(agent, config=any_ports(**listen), authenticator=keys) as server:
            where: dict[str, Any] = {
                "host": server.host,
                "http_port": server.http_port,
                "grpc_port": server.grpc_port,
            }
            assert await asked(a_lease(server.instance_id, **where)) is LeaseState.LIVES
            assert await asked(a_lease("another", **where)) is LeaseState.ENDED
        assert await asked(a_lease(server.instance_id, **where)) is LeaseState.ENDED

    test()


@pytest.mark.parametrize("only", ["http_port", "grpc_port"])
def test_where_nobody_listens_the_server_has_ended(only: str) -> None:
    assert probe(on_only(only, free_port())) is LeaseState.ENDED


@contextmanager
def a_stranger(*says: bytes) -> Iterator[int]:
    """Accepts one connection, reads a little, says this, and closes; or keeps silent, where it has nothing to say."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                for text in says:
                    connection.sendall(text)
                if not says:
                    over.wait(10)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("only", "says"),
    [
        ("http_port", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("http_port", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
        ("http_port", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"),
        ("http_port", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"),
        ("grpc_port", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("grpc_port", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("grpc_port", SETTINGS + b"\x00\x00\x08\x07\x00\x00\x00\x00\x00" + bytes(8)),
        ("grpc_port", SETTINGS + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01"),
        ("grpc_port", SETTINGS + b"\x00\x00\x00\x01\x05\x00\x00\x00\x01"),
        ("grpc_port", SETTINGS + b"\x00\x00\x07\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x02\x08\x03"),
        ("grpc_port", SETTINGS),
    ],
)
def test_another_program_on_the_port_is_not_the_server(only: str, says: bytes) -> None:
    with a_stranger(says) as port:
        assert probe(on_only(only, port)) is LeaseState.ENDED


@pytest.mark.parametrize("only", ["http_port", "grpc_port"])
def test_who_accepts_and_says_nothing_is_silent(only: str) -> None:
    with a_stranger() as port:
        assert probe(on_only(only, port), timeout=0.1) is LeaseState.SILENT


def test_many_are_asked_at_once_and_answered_in_order() -> None:
    with answering_as("lives") as port:
        leases = [a_lease("lives", http_port=port), a_lease("gone", http_port=free_port())]
        assert probe_all(leases) == list(zip(leases, [LeaseState.LIVES, LeaseState.ENDED], strict=True))


@pytest.mark.parametrize("only", ["http_port", "grpc_port"])
def test_a_port_that_outlives_the_servers_process_in_a_child_is_nobodys(only: str) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    assert ended.wait() == 0
    with a_stranger() as port:
        here = on_only(only, port, pid=ended.pid, hostname=socket.gethostname())
        assert probe(here, timeout=0.1) is LeaseState.ENDED
    with a_stranger() as port:
        elsewhere = on_only(only, port, pid=ended.pid, hostname="elsewhere")
        assert probe(elsewhere, timeout=0.1) is LeaseState.SILENT
