"""What becomes of children that an entrypoint forks."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.commands import AGENTS, Cli, ServeProcess


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
