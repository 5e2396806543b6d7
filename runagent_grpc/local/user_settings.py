"""The settings that a user keeps on this machine: which server is called by default, and the key for it.

They are in `user_data.json` beside the registry, where published RunAgent packages keep theirs, in the members
`base_url` and `api_key`. Published 0.1.49 moves that file's content into the table `user_metadata` of the registry's
file when it first runs; where there is no file, that table is what counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runagent_grpc.errors import InternalError
from runagent_grpc.local.private_files import check_database, check_file, make_folder
from runagent_grpc.local.sqlite_file import open_database

__all__ = ["UserSettings", "change_user_settings", "read_user_settings", "remove_user_settings", "settings_files"]

_FILE = "user_data.json"
_MEMBERS = ("base_url", "api_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSettings:
    """What is kept. Empty where nothing is."""

    base_url: str = ""
    api_key: str = field(default="", repr=False)
    source: str = ""
    """The name of the file that they are from."""

    def key_for(self, base_url: str) -> str | None:
        """Returns the key that may go to this base URL: it is kept for one server, and no other shall see it."""
        if self.base_url and self.base_url.rstrip("/") != base_url.rstrip("/"):
            return None
        return self.api_key or None


def read_user_settings(registry: Path) -> UserSettings:
    """Returns the settings beside the file of the registry. Raises InternalError for a file that cannot be read."""
    content = _content(registry)
    if content is not None:
        return _settings_of(content, _FILE)
    return _settings_of(_published(registry), registry.name)


def change_user_settings(registry: Path, changes: Mapping[str, str]) -> None:
    """Writes some of the settings, and keeps the rest. The file is its owner's alone, and never half written."""
    content = _content(registry)
    if content is None:
        content = {name: value for name, value in _published(registry).items() if name in _MEMBERS}
    path = registry.with_name(_FILE)
    with _troubles_named():
        make_folder(path.parent)
        descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{_FILE}.")
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump({**content, **changes}, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise


def remove_user_settings(registry: Path) -> bool:
    """Removes the settings from wherever they are, and returns whether there were any."""
    found = False
    with _troubles_named():
        for path in settings_files(registry):
            check_file(path)
            path.unlink()
            found = True
        with _opened(registry) as connection:
            if connection is not None:
                removed = connection.execute("DELETE FROM user_metadata WHERE key IN (?, ?)", _MEMBERS)
                found = found or removed.rowcount > 0
    return found


def settings_files(registry: Path) -> list[Path]:
    """Returns the files that hold settings: ours, and the copy that a published package makes of it."""
    return [path for name in (_FILE, f"{_FILE}.backup") if (path := registry.with_name(name)).exists()]


def _content(registry: Path) -> dict[str, Any] | None:
    """Returns what the file holds; None where there is no file."""
    with _troubles_named():
        path = registry.with_name(_FILE)
        check_file(path)
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        if not isinstance(content, dict):
            raise ValueError("It holds no JSON object.")
        return content


def _published(registry: Path) -> dict[str, Any]:
    """Returns what a published package keeps in the registry's file, each value as JSON."""
    with contextlib.suppress(sqlite3.Error, OSError, ValueError, TypeError), _opened(registry) as connection:
        if connection is not None:
            return {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM user_metadata")}
    return {}


@contextmanager
def _opened(registry: Path) -> Iterator[sqlite3.Connection | None]:
    """The registry's file, where it is there and has the table."""
    check_database(registry)
    if not registry.exists():
        yield None
        return
    with contextlib.closing(open_database(registry)) as connection:
        found = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'user_metadata'").fetchone()
        yield connection if found[0] else None


def _settings_of(content: Mapping[str, Any], source: str) -> UserSettings:
    base_url, api_key = (value.strip() if isinstance(value := content.get(name), str) else "" for name in _MEMBERS)
    return UserSettings(base_url=base_url, api_key=api_key, source=source if base_url or api_key else "")


@contextmanager
def _troubles_named() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RecursionError, sqlite3.Error) as error:
        raise InternalError(
            f"The settings, {_FILE} in RUNAGENT_CACHE_DIR (by default ~/.runagent), cannot be used.",
            suggestion="Make sure that this user can read and write the file and that it holds a JSON object, "
            "or move it away.",
            details=f"{type(error).__name__}: {error}",
        ) from None
