"""What an entrypoint's forked children inherit of the server: none of its handlers, ports and connections."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.commands import AGENTS, PATIENCE_SECONDS, Cli, ServeProcess


@pytest.fixture
def server(cli: Cli) -> Iterator[ServeProcess]:
    with cli.serving(AGENTS / "forks") as server:
        yield server
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
        # It ends in order: nothing has ended it before.
        assert server.wait() == 0, server.err


def run(server: ServeProcess, tag: str, **arguments: Any) -> Any:
    with server.client("grpc", "forks", tag) as client:
        return client.run(**arguments)


@pytest.mark.parametrize(
    ("tag", "result"),
    [
        ("terminated", -signal.SIGTERM),
        ("terminated_on_the_loop", -signal.SIGTERM),
        ("interrupted", 9),
        ("with_a_handler", 11),
        ("pooled", [number * number for number in range(20)]),
    ],
)
def test_a_signal_for_a_child_is_the_childs_alone(server: ServeProcess, tag: str, result: Any) -> None:
    for _ in range(5):
        assert run(server, tag) == result
    assert server.process.poll() is None
    assert "Stopping" not in server.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_that_lives_on_keeps_no_port_and_no_connection(cli: Cli, number: signal.Signals) -> None:
    with cli.serving(AGENTS / "forks") as server:
        ports = (server.port, server.http_port)
        connections = [socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) for port in ports]
        # Answered, so that they are accepted before the fork.
        connections[0].sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
        connections[1].sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert all(connection.recv(1) for connection in connections)
        child = run(server, "left_alive")
        try:
            server.process.send_signal(number)
            server.process.wait(PATIENCE_SECONDS)
            for connection in connections:
                with connection:
                    while connection.recv(65536):
                        pass
            for port in ports:
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
            # It has outlived the server.
            os.kill(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("option", [(), ("--no-http",), ("--no-grpc",)], ids=str)
def test_a_killed_server_does_not_count_as_living_while_a_child_of_it_lives(cli: Cli, option: tuple[str, ...]) -> None:
    with cli.serving(AGENTS / "forks", *option) as server:
        child = int(cli("run", "--id", "forks", "--local", "--tag", "left_alive").out)
        try:
            assert [each["answers"] for each in json.loads(cli("db", "status", "--format", "json").out)] == [True]
            server.process.kill()
            server.process.wait(PATIENCE_SECONDS)
            os.kill(child, 0)
            assert [each["answers"] for each in json.loads(cli("db", "status", "--format", "json").out)] == [False]
            refused = cli("run", "--id", "forks", "--local", "--tag", "variable")
            ended = f"The server of agent `forks` (process {server.process.pid}) has ended without an orderly stop."
            assert (refused.code, refused.error) == (1, f"❌ Execution failed: {ended}")
            assert cli("teardown", "--yes").code == 0
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("tag", ["forked", "forked_on_the_loop"])
def test_forked_children_do_not_crash(server: ServeProcess, tag: str) -> None:
    for _ in range(8):
        assert run(server, tag, count=8) == [7] * 8


def test_children_see_the_environment_that_the_server_was_started_with(server: ServeProcess) -> None:
    assert run(server, "variable") is None


@pytest.mark.parametrize("tag", ["calls_by_itself", "calls_on_a_loop"])
def test_a_forked_child_that_calls_over_grpc_is_refused_and_does_not_hang(server: ServeProcess, tag: str) -> None:
    answer = run(server, tag, address=f"grpc://127.0.0.1:{server.port}")
    assert answer.startswith("gRPC cannot be used in a forked child of the server.")


def test_a_forked_child_can_call_over_http(server: ServeProcess) -> None:
    assert run(server, "calls_by_itself", address=f"http://127.0.0.1:{server.http_port}") == "answered None"


def test_grpc_keeps_its_handlers_where_the_environment_asks_for_them(cli: Cli) -> None:
    with cli.with_variables(GRPC_ENABLE_FORK_SUPPORT="1").serving(AGENTS / "forks") as server:
        assert run(server, "variable") == "1"
