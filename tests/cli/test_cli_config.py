"""`runagent config` and `runagent whoami`: what is kept, what counts, and where a key goes."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.cli.commands import AGENTS, Cli

CALL = ("run", "--id", "probe", "--tag", "greet", "--name=Ada")
KEY = "secret-key-1"


def kept_by(cli: Cli) -> Path:
    return cli.home / "cache" / "user_data.json"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "commands",
    [
        [("config", "--set-base-url", "http://one:1", "--set-api-key", KEY)],
        [("config", "set-api-key", KEY), ("config", "set-base-url", "http://one:1")],
    ],
    ids=["options", "commands"],
)
def test_settings_are_kept_where_published_tools_keep_theirs(cli: Cli, commands: list[tuple[str, ...]]) -> None:
    for command in commands:
        outcome = cli(*command)
        assert (outcome.code, outcome.out) == (0, b"")
        assert KEY not in outcome.err
    assert json.loads(kept_by(cli).read_text()) == {"base_url": "http://one:1", "api_key": KEY}
    assert stat.S_IMODE(kept_by(cli).stat().st_mode) == 0o600


def test_what_is_in_effect_is_shown_with_where_it_is_from(cli: Cli) -> None:
    assert cli("config").out.decode().splitlines() == [
        "SETTING   VALUE    FROM",
        "base_url  not set",
        "api_key   not set",
    ]
    cli("config", "--set-base-url", "http://one:1", "--set-api-key", KEY)
    shown = cli.with_variables(RUNAGENT_API_KEY="short")("config", "show")
    assert [line.split() for line in shown.out.decode().splitlines()] == [
        ["SETTING", "VALUE", "FROM"],
        ["base_url", "http://one:1", "user_data.json"],
        ["api_key", "****", "RUNAGENT_API_KEY"],
    ]
    assert json.loads(cli("config", "show", "--format", "json").out) == {
        "base_url": {"value": "http://one:1", "source": "user_data.json"},
        "api_key": {"value": "****ey-1", "source": "user_data.json"},
    }


def test_a_kept_key_is_told_to_be_for_its_own_server_alone(cli: Cli) -> None:
    cli("config", "--set-base-url", "http://one:1", "--set-api-key", KEY)
    elsewhere = cli.with_variables(RUNAGENT_BASE_URL="http://127.0.0.1:1")
    assert "Warning: The kept key is for http://one:1, and goes to no other server.\n" in elsewhere("config").err
    assert b"API key   none; the one that is kept is for http://one:1\n" in elsewhere("whoami").out
    assert "The kept key, ****ey-1, goes there from now on." in cli("config", "set-base-url", "http://two:2").err


def test_a_key_may_come_from_standard_input(cli: Cli) -> None:
    piped = cli("config", "set-api-key", stdin=f"{KEY}\n".encode())
    assert (piped.code, piped.err) == (
        0,
        "The API key is ****ey-1.\nIt goes to the base URL alone; `runagent config set-base-url URL` names one.\n",
    )
    assert json.loads(kept_by(cli).read_text()) == {"api_key": KEY}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("set-base-url", "localhost:8450"), "'localhost:8450' is not a URL such as http://host:8450"),
        (("set-base-url", ""), "is not a URL"),
        (("set-api-key", "two words"), "The API key is empty, or holds characters that no header can carry."),
        (("set-api-key", ""), "The API key is empty"),
        (("--set-api-key", KEY, "--set-base-url", "nonsense"), "is not a URL"),
    ],
)
def test_what_no_client_could_use_is_not_kept(cli: Cli, arguments: tuple[str, ...], text: str) -> None:
    outcome = cli("config", *arguments)
    assert (outcome.code, text in outcome.error) == (1, True), outcome.err
    assert not kept_by(cli).exists()


def test_settings_that_the_environment_overrides_are_told_so(cli: Cli) -> None:
    loud = cli.with_variables(RUNAGENT_BASE_URL="http://one:1", RUNAGENT_API_KEY="key")
    outcome = loud("config", "--set-base-url", "http://two:2", "--set-api-key", KEY)
    assert "Warning: RUNAGENT_BASE_URL is set, and goes before it." in outcome.err
    assert "Warning: RUNAGENT_API_KEY is set, and goes before it." in outcome.err


def test_a_file_of_settings_that_cannot_be_read_is_told(cli: Cli) -> None:
    kept_by(cli).parent.mkdir(parents=True)
    kept_by(cli).write_text("{")
    for command in (("config",), ("whoami",), CALL):
        outcome = cli(*command)
        assert outcome.code == 1
        assert "user_data.json in RUNAGENT_CACHE_DIR (by default ~/.runagent), cannot be used." in outcome.error


def test_reset_forgets_after_asking(cli: Cli) -> None:
    cli("config", "set-api-key", KEY)
    refused = cli("config", "reset", stdin=b"n\n")
    assert (refused.code, kept_by(cli).exists()) == (130, True)
    assert cli("config", "reset", "--yes").err == "The settings are forgotten.\n"
    assert not kept_by(cli).exists()
    assert cli("config", "reset", "-y").err == "No settings were kept.\n"


def test_agents_need_no_registering_and_can_be_forgotten(cli: Cli) -> None:
    register = cli("config", "--register-agent", str(AGENTS / "probe"))
    assert (register.code, register.err.startswith("Nothing to do: `runagent serve ")) == (0, True)
    with cli.serving(AGENTS / "probe") as server:
        assert cli("config", "--delete-agent", "probe").error == "❌ Agent `probe` is being served."
        server.process.terminate()
        server.wait()
    assert cli("config", "--delete-agent", "probe").code == 0
    again = cli("config", "--delete-agent", "probe")
    assert (again.code, again.error) == (1, "❌ No agent `probe` has been served on this machine.")


def test_calls_go_to_the_kept_server_with_its_key_and_nowhere_else(cli: Cli, keys: Path) -> None:
    with cli.serving(AGENTS / "probe", "--api-key-file", str(keys)) as server:
        here = f"grpc://127.0.0.1:{server.port}"
        cli("config", "--set-base-url", here, "--set-api-key", KEY)
        assert cli(*CALL).out == b"Hello, Ada!\n"
        assert cli("describe", "--id", "probe").code == 0
        # The same server by another name is another address, and is told no key.
        for elsewhere in (
            cli(*CALL, "--local"),
            cli("run", "--host", "127.0.0.1", "--port", str(server.port), "--tag", "greet", "--name=Ada"),
            cli.with_variables(RUNAGENT_BASE_URL=f"grpc://localhost:{server.port}")(*CALL),
        ):
            assert elsewhere.error == "❌ Execution failed: This server asks for an API key."
        assert cli.with_variables(RUNAGENT_BASE_URL=here)(*CALL).code == 0
        assert cli.with_variables(RUNAGENT_API_KEY="other")(*CALL).code == 1


def test_whoami_says_that_nothing_is_called_by_default(cli: Cli) -> None:
    outcome = cli("whoami")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.decode() == (
        "Server    none by default. Name one by --local, or --host and --port, or keep\n"
        "          one with `runagent config set-base-url URL`.\n"
        "API key   none\n"
    )
    assert json.loads(cli("whoami", "--format", "json").out)["answers"] is None
    assert not cli.home.exists()


def test_whoami_says_what_answers_and_with_which_key(cli: Cli, keys: Path) -> None:
    with cli.serving(AGENTS / "probe", "--api-key-file", str(keys)) as server:
        here = f"http://127.0.0.1:{server.port}"
        cli("config", "set-base-url", here)
        refused = cli("whoami").out.decode()
        assert "Answers   yes, and refuses: This server asks for an API key.\nAPI key   none\n" in refused
        cli("config", "set-api-key", KEY)
        assert cli("whoami").out.decode() == (
            f"Server    {here} (from user_data.json)\n"
            "Answers   yes\n"
            "Agent     probe 1.0.0 (Probe)\n"
            "API key   ****ey-1 (from user_data.json)\n"
        )
    told = json.loads(cli("whoami", "--format", "json").out)
    assert (told["answers"], told["agents"], told["api_key"]) == (False, [], "****ey-1")
    assert told["error"] == f"No server answers at 127.0.0.1:{server.port}."
