"""What a person at a terminal sees, and what a pipe must not."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

from tests.cli.commands import Cli
from tests.cli.terminals import at_a_terminal
from tests.waiting import eventually

PROBE = ("--id", "probe", "--local")


FAILING = ("run-stream", *PROBE, "--tag", "fail_stream", "--count=2")


def test_a_prompt_gets_a_line_of_its_own(probe: Cli) -> None:
    with at_a_terminal(probe.with_variables(TERM="xterm"), "run-stream", *PROBE, "--tag", "text_stream") as screen:
        text = screen.to_the_end()
    # The terminal itself turns the chunk's own "\r\n" into "\r\r\n".
    chunks, _, aside = text.partition("100%\n")
    assert chunks == "no newline [bold]markup[/bold] \x1b[1mgrüße 🌊\r\n"
    assert re.fullmatch(r"\x1b\[2m6 chunks in \d+\.\d\d s\.\x1b\[0m\n", aside)


def test_a_last_line_that_has_its_end_gets_no_other(probe: Cli) -> None:
    with at_a_terminal(probe.with_variables(NO_COLOR="1"), "run", *PROBE, "--tag", "greet", "--name=Ada") as screen:
        assert re.fullmatch(r"Hello, Ada!\nDone in \d+\.\d\d s\.\n", screen.to_the_end())


def test_a_failure_stands_below_the_chunks_in_red(probe: Cli) -> None:
    with at_a_terminal(probe.with_variables(TERM="xterm"), *FAILING) as screen:
        assert screen.to_the_end() == "0 1 \n❌ \x1b[31mExecution failed: The tokens ran out.\x1b[0m\n"
        assert screen.process.returncode == 1


def test_nothing_is_decorated_where_colours_are_not_wanted(probe: Cli) -> None:
    for unwanted in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        with at_a_terminal(probe.with_variables(**unwanted), *FAILING) as screen:
            assert screen.to_the_end() == "0 1 \n❌ Execution failed: The tokens ran out.\n"


def test_a_prompt_gets_its_line_where_standard_error_goes_elsewhere(probe: Cli) -> None:
    with at_a_terminal(probe, *FAILING, stderr=subprocess.PIPE) as screen:
        assert screen.to_the_end() == "0 1 \n"
        assert screen.process.stderr is not None
        assert screen.process.stderr.read().decode() == "❌ Execution failed: The tokens ran out.\n"


def test_a_pipe_gets_the_chunks_alone_though_a_person_watches(probe: Cli) -> None:
    with at_a_terminal(probe, *FAILING, stdout=subprocess.PIPE) as screen:
        assert screen.process.stdout is not None
        assert screen.process.stdout.read() == b"0 1 "
        assert "tokens ran out" in screen.to_the_end()


def test_ctrl_c_says_so_on_a_line_of_its_own(probe: Cli, tmp_path: Path) -> None:
    call = ("run-stream", *PROBE, "--tag", "hush_stream", f"--folder={tmp_path}")
    with at_a_terminal(probe, *call) as screen:
        screen.wait_for(b"hush\r\n")
        screen.process.send_signal(signal.SIGINT)
        assert screen.to_the_end() == "hush\nCancelled.\n"
        assert screen.process.returncode == 130
    eventually((tmp_path / "finished").exists)
