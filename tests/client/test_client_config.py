from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.client.config import CallConfig, ClientConfig, ServerOptions, resolve_config
from runagent_grpc.errors import InvalidRequestError, NotFoundError
from runagent_grpc.local.registry import RegisteredAgent, Registry

SAID_NOTHING: dict[str, Any] = {
    "local": True, "host": None, "port": None, "base_url": None, "transport": "auto", "api_key": None
}  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry.db")


def call_of(**options: Any) -> CallConfig:
    defaults: dict[str, Any] = {
        "agent_id": "chat", "entrypoint_tag": "any", "user_id": "", "persistent_memory": False,
        "on_disconnect": "linger", "timeout": None, "retry_seconds": 30.0,
    }  # fmt: skip
    return CallConfig(**defaults | options)


def config_of(registry: Registry, environ: dict[str, str] | None = None, **server: Any) -> ClientConfig:
    return resolve_config(call_of(), ServerOptions(**SAID_NOTHING | server), environ=environ or {}, registry=registry)


@pytest.fixture(autouse=True)
def _another_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the process has around it, which nothing here may read."""
    monkeypatch.setenv("RUNAGENT_BASE_URL", "http://process:1")
    monkeypatch.setenv("RUNAGENT_API_KEY", "of-the-process")
    monkeypatch.setenv("RUNAGENT_CACHE_DIR", str(tmp_path / "of-the-process"))


def test_a_config_reads_the_environment_that_it_is_given_and_no_other(registry: Registry) -> None:
    environ = {"RUNAGENT_BASE_URL": "http://given:2", "RUNAGENT_API_KEY": "of-the-caller"}

    config = config_of(registry, environ, local=False)
    assert (str(config.address), config.api_key) == ("given:2", "of-the-caller")
    assert config_of(registry, host="named", port=3).api_key is None


def test_a_config_reads_the_registry_that_it_is_given_and_no_other(registry: Registry) -> None:
    Registry().register(RegisteredAgent(agent_id="chat", agent_path="", host="127.0.0.1", port=1))
    with pytest.raises(NotFoundError):
        config_of(registry)

    registry.register(RegisteredAgent(agent_id="chat", agent_path="", host="127.0.0.1", port=2))
    assert str(config_of(registry).address) == "127.0.0.1:2"


def test_an_agent_of_this_machine_is_looked_up_again_and_a_named_address_is_not(registry: Registry) -> None:
    registry.register(RegisteredAgent(agent_id="chat", agent_path="", host="127.0.0.1", port=2))
    found, named = config_of(registry), config_of(registry, host="127.0.0.1", port=2)
    registry.register(RegisteredAgent(agent_id="chat", agent_path="", host="127.0.0.1", port=3))

    assert str(found.lookup()) == "127.0.0.1:3"
    assert named.lookup() is named.address


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("agent_id", "\udc80"),
        ("entrypoint_tag", 1),
        ("user_id", "\udc80"),
        ("timeout", 0),
        ("timeout", float("inf")),
        ("retry_seconds", -1),
        ("on_disconnect", "stay"),
    ],
)
def test_a_value_that_does_not_fit_is_named(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        call_of(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize("key", ["right-key", " right-key", "right-key\n", "right-key \r\n", "\tright-key"])
def test_white_space_around_a_key_of_the_environment_is_no_part_of_it(key: str, registry: Registry) -> None:
    assert config_of(registry, {"RUNAGENT_API_KEY": key}, host="named", port=3).api_key == "right-key"


@pytest.mark.parametrize("key", ["", " ", "\n"])
def test_an_environment_without_a_key_has_none(key: str, registry: Registry) -> None:
    assert config_of(registry, {"RUNAGENT_API_KEY": key}, host="named", port=3).api_key is None


@pytest.mark.parametrize("key", [" right-key", "right-key\n", " ", "right\nkey", "schlüssel"])
@pytest.mark.parametrize("transport", ["auto", "grpc", "http"])
def test_a_given_key_that_no_header_carries_is_refused_by_name(key: str, transport: str, registry: Registry) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        config_of(registry, host="named", port=3, transport=transport, api_key=key)
    assert caught.value.field == "api_key"
    assert "right" not in caught.value.message


def test_a_key_of_the_environment_that_no_header_carries_is_refused_by_name(registry: Registry) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        config_of(registry, {"RUNAGENT_API_KEY": "right\nkey"}, host="named", port=3)
    assert caught.value.field == "RUNAGENT_API_KEY"


def test_a_config_does_not_change_and_does_not_show_its_key(registry: Registry) -> None:
    config = config_of(registry, host="named", port=3, api_key="secret")
    assert "secret" not in repr(config)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.call.timeout = 1.0  # type: ignore[misc] # it is what must not go
