"""How a SQLite file of the cache folder is opened, written to, and what is said when it cannot be used.

Every connection of the package is made here.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runagent_grpc.errors import InternalError
from runagent_grpc.local.private_files import check_database, prepare_database

__all__ = ["open_database", "prefer_wal", "transaction", "translate_errors"]

_BUSY_TIMEOUT_SECONDS = 10.0


def open_database(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Opens the file, which is made only where `create` says so. The connection may go to another thread.

    Without an isolation level: the transactions are those that are written down, and closing drops an open one.
    Raises sqlite3.Error, OSError, and InternalError for a file or a folder that other users can change.
    """
    if create:
        prepare_database(path)
    else:
        check_database(path)
    address = f"{path.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(
        address, uri=True, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
    )


def prefer_wal(connection: sqlite3.Connection) -> None:
    """Lets readers read while somebody writes. The file remembers it, so this happens once in its life."""
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        return
    # SQLite does not wait for its turn here, whatever the timeout: somebody else is at it, or will be another time.
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode = WAL")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that holds the write lock from its start, and rolls back when the block raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors SQLite has rolled back already.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


@contextmanager
def translate_errors(subject: str, *, remedy: str) -> Iterator[None]:
    """Turns what the file system and SQLite say into an InternalError that names the file as its user knows it.

    `subject` begins the sentence, and `remedy` is suggested for a file that is not merely in use.
    """
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeError) as error:
        busy = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
        raise InternalError(
            f"{subject}, runagent_local.db in RUNAGENT_CACHE_DIR (by default ~/.runagent), "
            + ("is in use by another process." if busy else "cannot be used."),
            suggestion="Try again in a moment." if busy else remedy,
            details=f"{type(error).__name__}: {error}",
        ) from None
