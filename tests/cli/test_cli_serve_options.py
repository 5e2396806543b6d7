"""The options of `runagent serve` that say how much it takes on, what it keeps, and what it takes from its folder."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from runagent_cli.serve import serve
from runagent_grpc.client import RunAgentClient
from runagent_grpc.engine import EngineSettings
from runagent_grpc.errors import Reason, RunAgentError
from runagent_grpc.server.server import ServerSettings
from tests.cli.commands import AGENTS, Cli, ServeProcess
from tests.waiting import eventually

PROBE = AGENTS / "probe"


def client_of(server: ServeProcess, tag: str, **options: Any) -> RunAgentClient:
    return RunAgentClient("probe", tag, base_url=f"grpc://127.0.0.1:{server.port}", **options)


def refusal_of(client: RunAgentClient, **arguments: Any) -> RunAgentError:
    with pytest.raises(RunAgentError) as caught:
        client.run(**arguments)
    return caught.value


def test_the_defaults_are_those_of_the_settings() -> None:
    given = serve.make_context("serve", []).params
    engine = EngineSettings()
    assert [given[name] for name in ("max_concurrent", "max_queued", "rate_limit", "run_timeout", "heartbeat")] == [
        engine.max_invocations,
        engine.max_queued,
        engine.rate_limit,
        engine.max_run_timeout,
        engine.heartbeat_interval,
    ]
    assert given["drain_grace"] == ServerSettings().drain_grace


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-concurrent", "0"),
        ("--max-queued", "-1"),
        ("--rate-limit", "0"),
        ("--rate-limit", "nan"),
        ("--run-timeout", "0"),
        ("--run-timeout", "inf"),
        ("--heartbeat", "0"),
        ("--heartbeat", "nan"),
        ("--drain-grace", "-1"),
        ("--drain-grace", "soon"),
    ],
)
def test_a_limit_that_cannot_be_is_a_usage_error(cli: Cli, option: str, value: str) -> None:
    outcome = cli("serve", str(PROBE), option, value)
    assert outcome.code == 2
    assert f"Invalid value for '{option}'" in outcome.error


def test_one_call_at_once_and_none_that_waits(cli: Cli, tmp_path: Path) -> None:
    with (
        cli.serving(PROBE, "--max-concurrent", "1", "--max-queued", "0", "--drain-grace", "0") as server,
        client_of(server, "hush_stream").run_stream(folder=str(tmp_path)) as stream,
        client_of(server, "greet") as client,
    ):
        assert next(stream) == "hush\n"
        assert refusal_of(client, name="Ada").reason is Reason.OVERLOADED


def test_calls_a_second_are_counted(cli: Cli) -> None:
    with cli.serving(PROBE, "--rate-limit", "0.001") as server, client_of(server, "greet") as client:
        assert client.run(name="Ada") == "Hello, Ada!"
        assert refusal_of(client, name="Ada").reason is Reason.RATE_LIMITED


def test_no_call_runs_longer_than_any_may(cli: Cli, tmp_path: Path) -> None:
    with cli.serving(PROBE, "--run-timeout", "0.2") as server, client_of(server, "wait") as client:
        assert refusal_of(client, folder=str(tmp_path)).reason is Reason.TIMEOUT
        eventually((tmp_path / "finished").exists)


def test_a_journal_and_no_payloads_contradict_each_other(cli: Cli) -> None:
    outcome = cli("serve", str(PROBE), "--journal", "--no-payloads")
    assert outcome.code == 2
    assert outcome.error == ("Error: --journal keeps chunks as they are, --no-payloads keeps none; give one of them.")


def test_a_journal_that_there_is_no_place_for_is_a_failure(cli: Cli) -> None:
    cache = cli.home / "cache"
    cache.mkdir(parents=True)
    (cache / "runagent_local.db").write_text("This is no database.")
    outcome = cli("serve", str(PROBE), "--journal", "--port", "0", "--grpc-port", "0")
    assert outcome.code == 1
    assert "❌ There is nowhere to keep a journal" in outcome.err


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    folder = tmp_path / "edited"
    shutil.copytree(PROBE, folder)
    return folder


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    beside = file.with_name("beside")
    beside.write_text(text.replace(old, new), encoding="utf-8")
    beside.replace(file)


def loaded(server: ServeProcess, times: int) -> None:
    """Waits until the agent has been loaded anew so often."""
    eventually(lambda: server.err.count("Loaded anew") == times)


def test_an_edit_is_taken_and_a_mistake_is_shown_once_and_changes_nothing(cli: Cli, edited: Path) -> None:
    code, config = edited / "main.py", edited / "runagent.config.json"
    with cli.serving(edited, "--reload") as server, client_of(server, "greet") as client:
        assert client.run(name="Ada") == "Hello, Ada!"
        edit(code, "Hello", "Good day")
        server.wait_for("Loaded anew, for main.py has changed.")
        assert client.run(name="Ada") == "Good day, Ada!"

        edit(code, "Good day", '" + Hello"')
        server.wait_for("❌ Not taken, and nothing has changed for callers:\nmain.py, line ")
        assert client.run(name="Ada") == "Good day, Ada!"
        assert server.err.count("SyntaxError") == 1
        assert "detected" not in server.err

        edit(code, '" + Hello"', "Hello")
        edit(config, json.loads(config.read_text())["agent_id"], "another")
        server.wait_for("`agent_id` changed. Start the server again to take that.")
        assert client.run(name="Ada").endswith(", Ada!")


def test_streams_go_on_while_the_agent_is_edited(cli: Cli, edited: Path) -> None:
    with (
        cli.serving(edited, "--reload", "--drain-grace", "0") as server,
        client_of(server, "ticks_stream").run_stream(folder=str(edited)) as stream,
        client_of(server, "ticks_stream").run_stream(folder=str(edited)) as another,
    ):
        assert next(stream) == next(another) == "tick\n"
        before = "tick"
        for number in range(1, 6):
            edit(edited / "main.py", f'yield "{before}\\n"', f'yield "tock {number}\\n"')
            before = f"tock {number}"
            loaded(server, number)
            assert [*itertools.islice(stream, 100), *itertools.islice(another, 100)] == ["tick\n"] * 200
            with client_of(server, "ticks_stream").run_stream(folder=str(edited)) as fresh:
                assert next(fresh) == f"{before}\n"
