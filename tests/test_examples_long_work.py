"""The example of work that takes a while, served as its README says."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.commands import EXAMPLES, PATIENCE_SECONDS, Cli, ServeProcess
from tests.waiting import eventually

LONG_WORK = ("--id", "long-work", "--local")

FOR_EVER = "--below=1000000000000"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    return Cli(tmp_path_factory.mktemp("long_work"))


@pytest.fixture(scope="module", autouse=True)
def server(cli: Cli) -> Iterator[ServeProcess]:
    with cli.serving(EXAMPLES / "long_work") as server:
        yield server


def invocations(cli: Cli, tag: str) -> list[dict[str, Any]]:
    """What history has of a tag's invocations, the latest of them first."""
    told = json.loads(cli("db", "invocations", "--format", "json").out)
    return [invocation for invocation in told if invocation["entrypoint_tag"] == tag]


def until_running(cli: Cli, tag: str) -> dict[str, Any]:
    """Waits until an invocation of a tag is running, and returns it."""
    eventually(lambda: [one for one in invocations(cli, tag) if one["state"] == "RUNNING"], seconds=30)
    return invocations(cli, tag)[0]


def logs(cli: Cli, invocation: dict[str, Any]) -> list[str]:
    told = json.loads(cli("db", "logs", "--invocation", invocation["invocation_id"], "--format", "json").out)
    return [f"{line['level']} {line['text']}" for line in told]


def test_what_it_logs_is_found_in_history_with_the_user_it_worked_for(cli: Cli) -> None:
    outcome = cli("run", *LONG_WORK, "--tag", "count", "--user-id", "ada", "--below=50000")

    assert (outcome.code, outcome.out) == (0, b'{"primes":5133,"below":50000,"complete":true}\n')
    assert logs(cli, invocations(cli, "count")[0]) == [
        "INFO Counting for ada.",
        "INFO 20000 of 50000 looked at.",
        "INFO 40000 of 50000 looked at.",
        "INFO 50000 of 50000 looked at.",
    ]


def test_with_little_time_left_it_answers_with_what_it_has(cli: Cli) -> None:
    outcome = cli("run", *LONG_WORK, "--tag", "count", "--timeout", "1.5", FOR_EVER)
    told = json.loads(outcome.out)

    assert told["complete"] is False
    assert told["below"] > 0
    assert logs(cli, invocations(cli, "count")[0])[-1] == f"WARNING Stopping at {told['below']} of 1000000000000."


def test_it_stops_when_its_caller_goes_away(cli: Cli) -> None:
    with cli.started("run", *LONG_WORK, "--tag", "count", FOR_EVER) as process:
        running = until_running(cli, "count")
        eventually(lambda: any("looked at" in line for line in logs(cli, running)), seconds=30)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 130

    eventually(lambda: logs(cli, running)[-1].startswith("WARNING Stopping at"), seconds=30)
    assert invocations(cli, "count")[0]["state"] == "CANCELLED"


def test_the_work_of_a_pool_is_in_the_invocation_that_handed_it_out(cli: Cli) -> None:
    outcome = cli("run", *LONG_WORK, "--tag", "count_in_a_pool", "--below=50000")

    assert (outcome.code, outcome.out) == (0, b"5133\n")
    assert sorted(logs(cli, invocations(cli, "count_in_a_pool")[0])) == [
        f"INFO Looking at {start} and above." for start in (0, 20000, 40000)
    ]


def test_so_is_the_work_beside_the_loop(cli: Cli) -> None:
    outcome = cli("run-stream", *LONG_WORK, "--tag", "count_stream", "--below=50000")

    assert (outcome.code, outcome.out) == (0, b"2262\n4203\n5133\n")
    assert logs(cli, invocations(cli, "count_stream")[0]) == [
        f"INFO Looking at {start} and above." for start in (0, 20000, 40000)
    ]


@pytest.mark.parametrize(
    ("command", "tag", "below"),
    [("run", "count_in_a_pool", "--below=200000000"), ("run-stream", "count_stream", FOR_EVER)],
)
def test_a_pool_and_a_stream_stop_with_their_caller(cli: Cli, command: str, tag: str, below: str) -> None:
    with cli.started(command, *LONG_WORK, "--tag", tag, below) as process:
        running = until_running(cli, tag)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 130
    eventually(lambda: invocations(cli, tag)[0]["state"] == "CANCELLED", seconds=30)
    assert invocations(cli, tag)[0]["invocation_id"] == running["invocation_id"]


def test_the_page_prints_the_answer_that_comes(cli: Cli) -> None:
    page = (EXAMPLES / "long_work" / "README.md").read_text()
    (shown,) = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (call,) = re.findall(r"^runagent (run .*--below=100000)$", page, re.MULTILINE)

    assert cli(*call.split()).out.decode() == shown


def test_nothing_is_left_at_work_that_a_stopping_server_would_wait_for(server: ServeProcess) -> None:
    server.process.send_signal(signal.SIGTERM)

    assert server.wait() == 0
