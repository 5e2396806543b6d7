"""The base URL and the key that `runagent config` keeps, as clients take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.client import RunAgentClient
from runagent_grpc.client.address import Address, resolve
from runagent_grpc.errors import InternalError, InvalidRequestError, UnavailableError
from runagent_grpc.local.registry import RegisteredAgent, Registry
from runagent_grpc.local.registry_file import registry_path
from runagent_grpc.local.user_settings import change_user_settings


@pytest.fixture
def registry() -> Registry:
    """An address book beside which a URL and a key are kept."""
    change_user_settings(registry_path(), {"base_url": "http://kept:1", "api_key": "secret"})
    return Registry()


def resolved(registry: Registry, environ: dict[str, str], **options: Any) -> Address:
    known: dict[str, Any] = {"agent_id": "chat", "local": False, "host": None, "port": None, "base_url": None}
    return resolve(**known | options, transport="auto", environ=environ, registry=registry)


def test_the_kept_url_stands_where_the_variable_is_not_set(registry: Registry) -> None:
    assert str(resolved(registry, {})) == "kept:1"
    assert str(resolved(registry, {"RUNAGENT_BASE_URL": "http://environment:2"})) == "environment:2"


def test_the_kept_key_goes_with_the_kept_url_and_with_nothing_else(registry: Registry) -> None:
    Registry().register(RegisteredAgent(agent_id="chat", agent_path="", host="127.0.0.1", port=1))

    assert resolved(registry, {}).kept_key == "secret"
    assert resolved(registry, {"RUNAGENT_BASE_URL": "http://kept:1/"}).kept_key == "secret"
    for elsewhere in (
        resolved(registry, {"RUNAGENT_BASE_URL": "http://environment:2"}),
        resolved(registry, {}, local=True),
        resolved(registry, {}, host="kept", port=1),
        resolved(registry, {}, base_url="http://kept:1"),
    ):
        assert elsewhere.kept_key is None


def test_a_client_calls_with_the_key_that_comes_first(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    def key_of(client: RunAgentClient) -> str | None:
        return client._connection._server.api_key

    assert key_of(RunAgentClient("chat", local=False)) == "secret"
    assert key_of(RunAgentClient("chat", local=False, api_key="given")) == "given"
    monkeypatch.setenv("RUNAGENT_API_KEY", "environment")
    assert key_of(RunAgentClient("chat", local=False)) == "environment"


def test_white_space_around_a_kept_key_is_no_part_of_it(registry: Registry) -> None:
    change_user_settings(registry_path(), {"api_key": " secret\n"})
    assert resolved(registry, {}).kept_key == "secret"


def test_a_kept_key_is_not_in_what_an_address_shows(registry: Registry) -> None:
    assert "secret" not in repr(resolved(registry, {}))


def test_a_kept_url_that_is_none_is_told_by_the_name_of_its_file(registry: Registry) -> None:
    change_user_settings(registry.path, {"base_url": "nonsense"})
    with pytest.raises(InvalidRequestError, match=r"base_url in user_data\.json"):
        resolved(registry, {})


def test_settings_that_cannot_be_read_matter_only_where_they_would_count(registry: Registry) -> None:
    registry.path.with_name("user_data.json").write_text("{")
    with pytest.raises(InternalError, match=r"user_data\.json"):
        resolved(registry, {})
    both = {"RUNAGENT_BASE_URL": "http://environment:2", "RUNAGENT_API_KEY": "key"}
    assert str(resolved(registry, both)) == "environment:2"
    assert str(resolved(registry, {}, host="given", port=3)) == "given:3"


def test_no_home_folder_is_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RUNAGENT_CACHE_DIR")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(UnavailableError, match="No server is named"):
        resolved(Registry(), {})
