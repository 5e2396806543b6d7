"""Where the commands find a server, and what they say where they find none."""

from __future__ import annotations

import http.server
import socket
import threading
from pathlib import Path

import pytest

from tests.cli.commands import AGENTS, Cli


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_an_id_alone_is_looked_up_at_the_base_url(cli: Cli, scheme: str) -> None:
    with cli.serving(AGENTS / "probe") as server:
        elsewhere = cli.with_variables(RUNAGENT_BASE_URL=f"{scheme}://127.0.0.1:{server.port}")
        assert elsewhere("run", "--id", "probe", "--tag", "greet", "--name=Ada").out == b"Hello, Ada!\n"
        refused = elsewhere("run", "--id", "other", "--tag", "greet", "--name=Ada")
        assert (refused.code, refused.err) == (1, "❌ Execution failed: Agent not found\n")


def test_host_and_port_need_no_id(cli: Cli) -> None:
    with cli.serving(AGENTS / "probe") as server:
        here = ("--host", "localhost", "--port", str(server.port))
        assert cli("run", *here, "--tag", "greet", "--name=Ada").out == b"Hello, Ada!\n"
        assert cli("run-stream", *here, "--tag", "bytes_stream", "--transport", "grpc").out == b"\x00\xff\n\x80"
        assert cli("run-stream", *here, "--id", "probe", "--tag", "bytes_stream").out == b"\x00\xff\n\x80"


def test_an_id_alone_without_a_base_url_names_the_three_ways(cli: Cli) -> None:
    outcome = cli("run-stream", "--id", "probe", "--tag", "text_stream")
    assert (outcome.code, outcome.error) == (1, "❌ Execution failed: No server is named.")
    for way in ("host and port", "--local", "RUNAGENT_BASE_URL"):
        assert way in outcome.err


def test_an_agent_that_was_stopped_is_told_from_one_that_never_was(cli: Cli) -> None:
    never = cli("run", "--id", "probe", "--local", "--tag", "greet")
    assert (never.code, never.error) == (1, "❌ Execution failed: Agent `probe` is not served on this machine.")
    with cli.serving(AGENTS / "probe") as server:
        server.process.terminate()
        assert server.wait() == 0
    stopped = cli("run", "--id", "probe", "--local", "--tag", "greet")
    assert stopped.code == 1
    assert stopped.error == "❌ Execution failed: Agent `probe` is not running; its server was stopped."


@pytest.mark.parametrize("command", [("run", "--tag", "greet"), ("run-stream", "--tag", "greet_stream"), ("describe",)])
def test_a_server_that_is_not_there_is_told_with_what_to_do(cli: Cli, command: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    outcome = cli(*command, "--host", "127.0.0.1", "--port", str(port))
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.error.endswith(f"No server answers at 127.0.0.1:{port}.")
    assert "runagent serve" in outcome.err.splitlines()[1]
    assert len(outcome.err.splitlines()) == 2


def test_another_kind_of_server_is_told_with_what_to_do(cli: Cli) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        outcome = cli("run-stream", "--host", "127.0.0.1", "--port", str(server.server_port), "--tag", "greet_stream")
        server.shutdown()
    assert outcome.code == 1
    assert outcome.error.endswith(
        f"What answers at 127.0.0.1:{server.server_port} is not a RunAgent server's gRPC port."
    )
    assert "Check the port" in outcome.err.splitlines()[1]


def test_keys_are_asked_for_and_taken(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("# mine\nsecret-key-1\n")
    (tmp_path / "keys").chmod(0o600)
    call = ("run", "--id", "probe", "--local", "--tag", "greet", "--name=Ada")
    with cli.serving(AGENTS / "probe", "--api-key-file", str(tmp_path / "keys")):
        missing, wrong = cli(*call), cli(*call, "--api-key", "secret-key-2")
        assert (missing.code, missing.error) == (1, "❌ Execution failed: This server asks for an API key.")
        assert (wrong.code, wrong.error) == (1, "❌ Execution failed: The API key is not one of this server's.")
        for refused in (missing, wrong):
            assert "RUNAGENT_API_KEY" in refused.err.splitlines()[1]
            assert "secret" not in refused.err
        assert cli(*call, "--api-key", "secret-key-1").out == b"Hello, Ada!\n"
        assert cli.with_variables(RUNAGENT_API_KEY="secret-key-1")(*call).out == b"Hello, Ada!\n"


class Silent(http.server.BaseHTTPRequestHandler):
    """Knows nothing, and keeps quiet about it."""

    def log_message(self, *_: object) -> None: ...
