from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient
from runagent_grpc.client.address import Address, resolve
from runagent_grpc.errors import InternalError, InvalidRequestError, NotFoundError, UnavailableError
from runagent_grpc.local.registry import RegisteredAgent, Registry
from runagent_grpc.local.registry_file import registry_path


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An address book with one agent that runs, `chat`, and one that was stopped, `gone`."""
    registry = Registry(tmp_path / "runagent_local.db")
    registry.register(RegisteredAgent(agent_id="chat", agent_path="/srv/chat", host="127.0.0.1", port=50051))
    registry.register(RegisteredAgent(agent_id="gone", agent_path="/srv/gone", host="127.0.0.1", port=50052))
    registry.mark_stopped("gone", "127.0.0.1", 50052)
    return registry


def resolved(registry: Registry, **options: Any) -> Address:
    known: dict[str, Any] = {
        "agent_id": "chat",
        "local": False,
        "host": None,
        "port": None,
        "base_url": None,
        "transport": "auto",
        "environ": {},
    }
    return resolve(**known | options, registry=registry)


EVERYWHERE: dict[str, Any] = {
    "base_url": "grpc://url:1",
    "host": "given",
    "port": 2,
    "local": True,
    "environ": {"RUNAGENT_BASE_URL": "grpc://environment:3"},
}


@pytest.mark.parametrize(
    ("options", "address"),
    [
        (EVERYWHERE, "url:1"),
        (EVERYWHERE | {"base_url": None}, "given:2"),
        (EVERYWHERE | {"base_url": None, "host": None, "port": None}, "127.0.0.1:50051"),
        (EVERYWHERE | {"base_url": None, "host": None, "port": None, "local": False}, "environment:3"),
    ],
)
def test_the_first_place_that_names_a_server_wins(registry: Registry, options: dict[str, Any], address: str) -> None:
    assert str(resolved(registry, **options)) == address


def test_nothing_that_names_a_server_is_an_error_that_names_all_three(registry: Registry) -> None:
    with pytest.raises(UnavailableError) as caught:
        resolved(registry)

    assert caught.value.reason == "CONNECTION_ERROR"
    assert caught.value.message == "No server is named."
    assert caught.value.suggestion is not None
    for way in ("host and port", "local=True", "--local", "RUNAGENT_BASE_URL"):
        assert way in caught.value.suggestion


def test_an_agent_that_was_never_served_here_is_an_error_that_names_the_other_ways(registry: Registry) -> None:
    with pytest.raises(NotFoundError) as caught:
        resolved(registry, agent_id="other", local=True, environ={"RUNAGENT_BASE_URL": "grpc://environment:3"})

    assert (caught.value.reason, caught.value.code) == ("AGENT_NOT_FOUND", "NOT_FOUND")
    assert "`other` is not served on this machine" in caught.value.message
    assert caught.value.suggestion is not None
    for way in ("runagent serve", "host and port", "RUNAGENT_BASE_URL"):
        assert way in caught.value.suggestion


def test_an_agent_whose_server_was_stopped_is_an_error_that_says_how_to_start_it(registry: Registry) -> None:
    with pytest.raises(UnavailableError) as caught:
        resolved(registry, agent_id="gone", local=True)

    assert "is not running" in caught.value.message
    assert caught.value.suggestion == "Start it again with `runagent serve /srv/gone`."


def test_a_local_agent_needs_a_name(registry: Registry) -> None:
    with pytest.raises(InvalidRequestError, match="Name the agent") as caught:
        resolved(registry, agent_id="", local=True)
    assert caught.value.field == "agent_id"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://host", Address(host="host", port=80)),
        ("http://host:8450/", Address(host="host", port=8450)),
        ("http://host:8450/api/v1", Address(host="host", port=8450)),
        ("https://host", Address(host="host", port=443, tls=True)),
        ("HTTPS://Host:8443", Address(host="host", port=8443, tls=True)),
        ("grpc://host", Address(host="host", port=50051, transport="grpc")),
        ("grpc://host:1", Address(host="host", port=1, transport="grpc")),
        ("grpcs://host", Address(host="host", port=443, tls=True, transport="grpc")),
        ("grpc://[::1]:50051", Address(host="::1", port=50051, transport="grpc")),
        ("ws://host", Address(host="host", port=80, transport="http")),
        ("wss://host", Address(host="host", port=443, tls=True, transport="http")),
    ],
)
def test_a_url_of_every_scheme_is_an_address(registry: Registry, url: str, expected: Address) -> None:
    assert resolved(registry, base_url=url) == expected
    assert resolved(registry, environ={"RUNAGENT_BASE_URL": url}) == expected


@pytest.mark.parametrize(
    "url",
    [
        "host",
        "host:8450",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://[::1",
        "//host",
        " ",
    ],
)
def test_what_is_no_url_is_refused_by_the_name_it_was_given_under(registry: Registry, url: str) -> None:
    given: dict[str, dict[str, Any]] = {
        "base_url": {"base_url": url},
        "RUNAGENT_BASE_URL": {"environ": {"RUNAGENT_BASE_URL": url}},
    }
    for field, options in given.items():
        with pytest.raises(InvalidRequestError, match="is not a URL") as caught:
            resolved(registry, **options)
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("url", "transport"),
    [("grpc://host", "http"), ("grpcs://host", "http"), ("ws://host", "grpc"), ("wss://h", "grpc")],
)
def test_a_url_and_a_transport_must_not_contradict_each_other(registry: Registry, url: str, transport: str) -> None:
    with pytest.raises(InvalidRequestError, match="contradict"):
        resolved(registry, base_url=url, transport=transport)


@pytest.mark.parametrize("transport", ["auto", "grpc", "http"])
def test_a_transport_that_is_asked_for_goes_with_the_address(registry: Registry, transport: str) -> None:
    assert resolved(registry, host="h", port=1, transport=transport).transport == transport
    assert resolved(registry, local=True, transport=transport).transport == transport
    assert resolved(registry, base_url="http://h", transport=transport).transport == transport


@pytest.mark.parametrize(("host", "address"), [("::1", "[::1]:1"), ("[::1]", "[::1]:1"), ("127.0.0.1", "127.0.0.1:1")])
def test_a_host_may_be_an_ipv6_address(registry: Registry, host: str, address: str) -> None:
    assert str(resolved(registry, host=host, port=1)) == address


@pytest.mark.parametrize("client", [RunAgentClient, AsyncRunAgentClient])
def test_a_client_looks_where_the_machine_says(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Registry().register(RegisteredAgent(agent_id="chat", agent_path="", host="0.0.0.0", port=50099))  # noqa: S104 - stored
    monkeypatch.setenv("RUNAGENT_BASE_URL", "http://elsewhere:8450")

    assert client("chat", "run").address == Address(host="127.0.0.1", port=50099)
    assert client("chat", "run", local=False).address == Address(host="elsewhere", port=8450)
    assert client("chat", "run", True, "here", 1).address == Address(host="here", port=1)


@pytest.mark.parametrize("client", [RunAgentClient, AsyncRunAgentClient])
def test_a_registry_that_cannot_be_read_is_an_error_of_the_clients(client: Any) -> None:
    registry_path().parent.mkdir(parents=True)
    registry_path().write_text("This is no database.")
    with pytest.raises(InternalError, match="registry"):
        client("chat", "run")
