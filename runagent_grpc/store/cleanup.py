"""Removes what is old from history."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path

from runagent_grpc.local.sqlite_file import transaction
from runagent_grpc.store.claims import remove_claims_before, remove_spent_claims
from runagent_grpc.store.schema import number_of_time, reading, same_id

__all__ = ["count_invocations_before", "count_lines_before", "remove_invocations_before", "remove_lines_before"]

# A server that wants to write meanwhile gets its turn between two of them.
_AT_ONCE = 1000

_OLD_INVOCATIONS = "FROM runagent_grpc_invocations WHERE start_time < ? AND state NOT IN ('QUEUED', 'RUNNING')"
_OLD_LINES = "FROM runagent_grpc_logs WHERE time < ?"


def count_invocations_before(path: Path, time: datetime) -> int:
    """Returns how many invocations `remove_invocations_before` would remove."""
    return _count(path, _OLD_INVOCATIONS, time)


def count_lines_before(path: Path, time: datetime) -> int:
    """Returns how many lines `remove_lines_before` would remove."""
    return _count(path, _OLD_LINES, time)


def remove_invocations_before(path: Path, time: datetime) -> int:
    """Removes the invocations that started before `time` and have ended, with their lines and their journals.

    Returns how many.
    """
    removed = 0
    with reading(path) as connection:
        while connection is not None:
            with transaction(connection):
                ids = _some(connection, f"SELECT invocation_id {_OLD_INVOCATIONS} LIMIT {_AT_ONCE}", time)
                tables = _tables_of_invocations(connection)
                if "runagent_grpc_claims" in tables:
                    # While the rows are there by which they are known to be spent.
                    remove_spent_claims(connection, limit=_AT_ONCE)
                    remove_claims_before(connection, number_of_time(time))
                for table in tables:
                    connection.executemany(f"DELETE FROM {table} WHERE {same_id('invocation_id', '?1')}", ids)  # noqa: S608 - our own
            if not ids:
                break
            removed += len(ids)
    return removed


def remove_lines_before(path: Path, time: datetime) -> int:
    """Removes the lines that were printed or logged before `time`; returns how many."""
    removed = 0
    with reading(path) as connection:
        while connection is not None:
            with transaction(connection):
                numbers = _some(connection, f"SELECT number {_OLD_LINES} LIMIT {_AT_ONCE}", time)
                connection.executemany("DELETE FROM runagent_grpc_logs WHERE number = ?", numbers)
            if not numbers:
                break
            removed += len(numbers)
    return removed


def _tables_of_invocations(connection: sqlite3.Connection) -> list[str]:
    """Returns the tables that hold something of an invocation. Files of earlier versions lack some."""
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('runagent_grpc_invocations', "
        "'runagent_grpc_claims', 'runagent_grpc_journal', 'runagent_grpc_logs')"
    )
    return [name for (name,) in tables.fetchall()]


def _count(path: Path, rows: str, time: datetime) -> int:
    with reading(path) as connection:
        return 0 if connection is None else _some(connection, f"SELECT count(*) {rows}", time)[0][0]


def _some(connection: sqlite3.Connection, statement: str, time: datetime) -> list[tuple[int]]:
    return connection.execute(statement, (number_of_time(time),)).fetchall()
