"""The options of `runagent serve` that say how much it takes on, what it keeps, and what it takes from its folder."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runagent_cli.serve import serve
from runagent_grpc.client import RunAgentClient
from runagent_grpc.errors import Reason, RunAgentError
from runagent_grpc.server.config import SETTINGS, ServerConfig
from runagent_grpc.server.config_sources import load_config
from tests.cli.commands import AGENTS, Cli, ServeProcess
from tests.server.config_reference import example
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
    names = {f"set_{setting.name}": setting.name for setting in SETTINGS if setting.flags}
    assert names.keys() <= given.keys()
    # What is not given is left to the environment and the file.
    assert {given[name] for name in names} == {None, ()}
    assert load_config(environment={}, flags={}) == ServerConfig()


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


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "keys.txt").write_text("a-long-enough-key\n")
    (tmp_path / "keys.txt").chmod(0o600)
    file = tmp_path / "server.yaml"
    file.write_text("listen: {http: off, api_key_file: keys.txt}\nlimits: {max_concurrent: 1, max_queued: 0}\n")
    return file


def test_a_server_is_set_up_by_a_file(cli: Cli, config: Path, tmp_path: Path) -> None:
    key = "a-long-enough-key"
    with (
        cli.serving(PROBE, "--config", str(config), "--drain-grace", "0") as server,
        client_of(server, "hush_stream", api_key=key).run_stream(folder=str(tmp_path)) as stream,
        client_of(server, "greet", api_key=key) as client,
        client_of(server, "greet") as stranger,
    ):
        assert "http://" not in server.err
        assert next(stream) == "hush\n"
        assert refusal_of(client, name="Ada").reason is Reason.OVERLOADED
        assert refusal_of(stranger, name="Ada").reason is Reason.AUTHENTICATION_ERROR


def test_the_documented_file_sets_up_a_server(cli: Cli, config: Path) -> None:
    config.write_text(example(), encoding="utf-8")
    with cli.serving(PROBE, "--config", str(config)) as server:
        assert "Warning: It listens on 0.0.0.0, and without TLS" in server.err
        with client_of(server, "greet", api_key="a-long-enough-key") as client:
            assert client.run(name="Ada") == "Hello, Ada!"


def test_flags_go_before_variables_and_those_before_the_file(cli: Cli, config: Path) -> None:
    key = "a-long-enough-key"
    environment = cli.with_variables(RUNAGENT_SERVER_HTTP="no", RUNAGENT_SERVER_RATE_LIMIT="0.001")
    with environment.serving(PROBE, "--config", str(config), "--http", "--rate-limit", "none") as server:
        assert server.http_port
        with client_of(server, "greet", api_key=key) as client:
            assert [client.run(name="Ada") for _ in range(2)] == ["Hello, Ada!"] * 2
    with environment.serving(PROBE, "--config", str(config)) as server:
        assert "http://" not in server.err
        with client_of(server, "greet", api_key=key) as client:
            assert client.run(name="Ada") == "Hello, Ada!"
            assert refusal_of(client, name="Ada").reason is Reason.RATE_LIMITED


def test_all_that_is_wrong_with_a_configuration_is_a_failure(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text("limits:\n  max_qeued: 5\n")
    outcome = cli.with_variables(RUNAGENT_SERVER_PORTS="1")("serve", str(PROBE), "--config", str(file))
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.splitlines()[:3] == [
        "❌ The server configuration is invalid:",
        f"{file}, line 2: `limits.max_qeued`: there is no such setting. Did you mean `limits.max_queued`?",
        "RUNAGENT_SERVER_PORTS: there is no such setting. Did you mean RUNAGENT_SERVER_PORT?",
    ]
    one = cli.with_variables(RUNAGENT_SERVER_HEARTBEAT="15s")("serve", str(PROBE))
    assert one.error == ("❌ RUNAGENT_SERVER_HEARTBEAT: expected a number of seconds from 0.1 to 3,600, got `15s`.")


def test_the_help_has_every_flag_with_its_default(cli: Cli) -> None:
    shown = " ".join(cli("serve", "--help").out.decode().split())
    for setting in SETTINGS:
        if setting.flags:
            assert setting.flags.split("/")[0] in shown
            assert setting.help in shown
    assert "How many more may wait for their turn; beyond that they are refused. [default: 100]" in shown


def test_the_options_are_made_without_loading_a_server() -> None:
    heavy = ("grpc", "uvicorn", "starlette", "pydantic", "runagent_grpc.engine", "runagent_grpc.worker")
    script = f"import sys, runagent_cli.serve; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=True)
    assert ended.stdout == "[]\n"


def test_no_agent_of_a_folder_sets_up_the_server(cli: Cli, edited: Path) -> None:
    (edited / ".env").write_text("RUNAGENT_SERVER_HTTP=off\nRUNAGENT_SERVER_XYZ=1\n")
    with cli.serving(edited) as server:
        assert server.http_port


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
