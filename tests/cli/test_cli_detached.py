"""Streams that outlive the command that started them, and those that take them up."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from tests.cli.commands import AGENTS, PATIENCE_SECONDS, Cli, Outcome
from tests.cli.terminals import at_a_terminal
from tests.waiting import eventually

PROBE = ("--id", "probe", "--local")


def interrupted(cli: Cli, *command: str, first: bytes) -> str:
    """Interrupts a stream when its first line has come, and returns what was said on standard error."""
    with cli.started("run-stream", *PROBE, *command) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == first
        # The id is told as the stream starts, on a thread that has no part in the output.
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        text = said + process.stderr.read()
        assert process.wait(PATIENCE_SECONDS) == 130
    return text.decode()


def commands_in(text: str) -> list[str]:
    """The commands that a text tells a person to paste."""
    return re.findall(r"^  runagent (?:.*\\\n)*.*$", text, re.MULTILINE)


def id_in(text: str) -> str:
    found = re.search(r"Invocation (\S+) goes on by itself", text)
    assert found, text
    return found[1]


def test_a_detached_stream_goes_on_and_is_taken_up_by_the_commands_that_it_told(probe: Cli, tmp_path: Path) -> None:
    text = interrupted(probe, "--tag", "gated_stream", f"--folder={tmp_path}", "--detach", first=b"before\n")
    elsewhere, behind = commands_in(text)
    invocation_id = id_in(text)
    assert text == (
        f"Invocation {invocation_id} goes on by itself. To take it up elsewhere:\n{elsewhere}\n"
        f"Left. To go on behind the last chunk:\n{behind}\n"
    )
    assert behind == f"  runagent run-stream --id probe --local \\\n    --resume {invocation_id} --after 1"

    (tmp_path / "gate").touch()
    assert probe.shell(behind) == Outcome(code=0, out=b"after\n", err="")
    assert probe.shell(elsewhere) == Outcome(code=0, out=b"before\nafter\n", err="")


def test_at_a_terminal_the_way_to_go_on_stands_on_lines_of_its_own(probe: Cli, tmp_path: Path) -> None:
    call = ("run-stream", *PROBE, "--tag", "hush_stream", f"--folder={tmp_path}", "--detach")
    with at_a_terminal(probe, *call) as screen:
        screen.wait_for(b"hush\r\n")
        screen.process.send_signal(signal.SIGINT)
        text = screen.to_the_end()
        assert screen.process.returncode == 130
    # The id comes before whatever the entrypoint says.
    elsewhere, behind = commands_in(text)
    assert text == (
        f"Invocation {id_in(text)} goes on by itself. To take it up elsewhere:\n{elsewhere}\n"
        f"hush\nLeft. To go on behind the last chunk:\n{behind}\n"
    )
    assert probe("cancel", id_in(text), *PROBE).code == 0


def test_a_stream_that_was_taken_up_can_be_left_and_taken_up_again(probe: Cli, tmp_path: Path) -> None:
    text = interrupted(probe, "--tag", "hush_stream", f"--folder={tmp_path}", "--detach", first=b"hush\n")
    invocation_id = id_in(text)
    with probe.started("run-stream", *PROBE, "--resume", invocation_id) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"hush\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, commands_in(err.decode())) == (130, commands_in(text)[1:])
    assert not (tmp_path / "finished").exists()

    cancelled = probe("cancel", invocation_id, *PROBE)
    assert (cancelled.code, cancelled.out, cancelled.err) == (0, b"", "Cancelled, unless it had ended before.\n")
    eventually((tmp_path / "finished").exists)
    again = probe("cancel", invocation_id, *PROBE)
    assert again.code == 0
    resumed = probe("run-stream", *PROBE, "--resume", invocation_id)
    assert (resumed.code, resumed.out) == (1, b"hush\n")
    assert "cancelled" in resumed.error


def test_a_reader_that_leaves_a_detached_stream_cancels_nothing(probe: Cli, tmp_path: Path) -> None:
    outcome = probe.shell(
        f"runagent run-stream --id probe --local --tag hush_stream --folder={tmp_path} --detach | head -1"
    )
    assert (outcome.code, outcome.out) == (0, b"hush\n")
    *_, behind = commands_in(outcome.err)
    assert behind.endswith(" --after 1")
    assert not (tmp_path / "finished").exists()
    assert probe("cancel", id_in(outcome.err), *PROBE).code == 0


def test_whoever_waits_no_longer_for_a_detached_stream_is_told_how_to_go_on(probe: Cli, tmp_path: Path) -> None:
    call = ("--tag", "hush_stream", f"--folder={tmp_path}", "--detach", "--timeout", "1")
    outcome = probe("run-stream", *PROBE, *call)
    assert (outcome.code, outcome.out) == (1, b"hush\n")
    assert "timed out" in outcome.err
    assert commands_in(outcome.err)[-1].endswith(" --after 1")
    assert not (tmp_path / "finished").exists()
    assert probe("cancel", id_in(outcome.err), *PROBE).code == 0


def test_a_detached_stream_that_ends_says_no_more_than_its_id(probe: Cli) -> None:
    outcome = probe("run-stream", *PROBE, "--tag", "fail_stream", "--count=2", "--detach")
    assert (outcome.code, outcome.out) == (1, b"0 1 ")
    assert len(commands_in(outcome.err)) == 1
    assert outcome.err.endswith("❌ Execution failed: The tokens ran out.\n")


def test_after_a_crash_what_was_journaled_is_there_and_the_rest_is_told_as_lost(cli: Cli, tmp_path: Path) -> None:
    with cli.serving(AGENTS / "probe", "--journal") as server:
        text = interrupted(cli, "--tag", "ticks_stream", f"--folder={tmp_path}", "--detach", first=b"tick\n")
        server.process.kill()
        server.wait()
    with cli.serving(AGENTS / "probe", "--journal"):
        outcome = cli("run-stream", *PROBE, "--resume", id_in(text))
        assert outcome.code == 1
        assert outcome.out == b"tick\n" * outcome.out.count(b"tick\n")
        assert outcome.out
        assert outcome.err.startswith("❌ Execution failed: ")
        assert "process ended before the invocation did" in outcome.err
        assert commands_in(outcome.err) == []


@pytest.mark.parametrize("command", [("cancel", "nothing"), ("run-stream", "--resume", "nothing")])
def test_an_unknown_invocation_is_a_failure(probe: Cli, command: tuple[str, ...]) -> None:
    outcome = probe(*command, *PROBE)
    assert outcome.code == 1
    assert outcome.error.endswith("Invocation not found")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--after", "1", "--tag", "a_stream"), "--after goes with --resume, which names the invocation."),
        (("--resume", "id", "--after", "-1"), "Invalid value for '--after': -1 is not in the range"),
        (("--resume", "id", "--tag", "a_stream"), "--resume takes a stream up as it was started: leave out the tag"),
        (("--resume", "id", "--detach"), "--resume takes a stream up as it was started"),
        (("--resume", "id", "--name=Ada"), "--resume takes a stream up as it was started"),
        ((), "Missing option '--tag'."),
    ],
)
def test_options_that_contradict_each_other_are_a_usage_error(cli: Cli, options: tuple[str, ...], text: str) -> None:
    outcome = cli("run-stream", *PROBE, *options)
    assert outcome.code == 2
    assert outcome.error.startswith(f"Error: {text}")


def test_nothing_says_which_server_to_cancel_on(cli: Cli) -> None:
    outcome = cli("cancel", "id")
    assert (outcome.code, outcome.error) == (
        2,
        "Error: Say which server: --id ID with --local, or --host HOST with --port PORT.",
    )
