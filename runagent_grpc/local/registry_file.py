"""The file of the registry: where it is, how it is opened, and what is said when it cannot be used.

What stands in it is others' to know: the documented table is `local/registry.py`'s, history `store/`'s.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runagent_grpc.errors import InternalError
from runagent_grpc.local.private_files import check_database, check_folder, prepare_database

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RegistryFile", "registry_path"]

_BUSY_TIMEOUT_SECONDS = 10.0


class RegistryFile:
    """A SQLite file that is opened for one short transaction at a time, so that several threads may share this object.

    Every method raises InternalError when the file cannot be used.
    """

    def __init__(self, path: Path | None = None) -> None:
        # Found now, for the environment may change. That there is none matters only to whoever uses it.
        self._found: Path | InternalError
        try:
            self._found = registry_path() if path is None else path
        except InternalError as error:
            self._found = error

    @property
    def path(self) -> Path:
        """Where it is. Raises InternalError where there is no folder for it."""
        if isinstance(self._found, InternalError):
            raise self._found.with_traceback(None)
        return self._found

    def exists(self) -> bool:
        """Whether there is anything to read."""
        with _troubles_named():
            check_folder(self.path.parent)
            return self.path.exists()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the write lock from its start, in a file that is made where it is missing."""
        with _troubles_named():
            prepare_database(self.path)
            with self._open() as connection:
                _prefer_wal(connection)
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to a file that has to be there."""
        with _troubles_named():
            check_database(self.path)
            with self._open() as connection:
                yield connection

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        address = f"{self.path.absolute().as_uri()}?mode=rw"
        # Without an isolation level the transactions are the ones written down here, and closing drops an open one.
        connection = sqlite3.connect(address, uri=True, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None)
        with contextlib.closing(connection):
            yield connection


def registry_path() -> Path:
    """Returns where the registry is: `runagent_local.db` in `$RUNAGENT_CACHE_DIR`, by default in `~/.runagent`."""
    folder = os.environ.get("RUNAGENT_CACHE_DIR")
    if folder:
        # Taken as it is, without expanding a "~": published clients do not expand it either.
        return Path(folder) / "runagent_local.db"
    try:
        return Path.home() / ".runagent" / "runagent_local.db"
    except RuntimeError:
        raise InternalError(
            "There is no home folder for the registry of local agents.",
            suggestion="Set RUNAGENT_CACHE_DIR to a folder that this user can write to.",
        ) from None


def _prefer_wal(connection: sqlite3.Connection) -> None:
    """Lets readers read while somebody writes. The file remembers it, so this happens once in its life."""
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        return
    # SQLite does not wait for its turn here, whatever the timeout: somebody else is at it, or will be another time.
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")


@contextmanager
def _troubles_named() -> Iterator[None]:
    """Turns what the file system and SQLite say into an error that names the file as its user knows it."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeError) as error:
        busy = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
        raise InternalError(
            "The registry of local agents, runagent_local.db in RUNAGENT_CACHE_DIR (by default ~/.runagent), "
            + ("is in use by another process." if busy else "cannot be used."),
            suggestion=(
                "Try again in a moment."
                if busy
                else "Make sure that this user can write to the folder and that the file is a SQLite database; "
                "otherwise move the file away, and the next server makes a new one."
            ),
            details=f"{type(error).__name__}: {error}",
        ) from None
