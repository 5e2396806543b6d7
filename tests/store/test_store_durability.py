"""What survives: the end of a server, its death, a file in use, more than can be written."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.errors import InternalError, Reason
from runagent_grpc.local.registry import RegisteredAgent, Registry
from runagent_grpc.store import History, HistoryStore
from runagent_grpc.store.write_queue import WriteQueue
from runagent_grpc.values.payload import Payload
from tests.store.recording import begin, end, log, record

ROOT = Path(__file__).parents[2]


@contextmanager
def dying(database: Path, *mode: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """A process that has told its store of an invocation that ended and of one that runs: it, and their ids."""
    command = [sys.executable, "-m", "tests.store.dying", str(database), *mode]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ended, running = process.stdout.readline().split()
            yield process, ended, running
        finally:
            process.kill()


def test_a_kill_loses_nothing_that_was_told_before(database: Path) -> None:
    with dying(database) as (process, ended, running):
        process.kill()
        process.wait()
    with HistoryStore(database, agent_id="agent") as store:
        told = store.history.get(ended)
        assert (told.state, told.input, told.result) == (
            InvocationState.COMPLETED,
            '{"args":["in"],"kwargs":{}}',
            "kept",
        )
        assert [line.text for line in store.history.logs(invocation_id=running).lines] == ["still here"]
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_ran_on_a_server_that_died_is_lost(database: Path) -> None:
    with dying(database) as (process, ended, running):
        history = History(database)
        assert history.get(running).state is InvocationState.RUNNING
        process.kill()
        process.wait()
        # Before anybody has written it down, and after.
        for told in (history.get(running), history.page(states=[InvocationState.LOST]).invocations[0]):
            assert (told.invocation_id, told.state, told.reason) == (
                running,
                InvocationState.LOST,
                Reason.INVOCATION_LOST,
            )
            assert told.cause == told.message == "The server's process ended before the invocation did."
        with HistoryStore(database, agent_id="agent"):
            assert history.get(running).state is InvocationState.LOST
            assert history.get(ended).state is InvocationState.COMPLETED
            assert history.stats().states == {InvocationState.LOST: 1, InvocationState.COMPLETED: 1}
    # The locks of servers that have ended are gone.
    assert list(database.parent.glob("*.servers/*")) == []


def test_a_stream_that_was_killed_is_there_up_to_the_last_moment(database: Path) -> None:
    # A machine that is busy elsewhere may keep the writer from its work for longer than it promises, once or twice.
    missing = [kill_a_stream(database) for _ in range(5)]
    assert min(missing) <= 0
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def kill_a_stream(database: Path) -> int:
    """Returns how many chunks are missing of those that may not be lost. What is there begins with the first."""
    with dying(database, "stream") as (process, _, running):
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 1000:
                break
        process.kill()
        *_, promised = [1000, *(int(line) for line in process.stdout if line.endswith("\n"))]
        process.wait()
    with HistoryStore(database, agent_id="agent") as store:
        found = asyncio.run(store.invocations.find(running, owner="", agent_ids=["agent"]))
        assert found is not None
        assert found.state is InvocationState.LOST
        assert found.error is not None
        assert found.error.reason is Reason.INVOCATION_LOST
        chunks: list[Payload] = []
        while page := asyncio.run(store.invocations.chunks(running, len(chunks))):
            chunks += page
    assert chunks == [str(number) for number in range(1, len(chunks) + 1)]
    assert found.chunk_count == len(chunks) > 0
    return promised - len(chunks)


def test_what_runs_on_another_server_is_not_lost(database: Path) -> None:
    with HistoryStore(database, agent_id="one") as one:
        invocation = begin(one)
        one.flush()
        with HistoryStore(database, agent_id="two") as two:
            assert two.history.get(invocation.invocation_id).state is InvocationState.RUNNING
        end(one, invocation)
    assert History(database).get(invocation.invocation_id).state is InvocationState.COMPLETED


def test_a_store_that_is_closed_has_written_everything(database: Path) -> None:
    with HistoryStore(database, agent_id="agent") as store:
        ids = [record(store, str(number)) for number in range(3000)]
        log(store, ids[-1], "the end")
        running = begin(store).invocation_id
    history = History(database)
    assert history.stats().states == {InvocationState.COMPLETED: 3000, InvocationState.LOST: 1}
    assert history.get(running).state is InvocationState.LOST
    assert [line.text for line in history.logs().lines] == ["the end"]


def test_threads_may_tell_at_once(store: HistoryStore) -> None:
    invocation_id = record(store)

    def talk(name: int) -> None:
        for number in range(500):
            log(store, invocation_id, f"{name} {number}")

    threads = [threading.Thread(target=talk, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = []
    token = ""
    while lines := (page := store.history.logs(token=token, limit=1000)).lines:
        texts += [line.text for line in lines]
        token = page.next_token
    for name in range(8):
        assert [text for text in texts if text.startswith(f"{name} ")] == [f"{name} {number}" for number in range(500)]


def test_a_file_that_is_locked_for_a_while_costs_nothing(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("runagent_grpc.local.sqlite_file._BUSY_TIMEOUT_SECONDS", 0.01)
    with (
        HistoryStore(database, agent_id="agent") as store,
        closing(sqlite3.connect(database, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        invocation_id = record(store)
        # Comes back although nothing could be written.
        store.flush()
        assert History(database).page().invocations == ()
        other.execute("COMMIT")
    assert History(database).get(invocation_id).state is InvocationState.COMPLETED
    assert [record.message for record in caplog.records] == ["The history cannot be written: database is locked"]


def test_a_record_that_cannot_be_written_breaks_no_other(store: HistoryStore, caplog: pytest.LogCaptureFixture) -> None:
    broken = replace(begin(store), end_time="no time")  # type: ignore[arg-type] # what no engine does
    store.ended(broken)
    invocation_id = record(store)
    assert store.history.get(invocation_id).state is InvocationState.COMPLETED
    assert caplog.records[0].levelno == logging.ERROR


def test_an_inbox_that_is_full_says_so_and_is_empty_again_once_it_was_taken() -> None:
    inbox: WriteQueue[int] = WriteQueue(most=2, heaviest=100)
    inbox.put(1, weight=99)
    assert not inbox.is_full
    inbox.put(2)
    assert inbox.is_full
    assert inbox.take(0) == [1, 2]
    assert not inbox.is_full
    inbox.put(3, weight=100)
    assert inbox.is_full
    assert not inbox.is_overfull


def test_lines_that_come_too_fast_are_counted_and_payloads_left_out(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("runagent_grpc.store.store._HEAVIEST_WAITING", 0)
    with HistoryStore(database, agent_id="agent") as store:
        invocation_id = record(store, "out", "in")
        log(store, invocation_id, "one")
        log(store, invocation_id, "two")
        told = store.history.get(invocation_id)
        assert (told.state, told.input, told.result) == (InvocationState.COMPLETED, None, None)
    assert [record.message for record in caplog.records] == ["Lines of output came too fast to be kept: 2 are missing."]


def test_the_documented_table_beside_is_left_alone(database: Path) -> None:
    registry = Registry(database)
    registry.register(RegisteredAgent(agent_id="agent", agent_path="", host="127.0.0.1", port=1))
    before = rows_of_registry(database)
    with HistoryStore(database, agent_id="agent") as store:
        record(store)
    assert rows_of_registry(database) == before
    with closing(sqlite3.connect(database)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    ours = {name for name in tables if name.startswith("runagent_grpc_")}
    assert tables - ours == {"agents", "sqlite_sequence"}


def test_a_file_that_is_no_database_cannot_be_used(database: Path) -> None:
    database.parent.mkdir()
    database.write_text("no database, but a text that is long enough to be taken for one" * 10)
    with pytest.raises(InternalError, match="cannot be used"):
        HistoryStore(database, agent_id="agent")
    with pytest.raises(InternalError, match="cannot be used"):
        History(database).page()


def rows_of_registry(database: Path) -> list[object]:
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT * FROM agents").fetchall()
