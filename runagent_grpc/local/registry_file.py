"""The file of the registry: where it is, and its transactions.

What stands in it is others' to know: the documented table is `local/registry.py`'s, history `store/`'s.
"""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runagent_grpc.errors import InternalError
from runagent_grpc.local.private_files import check_folder
from runagent_grpc.local.sqlite_file import open_database, prefer_wal, transaction, translate_errors

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

__all__ = ["RegistryFile", "registry_path"]


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
        with _translate_errors():
            check_folder(self.path.parent)
            return self.path.exists()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the write lock from its start, in a file that is made where it is missing."""
        with _translate_errors(), contextlib.closing(open_database(self.path, create=True)) as connection:
            prefer_wal(connection)
            with transaction(connection):
                yield connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to a file that has to be there."""
        with _translate_errors(), contextlib.closing(open_database(self.path)) as connection:
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


def _translate_errors() -> AbstractContextManager[None]:
    return translate_errors(
        "The registry of local agents",
        remedy="Make sure that this user can write to the folder and that the file is a SQLite database; otherwise "
        "move the file away, and the next server makes a new one.",
    )
