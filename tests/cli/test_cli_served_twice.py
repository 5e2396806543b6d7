"""An agent that is served already, by a server that runs or by one that was killed."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from pathlib import Path

import pytest

from runagent_grpc.local.registry import RegisteredAgent, Registry
from tests.cli.commands import AGENTS, Cli

PROBE = AGENTS / "probe"
CALL = ("run", "--id", "probe", "--local", "--tag", "greet", "--name=Ada")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The same agent in another folder."""
    return Path(shutil.copytree(PROBE, tmp_path / "a copy", ignore=shutil.ignore_patterns("__pycache__")))


def http_port_of(cli: Cli) -> int:
    (told,) = json.loads(cli("db", "status", "--format", "json").out)
    port: int = told["port"]
    return port


def test_an_agent_that_is_served_already_is_told_with_where_it_is(cli: Cli, copy: Path) -> None:
    with cli.serving(PROBE) as server:
        where = f"at grpc://127.0.0.1:{server.port} and http://127.0.0.1:{http_port_of(cli)}"
        again, elsewhere = cli("serve", str(PROBE)), cli("serve", str(copy))
        pid = server.process.pid
    assert (again.code, again.out) == (1, b"")
    assert again.error == f"❌ Agent `probe` is served already, {where}, by process {pid}."
    assert again.err.splitlines()[1] == (
        f"Stop that one with Ctrl-C or `kill {pid}`, or serve a second copy with `runagent serve {PROBE} --another`."
    )
    assert elsewhere.error == (
        f"❌ Agent `probe` is served already, from another folder, {PROBE}, {where}, by process {pid}."
    )
    assert "or give one of the two an agent_id of its own" in elsewhere.err
    assert f"`runagent serve '{copy}' --another`" in elsewhere.err


def test_a_second_copy_hides_nobody(cli: Cli, copy: Path) -> None:
    with cli.serving(PROBE) as first:
        with cli.serving(copy, "--another") as second:
            assert cli(*CALL).code == 0
            second.process.terminate()
            assert second.wait() == 0
        assert cli(*CALL).code == 0
        with cli.serving(copy, "--another") as second:
            first.process.terminate()
            assert first.wait() == 0
            assert cli(*CALL).code == 0
            second.process.terminate()
            assert second.wait() == 0
    assert cli(*CALL).error == "❌ Execution failed: Agent `probe` is not running; its server was stopped."


def test_a_killed_server_is_told_as_gone_even_where_a_stranger_has_its_port(cli: Cli) -> None:
    with cli.serving(PROBE) as server:
        port, pid = http_port_of(cli), server.process.pid
        server.process.kill()
        server.wait()
    with http.server.HTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        outcome = cli(*CALL)
        stranger.shutdown()
    assert (outcome.code, outcome.err) == (
        1,
        f"❌ Execution failed: The server of agent `probe` (process {pid}) has ended without an orderly stop.\n"
        f"Start it again with `runagent serve {PROBE}`.\n",
    )
    (told,) = json.loads(cli("db", "status", "--format", "json").out)
    assert (told["status"], told["answers"]) == ("gone", False)


def test_a_killed_servers_place_is_taken_without_a_word(cli: Cli, copy: Path) -> None:
    with cli.serving(PROBE) as server:
        server.process.kill()
        server.wait()
    with cli.serving(copy) as server:
        assert "already" not in server.err
        assert cli(*CALL).code == 0


def test_a_server_that_left_no_trace_but_its_row_is_asked(cli: Cli) -> None:
    registry = Registry(cli.home / "cache" / "runagent_local.db")
    # As a published server is found: in the row alone.
    with Cli(cli.home / "elsewhere").serving(PROBE) as server:
        registry.register(RegisteredAgent(agent_id="probe", agent_path="/x", host="127.0.0.1", port=server.port))
        refused = cli("serve", str(PROBE))
    assert refused.code == 1
    assert refused.error == (
        f"❌ Agent `probe` is served already, from another folder, /x, at 127.0.0.1:{server.port}."
    )
    with cli.serving(PROBE):
        assert cli(*CALL).code == 0
