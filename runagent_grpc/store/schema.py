"""The tables of history in the file of the local registry.

The names are our own: the file belongs to published packages, too, and theirs are never touched.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from runagent_grpc.local import sqlite_file
from runagent_grpc.local.private_files import check_database
from runagent_grpc.local.sqlite_file import open_database, prefer_wal, transaction

__all__ = [
    "ID_KEY",
    "connect",
    "has_tables",
    "make_tables",
    "number_of_time",
    "reading",
    "same_id",
    "time_of_number",
    "translate_errors",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ID_KEY = "substr(invocation_id, 25), invocation_id"
"""What ids are indexed by: their time, which is at their end, comes first (engine/ids.py). So new ones go to the end of
an index, while each of those that have no order would write a page of it, and be three times as dear."""

# AUTOINCREMENT: a number that was given once never comes again, so that a page's token stays true after a cleanup.
_TABLES = (
    """
    CREATE TABLE IF NOT EXISTS runagent_grpc_servers (
        instance TEXT NOT NULL PRIMARY KEY,
        agent_id TEXT NOT NULL,
        pid INTEGER NOT NULL,
        started_at INTEGER NOT NULL,
        stopped_at INTEGER,
        machine TEXT NOT NULL DEFAULT '',
        process_start TEXT NOT NULL DEFAULT '',
        fence INTEGER NOT NULL DEFAULT 0,
        lease_until INTEGER,
        shared INTEGER NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS runagent_grpc_invocations (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        invocation_id TEXT NOT NULL,
        agent_id TEXT NOT NULL,
        entrypoint_tag TEXT NOT NULL,
        owner TEXT NOT NULL,
        user_id TEXT NOT NULL,
        request_id TEXT NOT NULL,
        transport TEXT NOT NULL,
        instance TEXT NOT NULL,
        start_time INTEGER NOT NULL,
        input TEXT,
        state TEXT NOT NULL,
        cause TEXT NOT NULL,
        reason TEXT,
        message TEXT,
        end_time INTEGER,
        elapsed REAL,
        result TEXT,
        result_size INTEGER,
        chunk_count INTEGER NOT NULL,
        first_chunks TEXT,
        last_chunks TEXT,
        fingerprint TEXT NOT NULL DEFAULT '',
        result_whole INTEGER NOT NULL DEFAULT 0
    )
    """,
    f"""
    CREATE UNIQUE INDEX IF NOT EXISTS runagent_grpc_invocations_by_id
    ON runagent_grpc_invocations ({ID_KEY})
    """,
    """
    CREATE INDEX IF NOT EXISTS runagent_grpc_invocations_of_agent
    ON runagent_grpc_invocations (agent_id, number)
    """,
    """
    CREATE INDEX IF NOT EXISTS runagent_grpc_invocations_running
    ON runagent_grpc_invocations (instance) WHERE state = 'RUNNING'
    """,
    """
    CREATE TABLE IF NOT EXISTS runagent_grpc_logs (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        invocation_id TEXT NOT NULL,
        time INTEGER NOT NULL,
        level TEXT NOT NULL,
        text TEXT NOT NULL
    )
    """,
    f"""
    CREATE INDEX IF NOT EXISTS runagent_grpc_logs_by_id
    ON runagent_grpc_logs ({ID_KEY}, number)
    """,
    # A row holds the chunks that came together. With a row for each, writing beside a busy stream takes ten times as
    # long: the interpreter lock changes hands with every statement.
    """
    CREATE TABLE IF NOT EXISTS runagent_grpc_journal (
        invocation_id TEXT NOT NULL,
        sequence INTEGER NOT NULL,
        count INTEGER NOT NULL,
        payloads BLOB NOT NULL,
        PRIMARY KEY (invocation_id, sequence)
    ) WITHOUT ROWID
    """,
    # Requests that a server has taken on and whose invocation is in no other table yet. Only servers that share their
    # agent with another write here (store/claims.py).
    """
    CREATE TABLE IF NOT EXISTS runagent_grpc_claims (
        request_id TEXT NOT NULL,
        owner TEXT NOT NULL,
        agent_id TEXT NOT NULL,
        invocation_id TEXT NOT NULL,
        instance TEXT NOT NULL,
        claimed_at INTEGER NOT NULL,
        PRIMARY KEY (request_id, owner, agent_id)
    ) WITHOUT ROWID
    """,
)

# What files of earlier versions lack, by table.
_ADDED_COLUMNS = {
    "runagent_grpc_invocations": {
        "fingerprint": "TEXT NOT NULL DEFAULT ''",
        "result_whole": "INTEGER NOT NULL DEFAULT 0",
    },
    "runagent_grpc_servers": {
        "machine": "TEXT NOT NULL DEFAULT ''",
        "process_start": "TEXT NOT NULL DEFAULT ''",
        "fence": "INTEGER NOT NULL DEFAULT 0",
        "lease_until": "INTEGER",
        "shared": "INTEGER NOT NULL DEFAULT 0",
    },
}

# On columns that may have been added just now.
_LATER_INDEXES = (
    # Only calls with a request_id have a fingerprint. Those of a time when it meant nothing have none.
    """
    CREATE INDEX IF NOT EXISTS runagent_grpc_invocations_of_request
    ON runagent_grpc_invocations (request_id, owner, agent_id, number) WHERE fingerprint <> ''
    """,
    """
    CREATE INDEX IF NOT EXISTS runagent_grpc_servers_running
    ON runagent_grpc_servers (instance) WHERE stopped_at IS NULL
    """,
)


def same_id(one: str, other: str) -> str:
    """Returns the condition that two ids are the same, in a form that finds the index of ids.

    SQLite finds it by a comparison of both parts in one, not by one comparison each.
    """
    return f"(substr({one}, 25), {one}) = (substr({other}, 25), {other})"


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Opens the file for history, which is made only where `create` says so. The connection may go to another thread.

    Raises InternalError for a file or a folder that other users can change.
    """
    connection = open_database(path, create=create)
    # In WAL mode a commit then outlives the death of the process; that of the machine may cost the last ones, but
    # never the file.
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def make_tables(connection: sqlite3.Connection) -> None:
    """Makes what is missing, and lets readers read while somebody writes."""
    prefer_wal(connection)
    with transaction(connection):
        for statement in _TABLES:
            connection.execute(statement)
        for table, columns in _ADDED_COLUMNS.items():
            there = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")}
            for name, kind in columns.items():
                if name not in there:
                    connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        for statement in _LATER_INDEXES:
            connection.execute(statement)


def has_tables(connection: sqlite3.Connection) -> bool:
    """Whether a server has ever kept history in this file."""
    found = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'runagent_grpc_logs'").fetchone()
    return bool(found[0])


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A connection to a file that is there, or None: for one that is not, or that holds no history."""
    with translate_errors():
        check_database(path)
        if not path.exists():
            yield None
            return
        with contextlib.closing(connect(path)) as connection:
            yield connection if has_tables(connection) else None


def number_of_time(time: datetime) -> int:
    """Returns a time as the tables hold it: the microseconds since 1970."""
    return round(time.timestamp() * 1_000_000)


def time_of_number(number: int) -> datetime:
    """Returns the time that a table holds, in UTC."""
    return _EPOCH + timedelta(microseconds=number)


def translate_errors() -> AbstractContextManager[None]:
    """Turns what the file system and SQLite say into an InternalError about the history."""
    return sqlite_file.translate_errors(
        "The history",
        remedy="Make sure that this user can write to the folder and that the file is a SQLite database.",
    )
