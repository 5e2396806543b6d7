"""What a call for an exit costs that comes from a task or a callback of an entrypoint's: that call, and no other."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from runagent_grpc.errors import ExecutionFailedError, Reason
from tests.cli.commands import AGENTS, Cli, ServeProcess

CALLED_EXIT = 'The entrypoint called sys.exit("usage").'

TEXTS = {
    **dict.fromkeys(("direct", "on_a_thread", "gathered", "grouped", "awaited", "in_time", "not_awaited"), CALLED_EXIT),
    **dict.fromkeys(("soon", "later", "when_done", "readable"), CALLED_EXIT),
    "interrupted": "KeyboardInterrupt",
}
STREAMS = ("gathered_stream", "fed_stream", "later_stream")
WIRES = ("grpc", "http")


@pytest.fixture
def server(cli: Cli) -> Iterator[ServeProcess]:
    with cli.serving(AGENTS / "exits") as server:
        yield server
        # It ends in order: nothing has ended it before.
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0, server.err


def run(server: ServeProcess, wire: str, tag: str) -> Any:
    with server.client(wire, "exits", tag) as client:
        return client.run()


@pytest.mark.parametrize("wire", WIRES)
def test_an_exit_out_of_a_task_or_a_callback_fails_its_own_call_alone(server: ServeProcess, wire: str) -> None:
    with server.client(wire, "exits", "slow_stream") as healthy:
        beside = iter(healthy.run_stream(count=200))
        assert next(beside) == 0
        for tag, text in TEXTS.items():
            with pytest.raises(ExecutionFailedError) as caught:
                run(server, wire, tag)
            assert (caught.value.message, caught.value.reason) == (text, Reason.EXECUTION_FAILED), tag
            assert run(server, wire, "fine") == "fine"
        assert list(beside) == list(range(1, 200))


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("tag", STREAMS)
def test_an_exit_within_a_stream_ends_it_behind_its_chunks(server: ServeProcess, wire: str, tag: str) -> None:
    chunks: list[int] = []
    with server.client(wire, "exits", tag) as client, pytest.raises(ExecutionFailedError, match=r"called sys\.exit"):
        chunks.extend(client.run_stream())
    assert run(server, wire, "fine") == "fine"


def test_the_log_says_where_an_exit_was_called_for(server: ServeProcess) -> None:
    with pytest.raises(ExecutionFailedError) as caught:
        run(server, "grpc", "later")
    server.wait_for("SystemExit: usage")
    assert f"WARNING An entrypoint raised. invocation_id={caught.value.invocation_id}\n" in server.err
    assert "in _exit_now\n" in server.err


def test_an_exit_that_belongs_to_no_call_is_logged(server: ServeProcess) -> None:
    assert run(server, "grpc", "after_the_end") == "done"
    server.wait_for("SystemExit: usage")
    assert "WARNING A task or a callback outside of any call asked for an exit, and the server stays.\n" in server.err
    assert run(server, "grpc", "fine") == "fine"


def test_an_entrypoint_cannot_stop_the_event_loop(server: ServeProcess) -> None:
    assert run(server, "grpc", "stopping") == "done"
    assert run(server, "grpc", "fine") == "fine"
