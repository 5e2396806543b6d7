"""Our client and our command line against the published server, as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.client import RunAgentClient, RunAgentError
from tests.cli.commands import Cli
from tests.client.calling import FORMS, called, error_of_call
from tests.published.packages import AGENT_ID, PublishedServer
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**70,
    1.0,
    1.5e300,
    "",
    " ",
    "héllo 🌍 \u2028",
    '{"type":"string","payload":"x"}',
    [],
    {},
    {"a": [1, {"b": None}], "": ""},
]


@pytest.fixture
def address(published_server: PublishedServer) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": published_server.port}


@pytest.mark.parametrize("form", FORMS)
def test_values_travel_there_and_back_as_they_are(address: dict[str, Any], form: str) -> None:
    for value in VALUES:
        came = called(form, "echo", value, options=address)
        assert (came, type(came)) == (value, type(value))
    assert called(form, "echo", value=VALUES, options=address) == VALUES


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_brings_every_chunk(address: dict[str, Any], form: str) -> None:
    assert called(form, "echo_stream", VALUES, options=address) == VALUES
    assert called(form, "echo_stream", values=list(range(500)), options=address) == list(range(500))
    assert called(form, "echo_stream", [], options=address) == []


@pytest.mark.parametrize("options", [{"transport": "http"}, {"timeout": 30}, {"user_id": "ada"}, {"api_key": "any"}])
def test_a_client_runs_with_every_option(address: dict[str, Any], options: dict[str, Any]) -> None:
    assert called("sync", "echo", 1, options=address | options) == 1
    assert called("sync", "echo_stream", [1], options=address | options) == [1]


def test_a_client_finds_it_through_its_own_address_book(
    published_server: PublishedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNAGENT_CACHE_DIR", str(published_server.cache))
    with RunAgentClient(AGENT_ID, "echo") as client:
        assert client.run("Hi") == "Hi"


def test_a_client_finds_it_through_the_environment(
    published_server: PublishedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNAGENT_BASE_URL", f"http://127.0.0.1:{published_server.port}/")
    monkeypatch.setenv("RUNAGENT_API_KEY", "any")
    with RunAgentClient(AGENT_ID, "echo_stream", local=False) as client:
        assert list(client.run(["a", "b"])) == ["a", "b"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("tag", "args", "reason", "message"),
    [
        ("fail", ("It broke.",), "EXECUTION_FAILED", "It broke."),
        ("fail_stream", ("It broke.",), "EXECUTION_FAILED", "It broke."),
        ("nothing", (), "ENTRYPOINT_NOT_FOUND", "Entrypoint nothing not found"),
        ("nothing_stream", (), "ENTRYPOINT_NOT_FOUND", "Entrypoint nothing_stream not found"),
    ],
)
def test_its_failures_are_the_errors_that_our_server_would_raise(
    address: dict[str, Any], form: str, tag: str, args: tuple[Any, ...], reason: str, message: str
) -> None:
    chunks: list[Any] = []
    error = error_of_call(form, tag, *args, chunks=chunks, options=address)

    assert (error.reason, error.message) == (reason, message)
    assert chunks == (["before"] if tag == "fail_stream" else [])


@pytest.mark.parametrize(("tag", "reason"), [("echo", "AGENT_NOT_FOUND"), ("echo_stream", "PERMISSION_ERROR")])
def test_another_agent_is_unknown_to_it(address: dict[str, Any], tag: str, reason: str) -> None:
    with RunAgentClient("another", tag, **address) as client, pytest.raises(RunAgentError) as caught:
        list(client.run())
    assert caught.value.reason == reason
    # It refuses a WebSocket for an agent that it does not know as it would one without permission.
    assert reason == "AGENT_NOT_FOUND" or "agent's id" in (caught.value.suggestion or "")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", ["sleep", "ticks_stream"])
def test_a_timeout_is_kept_though_the_server_knows_none(
    address: dict[str, Any], form: str, tag: str, tmp_path: Path
) -> None:
    argument = 60 if tag == "sleep" else str(tmp_path / "over")
    error = error_of_call(form, tag, argument, options=address | {"timeout": 0.5})
    assert (error.reason, error.message) == ("TIMEOUT", "The call timed out after 0.5 s.")


def test_closing_a_stream_ends_its_generator(address: dict[str, Any], tmp_path: Path) -> None:
    over = tmp_path / "over"
    with RunAgentClient(None, "ticks_stream", **address) as client:
        with client.run_stream(str(over)) as ticks:
            assert [next(ticks), next(ticks)] == [0, 1]
            assert ticks.invocation_id
        assert list(ticks) == []
        eventually(over.exists)


def test_it_is_described(address: dict[str, Any]) -> None:
    with RunAgentClient(**address) as client:
        agent = client.get_agent()
        (listed,) = client.list_agents()
    assert (agent.agent_id, agent.agent_name, agent.version, agent.framework) == (AGENT_ID, "Probe", "1.0.0", "default")
    assert [(entrypoint.tag, entrypoint.streaming) for entrypoint in agent.entrypoints][:2] == [
        ("echo", False),
        ("echo_stream", True),
    ]
    assert listed == agent


def test_our_command_line_runs_streams_and_describes(published_server: PublishedServer, tmp_path: Path) -> None:
    cli = Cli(tmp_path, RUNAGENT_CACHE_DIR=str(published_server.cache))
    for where in (("--host", "127.0.0.1", "--port", str(published_server.port)), ("--id", AGENT_ID, "--local")):
        ran = cli("run", *where, "--tag", "echo", "--value=Hi")
        streamed = cli("run-stream", *where, "--tag", "echo_stream", "--values=abc")
        failed = cli("run", *where, "--tag", "fail", "--text=It broke.")
        described = cli("describe", *where, "--format", "json")

        assert (ran.code, ran.out) == (0, b"Hi\n")
        assert (streamed.code, streamed.out) == (0, b"abc")
        assert (failed.code, failed.error) == (1, "❌ Execution failed: It broke.")
        assert json.loads(described.out)["agent_id"] == AGENT_ID
