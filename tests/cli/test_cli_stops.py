"""What a signal does to a server that something keeps, and one whose terminal is gone."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runagent_grpc.client import RunAgentClient
from runagent_grpc.errors import RunAgentError
from tests.cli.commands import AGENTS, PATIENCE_SECONDS, Cli, ServeProcess
from tests.waiting import eventually

AGENT = AGENTS / "lingers"
GRACE = "0.5"
SLACK_SECONDS = 8.0
"""For a machine that does much else. What is tested would take ten minutes otherwise."""


def stopped(server: ServeProcess, number: signal.Signals = signal.SIGTERM) -> int:
    """Sends a signal, and returns how the server ended."""
    sent = time.monotonic()
    server.process.send_signal(number)
    code = server.wait()
    assert time.monotonic() - sent < float(GRACE) + 2 + SLACK_SECONDS
    return code


@pytest.mark.parametrize(
    ("tag", "left"),
    [
        ("to_thread", "1 thread (asyncio_0)"),
        ("all_of_the_loops_threads", f"{(os.cpu_count() or 1) + 4} threads (asyncio_0, "),
        ("executor", "1 thread (author_0)"),
        ("thread", "1 thread (author)"),
        ("task", "1 task."),
        ("child", "1 child (process "),
    ],
)
def test_what_an_entrypoint_has_left_does_not_keep_the_server(cli: Cli, tag: str, left: str) -> None:
    with cli.serving(AGENT, "--drain-grace", GRACE) as server:
        with server.client("grpc", "lingers", tag) as client:
            assert client.run() == "done"
        assert stopped(server) == 0, server.err
        (line,) = [line for line in server.err.splitlines() if "Left behind" in line]
        assert f"Left behind what does not end: {left}" in line


def test_a_signal_that_an_entrypoint_handles_leaves_the_servers_own_alone(cli: Cli) -> None:
    with cli.serving(AGENT, "--drain-grace", GRACE) as server:
        for _ in range(2):
            with server.client("grpc", "lingers", "handles_a_signal") as client:
                assert client.run() == "done"
        assert stopped(server) == 0
        assert "Left behind" not in server.err


def test_a_call_that_swallows_its_cancellation_does_not_keep_the_server(cli: Cli) -> None:
    with cli.serving(AGENT, "--drain-grace", GRACE) as server:
        url = f"grpc://127.0.0.1:{server.port}"
        with RunAgentClient("lingers", "swallows", base_url=url, timeout=1) as client, pytest.raises(RunAgentError):
            client.run()
        assert stopped(server) == 0, server.err
        assert "Left behind what does not end: 1 call." in server.err


def begun_on_a_thread(server: ServeProcess, tag: str, begun: Path, callers: ThreadPoolExecutor) -> None:
    def call() -> None:
        with RunAgentClient("lingers", tag, base_url=f"grpc://127.0.0.1:{server.port}", retry_seconds=0) as client:
            client.run(begun=str(begun))

    callers.submit(call)
    eventually(begun.exists)


def test_a_blocked_loop_does_not_keep_the_server(cli: Cli, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as callers, cli.serving(AGENT, "--drain-grace", GRACE) as server:
        begun_on_a_thread(server, "blocks_the_loop", tmp_path / "begun", callers)
        assert stopped(server) == 0, server.err
        assert "Left behind what does not end: the event loop, which something blocks." in server.err


def test_a_second_signal_ends_a_server_whose_loop_is_blocked(cli: Cli, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as callers, cli.serving(AGENT, "--drain-grace", "600") as server:
        begun_on_a_thread(server, "blocks_the_loop", tmp_path / "begun", callers)
        # Two of them, since the second of one signal may come before the first is taken, and is then the same.
        server.process.send_signal(signal.SIGTERM)
        assert stopped(server, signal.SIGINT) in (128 + signal.SIGINT, 128 + signal.SIGTERM)


def test_code_that_keeps_the_interpreter_lock_is_ended_with_a_traceback(cli: Cli, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as callers, cli.serving(AGENT, "--drain-grace", GRACE) as server:
        begun_on_a_thread(server, "keeps_the_lock", tmp_path / "begun", callers)
        assert stopped(server) == 1, server.err
        assert "in keeps_the_lock\n" in server.err


def in_a_session_of_its_own() -> None:
    os.setsid()
    # The terminal is the session's now, which gets SIGHUP when it is closed; not where `nohup` started these tests.
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_server_whose_terminal_is_closed_drains(cli: Cli) -> None:
    terminal, end = pty.openpty()
    output, ready = bytearray(), threading.Event()

    def read() -> None:
        while b"Press Ctrl-C to stop." not in output:
            output.extend(os.read(terminal, 4096))
        ready.set()

    arguments = ("serve", str(AGENT), "--port", "0", "--grpc-port", "0")
    with cli.started(*arguments, stdin=end, stdout=end, stderr=end, preexec_fn=in_a_session_of_its_own) as process:
        os.close(end)
        threading.Thread(target=read, daemon=True).start()
        assert ready.wait(PATIENCE_SECONDS), output.decode()
        port = re.search(r"grpc://127\.0\.0\.1:(\d+)", output.decode())
        assert port
        with RunAgentClient("lingers", "ticks_stream", base_url=f"grpc://127.0.0.1:{port[1]}") as client:
            stream = client.run_stream(n=100)
            assert next(stream) == 0
            os.close(terminal)
            assert list(stream) == list(range(1, 100))
        assert process.wait(PATIENCE_SECONDS) == 0
