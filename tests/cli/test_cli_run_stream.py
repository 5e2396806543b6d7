"""`runagent run-stream` against a real server."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cli.commands import AGENTS, PATIENCE_SECONDS, Cli
from tests.waiting import eventually

PROBE = ("--id", "probe", "--local")


@pytest.mark.parametrize(
    ("tag", "out"),
    [
        pytest.param("text_stream", "no newline [bold]markup[/bold] \x1b[1mgrüße 🌊\r\n100%".encode(), id="text"),
        pytest.param("bytes_stream", b"\x00\xff\n\x80", id="bytes"),
        pytest.param(
            "mixed_stream",
            'text{"a":1,"ü":[1.0,null]}\nnull\n7\n1000000000000000000000000000000\ntrue\nraw[]\ntext'.encode(),
            id="other values",
        ),
    ],
)
def test_chunks_are_on_standard_output_exactly_as_they_are(probe: Cli, tag: str, out: bytes) -> None:
    outcome = probe("run-stream", *PROBE, "--tag", tag)
    assert (outcome.code, outcome.out, outcome.err) == (0, out, "")


def test_each_chunk_is_there_before_the_next_one_is_made(probe: Cli, tmp_path: Path) -> None:
    with probe.started("run-stream", *PROBE, "--tag", "gated_stream", f"--folder={tmp_path}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"before\n"
        (tmp_path / "gate").touch()
        assert process.stdout.read() == b"after\n"
        assert process.wait(PATIENCE_SECONDS) == 0


def test_a_failure_comes_after_the_chunks_before_it(probe: Cli) -> None:
    outcome = probe("run-stream", *PROBE, "--tag", "fail_stream", "--count=3")
    assert (outcome.code, outcome.out) == (1, b"0 1 2 ")
    assert outcome.err == "❌ Execution failed: The tokens ran out.\n"


@pytest.mark.parametrize("tag", ["ticks_stream", "hush_stream"])
def test_ctrl_c_cancels_the_stream(probe: Cli, tmp_path: Path, tag: str) -> None:
    with probe.started("run-stream", *PROBE, "--tag", tag, f"--folder={tmp_path}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() in (b"tick\n", b"hush\n")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, err) == (130, b"Cancelled.\n")
    eventually((tmp_path / "finished").exists)


@pytest.mark.parametrize("tag", ["ticks_stream", "hush_stream"])
def test_a_reader_that_leaves_cancels_the_stream_quietly(probe: Cli, tmp_path: Path, tag: str) -> None:
    with probe.started("run-stream", *PROBE, "--tag", tag, f"--folder={tmp_path}") as process:
        assert process.stdout is not None
        assert process.stdout.readline() in (b"tick\n", b"hush\n")
        process.stdout.close()
        assert process.wait(PATIENCE_SECONDS) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b""
    eventually((tmp_path / "finished").exists)


def test_head_takes_what_it_wants(probe: Cli, tmp_path: Path) -> None:
    outcome = probe.shell(f"runagent run-stream --id probe --local --tag ticks_stream --folder={tmp_path} | head -2")
    assert (outcome.code, outcome.out, outcome.err) == (0, b"tick\ntick\n", "")
    eventually((tmp_path / "finished").exists)


def test_the_timeout_bounds_the_stream(probe: Cli, tmp_path: Path) -> None:
    outcome = probe("run-stream", *PROBE, "--tag", "hush_stream", f"--folder={tmp_path}", "--timeout", "0.5")
    assert (outcome.code, outcome.out) in ((1, b"hush\n"), (1, b""))
    assert "timed out after" in outcome.error


def test_whoever_waits_for_a_server_that_was_killed_is_told_so(cli: Cli, tmp_path: Path) -> None:
    with (
        cli.serving(AGENTS / "probe") as server,
        cli.started("run-stream", *PROBE, "--tag", "gated_stream", f"--folder={tmp_path}") as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"before\n"
        server.process.kill()
        assert process.stderr.readline().endswith(b" Trying again for up to 60 s.\n")
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"Cancelled.\n"
        assert process.wait(PATIENCE_SECONDS) == 130
