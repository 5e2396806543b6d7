from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from runagent_grpc.store import (
    HistoryStore,
    count_invocations_before,
    count_lines_before,
    remove_invocations_before,
    remove_lines_before,
)
from tests.store.recording import NOON, begin, log, record


def test_old_invocations_are_removed_with_their_lines(store: HistoryStore, database: Path) -> None:
    old = [record(store, start_time=NOON - timedelta(seconds=1)) for _ in range(1001)]
    new = record(store)
    log(store, old[0], "of an old one, but said just now")
    log(store, new, "new")
    store.flush()
    assert count_invocations_before(database, NOON) == 1001
    assert remove_invocations_before(database, NOON) == 1001
    assert [one.invocation_id for one in store.history.page().invocations] == [new]
    assert [line.text for line in store.history.logs().lines] == ["new"]


def test_an_invocation_that_runs_is_never_too_old(store: HistoryStore, database: Path) -> None:
    running = begin(store, start_time=NOON - timedelta(days=400)).invocation_id
    store.flush()
    assert remove_invocations_before(database, NOON) == 0
    assert store.history.get(running)


def test_old_lines_are_removed_and_their_invocations_stay(store: HistoryStore, database: Path) -> None:
    invocation_id = record(store, start_time=NOON - timedelta(days=2))
    log(store, invocation_id, "old", time=NOON - timedelta(days=1))
    log(store, invocation_id, "new")
    store.flush()
    assert count_lines_before(database, NOON) == 1
    assert remove_lines_before(database, NOON) == 1
    assert [line.text for line in store.history.logs().lines] == ["new"]
    assert store.history.get(invocation_id)


def test_a_page_goes_on_where_it_was_after_everything_was_removed(store: HistoryStore, database: Path) -> None:
    invocation_id = record(store)
    log(store, invocation_id, "one")
    token = store.history.logs().next_token
    remove_lines_before(database, NOON + timedelta(days=1))
    log(store, invocation_id, "two")
    assert [line.text for line in store.history.logs(token=token).lines] == ["two"]


def test_where_there_is_no_file_there_is_nothing_to_remove(database: Path) -> None:
    assert count_invocations_before(database, NOON) == remove_invocations_before(database, NOON) == 0
    assert count_lines_before(database, NOON) == remove_lines_before(database, NOON) == 0
    assert not database.exists()
