"""The tables: what is looked up is found by an index, which grows at its end."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runagent_grpc.engine.ids import new_invocation_id
from runagent_grpc.store.schema import connect, make_tables, same_id


@pytest.fixture
def connection(database: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(database, create=True)) as connection:
        make_tables(connection)
        yield connection


@pytest.mark.parametrize("table", ["invocations", "logs"])
@pytest.mark.parametrize("what", ["SELECT *", "DELETE"])
def test_an_id_is_looked_up_by_its_index(connection: sqlite3.Connection, table: str, what: str) -> None:
    statement = f"EXPLAIN QUERY PLAN {what} FROM runagent_grpc_{table} WHERE {same_id('invocation_id', '?1')}"
    (plan,) = connection.execute(statement, ["x"]).fetchall()
    assert f"SEARCH runagent_grpc_{table} USING INDEX runagent_grpc_{table}_by_id" in plan[3]


def test_the_lines_of_an_invocation_are_joined_by_the_index(connection: sqlite3.Connection) -> None:
    statement = (
        "EXPLAIN QUERY PLAN SELECT * FROM runagent_grpc_logs AS logs JOIN runagent_grpc_invocations AS invocations"
    )
    statement += f" ON {same_id('invocations.invocation_id', 'logs.invocation_id')}"
    statement += f" WHERE {same_id('logs.invocation_id', '?1')}"
    plans = [row[3] for row in connection.execute(statement, ["x"])]
    assert [plan.split(" (")[0] for plan in plans] == [
        "SEARCH logs USING INDEX runagent_grpc_logs_by_id",
        "SEARCH invocations USING INDEX runagent_grpc_invocations_by_id",
    ]


def test_ids_as_the_engine_makes_them_write_few_pages(connection: sqlite3.Connection, database: Path) -> None:
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    statement = "INSERT INTO runagent_grpc_logs (invocation_id, time, level, text) VALUES (?, 0, '', '')"

    def written(ids: list[str]) -> int:
        """Returns how many bytes a transaction adds to the log of the file."""
        log = Path(f"{database}-wal")
        before = log.stat().st_size
        connection.execute("BEGIN")
        connection.executemany(statement, [(one,) for one in ids])
        connection.execute("COMMIT")
        return log.stat().st_size - before

    written([new_invocation_id() for _ in range(20_000)])
    # The table and the index, a page of 40 rows each or two, and those that lead there; not a page for each row.
    assert written([new_invocation_id() for _ in range(40)]) < 15 * 4096
