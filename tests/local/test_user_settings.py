from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from runagent_grpc.errors import InternalError
from runagent_grpc.local.user_settings import (
    UserSettings,
    change_user_settings,
    read_user_settings,
    remove_user_settings,
    settings_files,
)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "runagent_local.db"


def file_beside(registry: Path) -> Path:
    return registry.parent / "user_data.json"


def moved_by_a_published_package(registry: Path, **settings: str) -> None:
    """Leaves the table that published 0.1.49 leaves."""
    registry.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(registry)) as connection, connection:
        connection.execute("CREATE TABLE user_metadata (key VARCHAR NOT NULL PRIMARY KEY, value TEXT NOT NULL)")
        rows = [(key, json.dumps(value)) for key, value in settings.items()]
        connection.executemany("INSERT INTO user_metadata VALUES (?, ?)", rows)


def test_nothing_is_kept_at_first_and_looking_makes_nothing(registry: Path) -> None:
    assert read_user_settings(registry) == UserSettings()
    assert remove_user_settings(registry) is False
    assert not registry.parent.exists()


def test_what_is_kept_is_read_again(registry: Path) -> None:
    change_user_settings(registry, {"base_url": "http://one:1"})
    change_user_settings(registry, {"api_key": "secret"})

    kept = read_user_settings(registry)
    assert kept == UserSettings(base_url="http://one:1", api_key="secret", source="user_data.json")
    assert "secret" not in repr(kept)
    assert json.loads(file_beside(registry).read_text()) == {"base_url": "http://one:1", "api_key": "secret"}


def test_the_file_is_its_owners_alone(registry: Path) -> None:
    registry.parent.mkdir()
    file_beside(registry).write_text("{}")
    file_beside(registry).chmod(0o644)

    change_user_settings(registry, {"api_key": "secret"})

    assert stat.S_IMODE(file_beside(registry).stat().st_mode) == 0o600
    assert [path.name for path in registry.parent.iterdir()] == ["user_data.json"]


def test_members_of_another_package_stay(registry: Path) -> None:
    registry.parent.mkdir()
    file_beside(registry).write_text('{"user_email": "a@b.example", "api_key": 7}')

    assert read_user_settings(registry).api_key == ""
    change_user_settings(registry, {"base_url": "http://one:1"})

    assert json.loads(file_beside(registry).read_text())["user_email"] == "a@b.example"


def test_settings_that_a_published_package_moved_count_until_there_is_a_file(registry: Path) -> None:
    moved_by_a_published_package(registry, base_url="http://one:1", api_key="secret", user_email="a@b.example")
    assert read_user_settings(registry) == UserSettings(
        base_url="http://one:1", api_key="secret", source="runagent_local.db"
    )

    change_user_settings(registry, {"base_url": "http://two:2"})

    assert read_user_settings(registry) == UserSettings(
        base_url="http://two:2", api_key="secret", source="user_data.json"
    )
    assert "user_email" not in file_beside(registry).read_text()


def test_what_is_removed_is_nowhere_any_more(registry: Path) -> None:
    moved_by_a_published_package(registry, base_url="http://one:1", api_key="secret", user_email="a@b.example")
    change_user_settings(registry, {"api_key": "secret"})
    file_beside(registry).with_suffix(".json.backup").write_text('{"api_key": "secret"}')

    assert remove_user_settings(registry) is True

    assert read_user_settings(registry) == UserSettings()
    assert settings_files(registry) == []
    with closing(sqlite3.connect(registry)) as connection:
        assert connection.execute("SELECT key FROM user_metadata").fetchall() == [("user_email",)]


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000], ids=["cut", "array", "bytes", "deep"])
def test_a_file_that_holds_no_settings_is_an_error_that_says_what_to_do(registry: Path, content: bytes) -> None:
    registry.parent.mkdir()
    file_beside(registry).write_bytes(content)

    for use in (lambda: read_user_settings(registry), lambda: change_user_settings(registry, {"api_key": "k"})):
        with pytest.raises(InternalError, match=r"user_data\.json in RUNAGENT_CACHE_DIR") as caught:
            use()
        assert caught.value.suggestion is not None
        assert "move it away" in caught.value.suggestion
    assert file_beside(registry).read_bytes() == content


def test_a_registry_that_is_no_database_holds_no_settings(registry: Path) -> None:
    registry.parent.mkdir()
    registry.write_text("This is no database. " * 100)

    assert read_user_settings(registry) == UserSettings()


@pytest.mark.parametrize(
    ("kept_for", "asked", "key"),
    [
        ("http://one:1", "http://one:1/", "secret"),
        ("http://one:1", "http://one:2", None),
        ("https://one", "http://one", None),
        ("", "http://one:1", "secret"),
    ],
)
def test_a_key_goes_to_the_server_that_it_is_kept_for(kept_for: str, asked: str, key: str | None) -> None:
    assert UserSettings(base_url=kept_for, api_key="secret").key_for(asked) == key
    assert UserSettings(base_url=kept_for).key_for(asked) is None
