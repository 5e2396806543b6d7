"""Published clients, as they are, against our server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.local.registry import Registry
from tests.cli.commands import Cli
from tests.published.packages import AGENT_ID, PROBE, Package, call

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

VERSIONS = ["0.1.49", "0.1.20", "0.1.5"]
KEY = "a-key.of_ours~1"

VALUES = [True, 0, -1, 2**70, 1.5, "x", "héllo 🌍", [], {}, {"a": [1, {"b": None}]}]


@dataclass(frozen=True, slots=True, kw_only=True)
class OurServer:
    """`runagent serve` of the agent `probe`."""

    port: int
    home: Path

    @property
    def address(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port}

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def serving_in(home: Path, **variables: str) -> Iterator[OurServer]:
    with Cli(home, **variables).serving(PROBE):
        row = Registry(home / "cache" / "runagent_local.db").find(AGENT_ID)
        assert row is not None
        yield OurServer(port=row.port, home=home)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OurServer]:
    yield from serving_in(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OurServer]:
    """A server that asks for a key."""
    yield from serving_in(tmp_path_factory.mktemp("guarded"), RUNAGENT_API_KEYS=KEY)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_runs_and_streams_by_host_and_port(
    package: Callable[[str], Package], version: str, server: OurServer, tmp_path: Path
) -> None:
    many = list(range(500))
    assert package(version).calls(
        tmp_path,
        call("echo", VALUES),
        call("echo", value="Hi"),
        call("echo_stream", VALUES),
        call("echo_stream", values=many),
        **server.address,
    ) == [{"result": VALUES}, {"result": "Hi"}, {"result": VALUES}, {"result": many}]


def test_values_that_count_as_false_come_as_they_are(published: Package, server: OurServer, tmp_path: Path) -> None:
    falsy: list[Any] = [None, False, 0, "", [], {}]
    came = published.calls(
        tmp_path, *(call("echo", value) for value in falsy), call("echo_stream", falsy), **server.address
    )
    assert came == [*({"result": value} for value in falsy), {"result": falsy}]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_an_entrypoint_raises_reaches_the_client(
    package: Callable[[str], Package], version: str, server: OurServer, tmp_path: Path
) -> None:
    calls = (call(tag, "It broke.") for tag in ("fail", "fail_stream"))
    for came in package(version).calls(tmp_path, *calls, **server.address):
        assert "It broke." in came["error"]


def test_errors_have_the_documented_codes_and_texts(published: Package, server: OurServer, tmp_path: Path) -> None:
    calls = (call("fail", "It broke."), call("fail_stream", "It broke."), call("nothing"), call("nothing_stream"))
    raised, raised_in_stream, unknown, unknown_stream = published.calls(tmp_path, *calls, **server.address)

    assert raised["error"] == "[INTERNAL_ERROR] Agent execution failed: It broke."
    # This client makes up the codes and some texts of streams itself.
    assert raised_in_stream["error"] == "[STREAM_ERROR] Streaming error: It broke."
    assert "Entrypoint nothing not found" in unknown["error"]
    assert unknown_stream["error"] == "[NOT_FOUND] The agent or entrypoint tag was not found."


def test_a_client_finds_our_server_through_the_address_book_alone(published: Package, server: OurServer) -> None:
    came = published.calls(server.home, call("echo", "a"), call("echo_stream", ["a", "b"]))
    assert came == [{"result": "a"}, {"result": ["a", "b"]}]


def test_a_client_with_a_key_finds_our_server_through_the_environment(
    published: Package, guarded: OurServer, tmp_path: Path
) -> None:
    variables = {"RUNAGENT_BASE_URL": guarded.base_url, "RUNAGENT_API_KEY": KEY}
    calls = (call("echo", "a"), call("echo_stream", ["a", "b"]))
    assert published.calls(tmp_path, *calls, local=False, variables=variables) == [
        {"result": "a"},
        {"result": ["a", "b"]},
    ]


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_an_older_client_finds_our_server_through_its_configuration(
    package: Callable[[str], Package], version: str, server: OurServer, guarded: OurServer, tmp_path: Path
) -> None:
    # They read no RUNAGENT_BASE_URL, and send no key with a WebSocket.
    variables = {"RUNAGENT_API_KEY": KEY}
    configuration = tmp_path / "cache" / "user_data.json"
    configuration.parent.mkdir()

    configuration.write_text(json.dumps({"base_url": guarded.base_url}))
    ran = package(version).calls(tmp_path, call("echo", "a"), local=False, variables=variables)
    configuration.write_text(json.dumps({"base_url": server.base_url}))
    streamed = package(version).calls(tmp_path, call("echo_stream", ["a"]), local=False, variables=variables)

    assert (ran, streamed) == ([{"result": "a"}], [{"result": ["a"]}])


@pytest.mark.parametrize("key", ["", "another"])
def test_a_client_without_the_key_is_told_so(published: Package, guarded: OurServer, tmp_path: Path, key: str) -> None:
    variables = {"RUNAGENT_BASE_URL": guarded.base_url, "RUNAGENT_API_KEY": key}
    calls = (call("echo", "a"), call("echo_stream", ["a"]))
    for came in published.calls(tmp_path, *calls, local=False, variables=variables):
        assert came["code"] == "AUTHENTICATION_ERROR"


def test_the_command_line_runs_and_streams(published: Package, server: OurServer, tmp_path: Path) -> None:
    def run(*arguments: str, home: Path = tmp_path, **variables: str) -> str:
        ended = published.command(home, *arguments, variables=variables)
        assert ended.code == 0, ended.out
        return ended.out

    address = ("--host", "127.0.0.1", "--port", str(server.port))
    input_file = tmp_path / "input.json"
    input_file.write_text(json.dumps({"values": ["first chunk", "second chunk"]}))

    for home, where in ((tmp_path, (*address, "--local")), (server.home, ("--id", AGENT_ID, "--local"))):
        assert "Hi there" in run("run", *where, "--tag", "echo", "--value=Hi there", home=home)
        streamed = run("run-stream", *where, "--tag", "echo_stream", "--input", str(input_file), home=home)
        assert streamed.index("first chunk") < streamed.index("second chunk")
    remote = run("run", "--id", AGENT_ID, "--tag", "echo", "--value=Hi there", RUNAGENT_BASE_URL=server.base_url)
    assert "Hi there" in remote


def test_the_command_line_tells_what_an_entrypoint_raised(
    published: Package, server: OurServer, tmp_path: Path
) -> None:
    address = ("--host", "127.0.0.1", "--port", str(server.port), "--local")
    ended = published.command(tmp_path, "run", *address, "--tag", "fail", "--text=It broke.")
    assert (ended.code, "It broke." in ended.out) == (1, True)
