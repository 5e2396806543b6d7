"""How journals go: a while after their invocations' ends, with their invocations, and never before."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.store import HistoryStore, RecordingSettings, remove_invocations_before
from runagent_grpc.store.pruning import Pruner
from runagent_grpc.store.schema import connect
from tests.store.recording import NOON, begin, end, produce
from tests.waiting import eventually

END = NOON + timedelta(seconds=2)


@pytest.fixture
def connection(store: HistoryStore, database: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(database)) as connection:
        yield connection


def journaled_ids(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT DISTINCT invocation_id FROM runagent_grpc_journal").fetchall()
    return {name for (name,) in rows}


def stream(store: HistoryStore, *, state: InvocationState | None = InvocationState.COMPLETED, chunks: int = 3) -> str:
    invocation = begin(store)
    produce(store, invocation, *["x"] * chunks)
    if state is not None:
        end(store, invocation, state=state)
    store.flush()
    return invocation.invocation_id


def prune(connection: sqlite3.Connection, now: datetime) -> int:
    """Does everything that there is to do, and returns in how many steps."""
    seconds = itertools.count()
    pruner = Pruner(3600, now=lambda: now, clock=lambda: float(next(seconds)))
    steps = 0
    while True:
        pruner.work(connection)
        steps += 1
        # By a clock that goes on whenever it is looked at, a step takes one second, and a rest ten.
        if pruner.pause > 10:
            return steps
        while pruner.pause:
            pass


def test_a_journal_is_kept_for_a_while_after_the_end(store: HistoryStore, connection: sqlite3.Connection) -> None:
    name = stream(store)
    prune(connection, END + timedelta(seconds=3600))
    assert journaled_ids(connection) == {name}
    prune(connection, END + timedelta(seconds=3601))
    assert journaled_ids(connection) == set()
    assert store.history.get(name)


def test_what_runs_is_never_too_old(store: HistoryStore, connection: sqlite3.Connection) -> None:
    name = stream(store, state=None)
    stream(store)
    prune(connection, END + timedelta(days=365))
    assert journaled_ids(connection) == {name}


def test_what_was_lost_is_kept_from_the_moment_that_somebody_noticed(database: Path) -> None:
    noticed = NOON + timedelta(days=3)
    with HistoryStore(database, agent_id="agent", now=lambda: noticed) as store:
        name = stream(store, state=None)
    with closing(connect(database)) as connection:
        prune(connection, noticed + timedelta(seconds=3600))
        assert journaled_ids(connection) == {name}
        prune(connection, noticed + timedelta(seconds=3601))
        assert journaled_ids(connection) == set()


def test_a_journal_without_an_invocation_goes(store: HistoryStore, connection: sqlite3.Connection) -> None:
    name = stream(store)
    connection.execute("DELETE FROM runagent_grpc_invocations WHERE invocation_id = ?", (name,))
    prune(connection, NOON)
    assert journaled_ids(connection) == set()


def test_much_goes_little_by_little(
    store: HistoryStore, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runagent_grpc.store.pruning._IDS_AT_ONCE", 7)
    monkeypatch.setattr("runagent_grpc.store.pruning._ROWS_AT_ONCE", 10)
    running = {stream(store, state=None) for _ in range(10)}
    for _ in range(50):
        stream(store, chunks=2000)
    # Four rows each.
    assert prune(connection, END + timedelta(days=1)) >= 50 * 4 // 10
    assert journaled_ids(connection) == running


def test_large_rows_go_few_at_a_time(
    store: HistoryStore, connection: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runagent_grpc.store.pruning._BYTES_AT_ONCE", 1)
    stream(store, chunks=2000)
    assert prune(connection, END + timedelta(days=1)) >= 4
    assert journaled_ids(connection) == set()


def test_it_works_again_after_a_while_and_not_before(store: HistoryStore, connection: sqlite3.Connection) -> None:
    time = 1000.0
    pruner = Pruner(0, now=lambda: END + timedelta(days=1), clock=lambda: time)
    pruner.work(connection)
    assert pruner.pause == 300
    name = stream(store)
    pruner.work(connection)
    assert journaled_ids(connection) == {name}
    time += 300
    pruner.work(connection)
    assert journaled_ids(connection) == set()


def test_a_file_in_trouble_is_said_and_tried_again(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    pruner = Pruner(0, now=lambda: NOON, clock=lambda: 1000.0)
    with closing(sqlite3.connect(":memory:")) as connection:
        pruner.work(connection)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert pruner.pause == 300


def test_a_server_clears_up_when_it_starts(database: Path) -> None:
    with HistoryStore(database, agent_id="agent", now=lambda: NOON) as store:
        stream(store)
    settings = RecordingSettings(journal_seconds=60)
    with (
        HistoryStore(database, agent_id="agent", settings=settings, now=lambda: NOON + timedelta(days=1)),
        closing(connect(database)) as connection,
    ):
        eventually(lambda: not journaled_ids(connection))


def test_a_cleanup_removes_journals_with_their_invocations(
    store: HistoryStore, database: Path, connection: sqlite3.Connection
) -> None:
    running = stream(store, state=None)
    stream(store)
    assert remove_invocations_before(database, NOON + timedelta(seconds=1)) == 1
    assert journaled_ids(connection) == {running}


def test_a_cleanup_takes_a_file_of_an_earlier_version(
    store: HistoryStore, database: Path, connection: sqlite3.Connection
) -> None:
    stream(store)
    connection.execute("DROP TABLE runagent_grpc_journal")
    assert remove_invocations_before(database, NOON + timedelta(seconds=1)) == 1
