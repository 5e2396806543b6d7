"""`runagent serve`: what it says, and how it ends."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shlex
import shutil
import signal
import socket
from pathlib import Path

import pytest

from runagent_cli.banner import banner, host_for_others
from runagent_grpc.addresses import is_loopback
from runagent_grpc.worker import Agent
from tests.cli.commands import AGENTS, EXAMPLES, PATIENCE_SECONDS, Cli, ServeProcess
from tests.cli.terminals import at_a_terminal

PROBE = AGENTS / "probe"
ANY_PORTS = ("--port", "0", "--grpc-port", "0")


def test_the_banner_says_what_is_served_where(cli: Cli) -> None:
    with cli.serving(EXAMPLES / "quickstart") as server:
        banner = server.err
    assert f"Quickstart is served at grpc://127.0.0.1:{server.port}\n" in banner
    assert re.search(r"^ +and at http://127\.0\.0\.1:\d+$", banner, re.MULTILINE)
    assert re.search(r"^  chat_agent +value +Answers a message, all at once\.$", banner, re.MULTILINE)
    assert re.search(r"^  story_stream +stream +Tells a short story", banner, re.MULTILINE)
    assert max(map(len, banner.splitlines())) <= 80


def test_the_command_in_the_banner_works_as_it_stands(cli: Cli, tmp_path: Path) -> None:
    cli("init", "my agent", cwd=tmp_path)
    with cli.serving(tmp_path / "my agent") as server:
        assert max(map(len, server.err.splitlines())) <= 80
        command = re.search(r"^  runagent run-stream .*?\n\n", server.err, re.MULTILINE | re.DOTALL)
        assert command, server.err
        outcome = cli.shell(command[0])
    assert (outcome.code, outcome.out) == (0, b"Hello \n")


def test_the_banner_stands_out_at_a_terminal(cli: Cli) -> None:
    with at_a_terminal(cli.with_variables(TERM="xterm"), "serve", str(PROBE), *ANY_PORTS) as screen:
        screen.wait_for(b"Press Ctrl-C to stop.")
        screen.process.terminate()
        assert screen.to_the_end().startswith("\x1b[1mProbe is served at grpc://127.0.0.1:")


def test_a_server_open_to_strangers_says_so(cli: Cli) -> None:
    with cli.serving(PROBE, "--host", "0.0.0.0", "--insecure") as server:  # noqa: S104 - the point
        server.wait_for("Warning: It listens on 0.0.0.0, and asks for no key")
        if host := host_for_others("0.0.0.0"):  # noqa: S104 - read, not bound
            assert f"from other machines at grpc://{host}:{server.port}\n" in server.err
        assert cli("run", "--id", "probe", "--local", "--tag", "greet", "--name=Ada").code == 0


def test_a_parameter_named_as_an_option_follows_a_bare_double_dash() -> None:
    def label_stream(name: str, tag: str, count: int) -> None: ...

    text = banner(Agent.from_functions({"say": print, "label_stream": label_stream}).manifest, asks_for_key=True)
    command = text.partition("Try it from another terminal, with RUNAGENT_API_KEY set to a key:\n")[2]
    words = shlex.split(command.partition("\n\n")[0].replace("\\\n", " "))
    assert words == [
        *("runagent", "run-stream", "--id", "test-agent", "--local", "--tag", "label_stream"),
        *("--", "--name=Hello", "--tag=Hello", "--count=3"),
    ]


def test_a_signal_lets_running_calls_end(cli: Cli, tmp_path: Path) -> None:
    with cli.serving(PROBE) as server:
        call = ("run-stream", "--id", "probe", "--local", "--tag", "gated_stream", f"--folder={tmp_path}")
        with cli.started(*call) as stream:
            assert stream.stdout is not None
            assert stream.stdout.readline() == b"before\n"
            server.process.send_signal(signal.SIGTERM)
            server.wait_for("Stopping: waiting up to 20 s for 1 call that still runs. Press Ctrl-C again")
            (tmp_path / "gate").touch()
            assert stream.stdout.read() == b"after\n"
            assert stream.wait(PATIENCE_SECONDS) == 0
        assert server.wait() == 0
    assert server.err.endswith("Stopped.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_leaves_at_once(cli: Cli, tmp_path: Path, number: signal.Signals) -> None:
    with cli.serving(PROBE) as server:
        call = ("run-stream", "--id", "probe", "--local", "--tag", "gated_stream", f"--folder={tmp_path}")
        with cli.started(*call) as stream:
            assert stream.stdout is not None
            assert stream.stdout.readline() == b"before\n"
            server.process.send_signal(number)
            server.wait_for("Stopping: ")
            server.process.send_signal(number)
            # The command is left, which goes on looking for the server for a while.
            assert server.wait() == 128 + number


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_idle_server_stops_at_once(cli: Cli, number: signal.Signals) -> None:
    with cli.serving(PROBE) as server:
        server.process.send_signal(number)
        assert server.wait() == 0
    assert server.err.endswith("Press Ctrl-C to stop.\nStopping.\nStopped.\n")


def test_a_port_in_use_is_told(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = cli("serve", str(PROBE), "--grpc-port", str(port))
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.error == (f"❌ Port {port} on 127.0.0.1 is in use. Stop what listens there, or choose another port.")


def test_every_mistake_of_an_agent_is_told(cli: Cli, tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    shutil.copytree(PROBE, agent, ignore=shutil.ignore_patterns("__pycache__"))
    config = (agent / "runagent.config.json").read_text()
    config = config.replace('"module": "greet"', '"module": "gret"').replace('"default"', '"defualt"')
    (agent / "runagent.config.json").write_text(config)
    outcome = cli("serve", str(agent))
    assert (outcome.code, outcome.error) == (1, "❌ The agent cannot be served:")
    assert "`gret`" in outcome.err
    assert "`framework`" in outcome.err
    assert "Traceback" not in outcome.err


def test_a_folder_without_an_agent_is_told(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("serve", str(tmp_path))
    assert outcome.code == 1
    assert outcome.error == (
        f"❌ There is no runagent.config.json, .yaml or .yml in {tmp_path}. `runagent init` makes one."
    )


def test_an_agent_is_not_opened_to_strangers_by_accident(cli: Cli) -> None:
    outcome = cli("serve", str(PROBE), "--host", "0.0.0.0", "--grpc-port", "0")  # noqa: S104 - refused
    assert outcome.code == 1
    assert "--insecure" in outcome.error


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read: No such file or directory."),
        (b"# none\n", "holds no API key"),
        (b"a b\n", "may hold only letters, digits"),
        (b"short\n", "cannot be used: API key number 1 is shorter than 12 characters"),
        (b"a-long-enough-key#2\n", "Put a space before the `#` of a comment."),
        (b"\xff\n", "is not UTF-8 text."),
    ],
)
def test_a_file_without_keys_is_told(cli: Cli, tmp_path: Path, content: bytes | None, text: str) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
        (tmp_path / "keys").chmod(0o600)
    outcome = cli("serve", str(PROBE), "--api-key-file", str(tmp_path / "keys"))
    assert outcome.code == 1
    assert outcome.error.startswith(f"❌ The API key file {tmp_path / 'keys'} ")
    assert text in outcome.error


def test_keys_may_come_from_the_environment(cli: Cli) -> None:
    assert "RUNAGENT_API_KEYS: " in cli.with_variables(RUNAGENT_API_KEYS="a b")("serve", str(PROBE)).error
    with cli.with_variables(RUNAGENT_API_KEYS="one-long-enough,two-long-enough").serving(PROBE):
        call = ("run", "--id", "probe", "--local", "--tag", "greet", "--name=Ada")
        assert cli(*call).code == 1
        assert cli(*call, "--api-key", "two-long-enough").code == 0


@pytest.mark.parametrize("command", ["serve", "check"])
@pytest.mark.parametrize("value", ["", " ", ",", "# none yet", "\n"], ids=repr)
def test_a_variable_that_holds_no_key_is_refused(cli: Cli, command: str, value: str) -> None:
    outcome = cli.with_variables(RUNAGENT_API_KEYS=value)(command, str(PROBE))
    assert outcome.code == 1
    told = " ".join(f"{outcome.err} {outcome.out.decode()}".split())
    assert "RUNAGENT_API_KEYS is set and holds no API key." in told
    assert "unset RUNAGENT_API_KEYS" in told


def test_a_key_file_that_others_can_read_is_refused_with_what_to_do(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("a-long-enough-key\n")
    path.chmod(0o644)
    outcome = cli("serve", str(PROBE), "--api-key-file", str(path))
    assert outcome.code == 1
    assert f"The API key file {path} cannot be used: other users can read or change it." in outcome.error
    assert "chmod 600 keys" in outcome.error


FINDS_KEYS = """
import os, subprocess, sys

AT_IMPORT = os.environ.get("RUNAGENT_API_KEYS")

def found():
    child = "import os; print(os.environ.get('RUNAGENT_API_KEYS'))"
    said = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout.strip()
    return [AT_IMPORT, os.environ.get("RUNAGENT_API_KEYS"), said, os.environ.get("RUNAGENT_API_KEY")]
"""


def test_neither_an_agent_nor_its_children_find_the_servers_keys(cli: Cli, tmp_path: Path) -> None:
    folder = agent_of(tmp_path / "agent", FINDS_KEYS, "found")
    keyed = cli.with_variables(RUNAGENT_API_KEYS="the-servers-key", RUNAGENT_API_KEY="the-agents-own-key")
    with keyed.serving(folder):
        call = ("run", "--id", "made-here", "--local", "--tag", "found", "--api-key", "the-servers-key")
        # The key for calls that the agent makes is its own.
        assert json.loads(cli(*call).out) == [None, None, "None", "the-agents-own-key"]


def test_a_registry_that_cannot_be_written_is_told_and_keeps_nobody_from_serving(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with cli.with_variables(RUNAGENT_CACHE_DIR=str(tmp_path / "file")).serving(PROBE) as server:
        assert cli("describe", "--host", "127.0.0.1", "--port", str(server.port)).code == 0
    assert "WARNING Clients cannot look this server up by the agent's id (--local): The server's lease" in server.err


def test_what_an_entrypoint_prints_is_on_standard_error(cli: Cli) -> None:
    with cli.started("serve", str(PROBE), *ANY_PORTS) as process:
        server = ServeProcess(process)
        server.wait_for("Press Ctrl-C to stop.")
        assert cli("run", "--id", "probe", "--local", "--tag", "chatty").out == b"returned\n"
        server.wait_for("printed by the entrypoint")
        process.terminate()
        assert server.wait() == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""


def test_a_failure_of_the_author_is_logged_on_a_readable_line(cli: Cli) -> None:
    with cli.serving(PROBE) as server:
        cli("run", "--id", "probe", "--local", "--tag", "fail", "--text=Oh.")
        server.wait_for("ValueError: Oh.")
    assert re.search(r"^\d\d:\d\d:\d\d WARNING An entrypoint raised\. invocation_id=", server.err, re.MULTILINE)


def test_the_published_package_beside_us_is_told(cli: Cli, tmp_path: Path) -> None:
    info = tmp_path / "runagent-0.1.49.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: runagent\nVersion: 0.1.49\n")
    with cli.with_variables(PYTHONPATH=str(tmp_path)).serving(PROBE) as server:
        assert "Warning: The published package `runagent` 0.1.49 is installed here, too" in server.err


def test_both_faces_are_served_and_either_may_be_left_out(cli: Cli) -> None:
    with cli.serving(PROBE) as server:
        both = re.findall(r"(?:served|and) at (\w+)://127\.0\.0\.1:\d+$", server.err, re.MULTILINE)
    with cli.serving(PROBE, "--no-http") as server:
        grpc = re.findall(r"(?:served|and) at (\w+)://127\.0\.0\.1:\d+$", server.err, re.MULTILINE)
    with cli.serving(PROBE, "--no-grpc") as server:
        http = re.findall(r"(?:served|and) at (\w+)://127\.0\.0\.1:\d+$", server.err, re.MULTILINE)
    assert (both, grpc, http) == (["grpc", "http"], ["grpc"], ["http"])


def test_a_server_without_a_face_is_no_server(cli: Cli) -> None:
    outcome = cli("serve", str(PROBE), "--no-http", "--no-grpc")
    assert outcome.code == 2
    assert outcome.error == "Error: --no-http and --no-grpc leave nothing to serve; give one of them."


def test_origins_and_hosts_may_be_allowed(cli: Cli) -> None:
    options = ("--cors-origin", "https://a.example", "--cors-origin", "https://b.example", "--allowed-host", "agent")
    with cli.serving(PROBE, *options) as server:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", server.err)
        assert found
        statuses = []
        for headers in (
            {"Origin": "https://a.example"},
            {"Origin": "https://b.example"},
            {"Host": "agent"},
            {"Origin": "https://c.example"},
            {"Host": "other"},
        ):
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(found[1]))) as connection:
                connection.request("GET", "/api/v1", headers=headers)
                statuses.append(connection.getresponse().status)
    assert statuses == [200, 200, 200, 403, 403]


def test_an_http_port_in_use_is_told(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = cli("serve", str(PROBE), "--port", str(port), "--grpc-port", "0")
    assert outcome.code == 1
    assert outcome.error == f"❌ Port {port} on 127.0.0.1 is in use. Stop what listens there, or choose another port."


def agent_of(folder: Path, source: str, tags: str, **files: str) -> Path:
    folder.mkdir(parents=True)
    entrypoints = [{"file": "main.py", "module": tag, "tag": tag} for tag in tags.split()]
    config = {
        "agent_id": "made-here",
        "agent_name": "Made here",
        "framework": "default",
        "agent_architecture": {"entrypoints": entrypoints},
    }
    (folder / "runagent.config.json").write_text(json.dumps(config))
    (folder / "main.py").write_text(source)
    for name, text in files.items():
        (folder / name.replace("dot_", ".")).write_text(text)
    return folder


STUBBORN = """
import asyncio

async def stubborn():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""


def test_a_coroutine_that_swallows_its_cancellation_is_left_behind(cli: Cli, tmp_path: Path) -> None:
    folder = agent_of(tmp_path / "agent", STUBBORN, "stubborn")
    with cli.serving(folder) as server:
        assert cli("run", "--id", "made-here", "--local", "--tag", "stubborn", "--timeout", "0.5").code == 1
        server.process.terminate()
        assert server.wait() == 0
    assert "Left behind what does not end: 1 call." in server.err


def test_an_agents_own_environment_does_not_set_up_the_server(cli: Cli, tmp_path: Path) -> None:
    elsewhere = f"RUNAGENT_CACHE_DIR={tmp_path / 'elsewhere'}\nRUNAGENT_API_KEYS=secret\n"
    folder = agent_of(tmp_path / "agent", "def one():\n    return 1\n", "one", dot_env=elsewhere)
    with cli.serving(folder):
        assert cli("run", "--id", "made-here", "--local", "--tag", "one").out == b"1\n"
    assert not (tmp_path / "elsewhere").exists()


def test_a_caller_can_neither_forge_log_lines_nor_reach_the_terminal(cli: Cli) -> None:
    forged = "x\n13:00:00 ERROR Key rotated.\x1b]0;owned\x07"
    with cli.serving(PROBE) as server:
        cli("run", "--id", "probe", "--local", "--tag", "fail", f"--text={forged}")
        server.wait_for("Key rotated.")
    assert "\x1b" not in server.err
    assert "\x07" not in server.err
    assert not [line for line in server.err.splitlines() if line.startswith("13:00:00 ERROR")]


def test_an_agent_without_a_folder_to_start_in_is_told(cli: Cli, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    outcome = cli.shell(f"cd {gone} && rmdir {gone} && runagent serve .")
    assert outcome.code == 1
    assert "Internal error" not in outcome.err


def test_flags_of_the_published_command_are_taken(cli: Cli) -> None:
    with cli.serving(PROBE, "--no-animation", "--animation-style", "quick") as server:
        assert "animation" not in server.err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])  # noqa: S104 - read, not bound
def test_an_address_that_other_machines_can_use_is_named(host: str) -> None:
    named = host_for_others(host)
    # A machine without a network has none.
    assert named is None or not is_loopback(named)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "192.0.2.7"])
def test_a_server_on_one_address_is_at_that_address_alone(host: str) -> None:
    assert host_for_others(host) is None
