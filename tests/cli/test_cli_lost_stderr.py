"""A server whose standard error is gone: its entrypoints print all the same, and it ends as it should."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runagent_grpc.client import RunAgentClient
from runagent_grpc.errors import ExecutionFailedError
from tests.cli.commands import PATIENCE_SECONDS, Cli
from tests.cli.speaking import lines_of, speaking_agent
from tests.ports import lasting_port
from tests.waiting import eventually

SOURCE = """
import logging
import sys
import traceback

def speak(name):
    print(f"{name} printed", flush=True)
    print(f"{name} to stderr", file=sys.stderr, flush=True)
    logging.getLogger("author").warning("%s logged", name)
    try:
        raise ValueError(name)
    except ValueError:
        traceback.print_exc()
    return name

async def speak_later(name):
    return speak(name)

def speak_stream(name):
    yield speak(name)

async def speak_later_stream(name):
    yield speak(name)

def fail(name):
    print(f"{name} printed")
    raise ValueError(name)
"""

TAGS = ("speak", "speak_later", "speak_stream", "speak_later_stream")

Started = Callable[[Cli, list[str]], "contextlib.AbstractContextManager[subprocess.Popen[bytes]]"]


@contextlib.contextmanager
def closed(cli: Cli, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    script = 'exec "$@" 2>&-'
    command = ["bash", "-c", script, "bash", sys.executable, "-m", "runagent_cli", *arguments]
    with subprocess.Popen(command, env=cli.environment, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def reader_left(cli: Cli, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with cli.started(*arguments, stdout=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        while b"Press Ctrl-C" not in process.stderr.readline():
            assert process.poll() is None
        process.stderr.close()
        yield process


@contextlib.contextmanager
def terminal_closed(cli: Cli, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    ours, theirs = os.openpty()
    with cli.started(*arguments, stdout=subprocess.DEVNULL, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        said = b""
        while b"Press Ctrl-C" not in said:
            said += os.read(ours, 1024)
        os.close(ours)
        yield process


@contextlib.contextmanager
def disk_full(cli: Cli, arguments: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with open("/dev/full", "wb") as full, cli.started(*arguments, stdout=full, stderr=full) as process:
        yield process


WAYS = (closed, reader_left, terminal_closed, disk_full)


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full, and what terminals do that are closed")
@pytest.mark.parametrize("lose", WAYS, ids=lambda lose: lose.__name__)
def test_printing_never_fails_a_call_and_the_server_exits_with_0(cli: Cli, tmp_path: Path, lose: Started) -> None:
    folder = speaking_agent(tmp_path / "agent", SOURCE, *TAGS, "fail")
    port = lasting_port()
    with lose(cli, ["serve", str(folder), "--no-http", "--grpc-port", str(port)]) as process:
        eventually(lambda: answers(port), seconds=PATIENCE_SECONDS)
        # Often enough that a buffer that nobody empties would be full.
        for count in range(40):
            tag = TAGS[count % len(TAGS)]
            with client(port, tag) as caller:
                result = caller.run(name="x" * 500)
                assert (list(result) if tag.endswith("_stream") else [result]) == ["x" * 500]
        with client(port, "fail") as caller, pytest.raises(ExecutionFailedError, match=r"^no good$"):
            caller.run(name="no good")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0

    lines = lines_of(cli)
    assert [text for _, text in lines if text.endswith(" printed")] == ["x" * 500 + " printed"] * 40 + [
        "no good printed"
    ]
    assert sum(level == "WARNING" and text.endswith(" logged") for level, text in lines) == 40
    assert any("An entrypoint raised." in text and "ValueError: no good" in text for _, text in lines)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def client(port: int, tag: str) -> RunAgentClient:
    return RunAgentClient("speaking", tag, base_url=f"grpc://127.0.0.1:{port}", timeout=PATIENCE_SECONDS)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_no_file_of_a_server_gets_the_number_of_a_stream_that_is_closed(cli: Cli, tmp_path: Path) -> None:
    source = "import os\ndef third():\n    return os.readlink('/proc/self/fd/2')\n"
    folder = speaking_agent(tmp_path / "agent", source, "third")
    port = lasting_port()
    with closed(cli, ["serve", str(folder), "--no-http", "--grpc-port", str(port)]):
        eventually(lambda: answers(port), seconds=PATIENCE_SECONDS)
        with client(port, "third") as caller:
            assert caller.run() == os.devnull
