"""The `runagent` command itself: its help, its version, what it costs to start, and how it fails."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from runagent_grpc.version import __version__
from tests.cli.commands import Cli

COMMANDS = [
    *("init", "check", "serve", "describe", "run", "run-stream", "cancel", "db", "config", "whoami", "teardown"),
    *("setup", "upload", "deploy", "start"),
]


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ()])
def test_the_help_lists_every_command(cli: Cli, arguments: tuple[str, ...]) -> None:
    outcome = cli(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    listed = outcome.out.decode().partition("Commands:\n")[2]
    assert [line.split()[0] for line in listed.splitlines()] == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_in_eighty_columns(cli: Cli, command: str) -> None:
    short, long = cli(command, "-h"), cli(command, "--help")
    assert (short.code, short.out) == (long.code, long.out) == (0, long.out)
    lines = long.out.decode().splitlines()
    assert lines[0].startswith(f"Usage: runagent {command} ")
    assert max(map(len, lines)) <= 80


def test_the_version_is_one_line(cli: Cli) -> None:
    outcome = cli("--version")
    assert (outcome.code, outcome.out) == (0, f"runagent {__version__}\n".encode())


def test_the_console_script_is_the_same_command(cli: Cli) -> None:
    (script,) = entry_points(group="console_scripts", name="runagent")
    assert script.value == "runagent_cli.main:main"
    assert cli.shell("runagent --version") == cli("--version")


def test_no_command_imports_grpc_before_it_needs_it() -> None:
    script = (
        "import sys\n"
        "from runagent_cli.group import cli\n"
        "for name in cli.list_commands(None): assert cli.get_command(None, name)\n"
        "print(*{module.partition('.')[0] for module in sys.modules})\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert not {"grpc", "google", "pydantic", "asyncio", "sqlite3", "dotenv"} & set(ended.stdout.split())


def test_an_unknown_command_is_a_usage_error(cli: Cli) -> None:
    outcome = cli("stream")
    assert (outcome.code, outcome.out) == (2, b"")
    assert outcome.error.startswith("Error: No such command 'stream'.")


def test_a_traceback_is_shown_where_it_is_asked_for(cli: Cli) -> None:
    call = ("run", "--id", "x", "--local", "--tag", "greet")
    assert "Traceback" not in cli(*call).err
    outcome = cli("--debug", *call)
    assert outcome.code == 1
    assert outcome.err.startswith("Traceback")
    assert "\n❌ Execution failed: Agent `x` is not served on this machine.\n" in outcome.err
