"""What the engine finds again: by a request, by an id, after its memory and after its process."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.store import RequestKey
from runagent_grpc.errors import (
    AbortedError,
    ExecutionFailedError,
    InternalError,
    InvocationCancelledError,
    Reason,
    RunAgentError,
)
from runagent_grpc.store import HistoryStore, RecordingSettings
from runagent_grpc.values.payload import Json, Payload
from tests.store.recording import NOON, begin, end, produce, record

KEY = RequestKey("key", "agent", "r-1")


def claimed(store: HistoryStore, key: RequestKey) -> InvocationRecord | None:
    """What is said to a call of this request."""
    asking = InvocationRecord(
        invocation_id="new",
        agent_id=key.agent_id,
        entrypoint_tag="chat",
        owner=key.owner,
        request_id=key.request_id,
        fingerprint="any",
        start_time=NOON,
    )
    return asyncio.run(store.invocations.claim(asking))


@contextmanager
def unable_to_write(database: Path) -> Iterator[Callable[[], None]]:
    """Another process that writes to the file, as long as the block or until it is told to end."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield lambda: other.rollback()


@pytest.mark.parametrize("written", [True, False])
def test_a_request_leads_to_its_invocation(store: HistoryStore, database: Path, written: bool) -> None:
    with contextlib.nullcontext() if written else unable_to_write(database):
        invocation = begin(store, "one", owner="key", request_id="r-1")
        end(store, invocation, Json("[1]"))
        if written:
            store.flush()
        found = claimed(store, KEY)
        assert found is not None
        assert (found.invocation_id, found.elapsed, found.result) == (invocation.invocation_id, 2.0, Json("[1]"))
        assert isinstance(found.result, Json)


@pytest.mark.parametrize("written", [True, False])
def test_a_request_may_still_run(store: HistoryStore, database: Path, written: bool) -> None:
    with contextlib.nullcontext() if written else unable_to_write(database):
        invocation = begin(store, owner="key", request_id="r-1")
        if written:
            store.flush()
        found = claimed(store, KEY)
        assert found is not None
        assert (found.invocation_id, found.state) == (
            invocation.invocation_id,
            InvocationState.RUNNING,
        )


def test_a_request_has_ended_as_soon_as_that_was_told(store: HistoryStore, database: Path) -> None:
    invocation = begin(store, owner="key", request_id="r-1")
    store.flush()
    with unable_to_write(database):
        end(store, invocation, "done")
        found = claimed(store, KEY)
    assert found is not None
    assert (found.state, found.result) == (InvocationState.COMPLETED, "done")


def test_a_request_is_found_at_every_moment_between_its_start_and_the_file(store: HistoryStore) -> None:
    results: list[object] = []
    for number in range(300):
        key = RequestKey("", "agent", str(number))
        record(store, "done", request_id=key.request_id)
        for _ in range(3):
            found = claimed(store, key)
            results.append(found and found.result)
    assert results == ["done"] * 900


def test_a_request_belongs_to_its_key_and_its_agent(store: HistoryStore) -> None:
    record(store, owner="key", request_id="r-1")
    store.flush()
    strangers = (("other", "agent", "r-1"), ("key", "other", "r-1"), ("key", "agent", "r-2"), ("key", "agent", ""))
    assert [claimed(store, RequestKey(*stranger)) for stranger in strangers] == [None] * 4


def test_a_request_of_a_time_when_its_id_meant_nothing_is_not_known(store: HistoryStore) -> None:
    end(store, begin(store, owner="key", request_id="r-1", fingerprint=""))
    store.flush()
    assert claimed(store, KEY) is None


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        ("x" * 100, True),
        (b"\x00\xff", True),
        ("\x00", True),
        (Json('{"max_tokens":1}'), True),
        ("x" * 101, False),
        (Json('{"password":"hunter2"}'), False),
        (Json('{"password":null}'), True),
    ],
    ids=repr,
)
def test_a_result_is_given_again_only_if_it_was_kept_whole(database: Path, result: Payload, kept: bool) -> None:
    with HistoryStore(database, agent_id="agent", settings=RecordingSettings(max_recorded_bytes=100)) as store:
        record(store, result, owner="key", request_id="r-1")
        store.flush()
        found = claimed(store, KEY)
    assert found is not None
    assert (found.result, type(found.result)) == ((result, type(result)) if kept else (None, type(None)))


@pytest.mark.parametrize(
    ("state", "error"),
    [
        (InvocationState.FAILED, ExecutionFailedError("no such city")),
        (InvocationState.CANCELLED, InvocationCancelledError("The caller left.")),
        (InvocationState.LOST, AbortedError("The server was told to stop.")),
    ],
)
def test_what_did_not_complete_has_its_error(store: HistoryStore, state: InvocationState, error: RunAgentError) -> None:
    invocation = begin(store, owner="key", request_id="r-1")
    end(store, invocation, state=state, error=error, chunk_count=7)
    store.flush()
    found = claimed(store, KEY)
    assert found is not None
    ended = found
    assert (ended.state, ended.cause, ended.chunk_count) == (state, error.message, 7)
    assert (type(ended.error), ended.error and ended.error.reason, str(ended.error)) == (
        type(error),
        error.reason,
        error.message,
    )


def test_a_reason_of_a_later_version_is_an_internal_error(store: HistoryStore, database: Path) -> None:
    invocation = begin(store, owner="key", request_id="r-1")
    end(store, invocation, state=InvocationState.FAILED, error=ExecutionFailedError("no such city"))
    store.flush()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("UPDATE runagent_grpc_invocations SET reason = 'UNHEARD_OF'")
    found = claimed(store, KEY)
    assert found is not None
    assert isinstance(found.error, InternalError)
    assert str(found.error) == "no such city"


def test_what_runs_on_another_server_runs_and_is_lost_once_that_has_ended(database: Path) -> None:
    with HistoryStore(database, agent_id="agent") as one:
        with HistoryStore(database, agent_id="agent") as two:
            running = begin(two, owner="key", request_id="r-1")
            produce(two, running, "a", "b", "c")
            two.flush()
            found = claimed(one, KEY)
            assert found is not None
            assert found.state is InvocationState.RUNNING
        found = claimed(one, KEY)
        assert found is not None
        lost = found
        assert (lost.state, lost.chunk_count, lost.error and lost.error.reason) == (
            InvocationState.LOST,
            3,
            Reason.INVOCATION_LOST,
        )
        assert lost.cause == str(lost.error) == "The server's process ended before the invocation did."


def test_an_invocation_is_found_by_its_id_its_owner_and_its_agent(store: HistoryStore) -> None:
    invocation = begin(store, owner="key")
    end(store, invocation, "done")
    found = asyncio.run(store.invocations.find(invocation.invocation_id, owner="key", agent_ids=["agent"]))
    assert found is not None
    assert (found.invocation_id, found.result) == (invocation.invocation_id, "done")
    assert found.end_time == NOON + timedelta(seconds=2)
    assert asyncio.run(store.invocations.find(invocation.invocation_id, owner="other", agent_ids=["agent"])) is None
    assert asyncio.run(store.invocations.find("unknown", owner="key", agent_ids=["agent"])) is None
    assert asyncio.run(store.invocations.find(invocation.invocation_id, owner="key", agent_ids=["other"])) is None
    assert asyncio.run(store.invocations.find(invocation.invocation_id, owner="key", agent_ids=[])) is None
    both = store.invocations.find(invocation.invocation_id, owner="key", agent_ids=["other", "agent"])
    assert asyncio.run(both) is not None


def test_a_file_in_trouble_knows_no_request_and_says_so_once(
    store: HistoryStore, database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(store, "done", owner="key", request_id="r-1")
    store.flush()
    store.invocations.close()
    assert [claimed(store, KEY) for _ in range(3)] == [None] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "Requests that came before cannot be looked up: Cannot operate on a closed database."
    ]


def test_a_look_up_keeps_nobody_from_tidying_the_file_up(store: HistoryStore, database: Path) -> None:
    record(store, "done", owner="key", request_id="r-1")
    store.flush()
    assert claimed(store, KEY)
    with closing(sqlite3.connect(database)) as connection:
        # Busy where somebody still reads an older state of the file.
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def test_requests_may_be_told_of_while_others_are_written(store: HistoryStore) -> None:
    def tell(name: int) -> None:
        for number in range(200):
            record(store, "done", request_id=f"{name} {number}")

    threads = [threading.Thread(target=tell, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.flush()
    found = [claimed(store, RequestKey("", "agent", f"{name} {number}")) for name in range(4) for number in range(200)]
    assert [one and one.result for one in found] == ["done"] * 800


# The table as it was before requests were told apart.
EARLIER = """
    CREATE TABLE runagent_grpc_invocations (
        number INTEGER PRIMARY KEY AUTOINCREMENT, invocation_id TEXT NOT NULL UNIQUE, agent_id TEXT NOT NULL,
        entrypoint_tag TEXT NOT NULL, owner TEXT NOT NULL, user_id TEXT NOT NULL, request_id TEXT NOT NULL,
        transport TEXT NOT NULL, instance TEXT NOT NULL, start_time INTEGER NOT NULL, input TEXT, state TEXT NOT NULL,
        cause TEXT NOT NULL, reason TEXT, message TEXT, end_time INTEGER, elapsed REAL, result TEXT,
        result_size INTEGER, chunk_count INTEGER NOT NULL, first_chunks TEXT, last_chunks TEXT
    )
"""


def test_a_file_of_an_earlier_version_is_used_on(database: Path) -> None:
    database.parent.mkdir()
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(EARLIER)
        connection.execute(
            "INSERT INTO runagent_grpc_invocations VALUES (1, 'old', 'agent', 'chat', 'key', '', 'r-1', 'grpc', 'i', "
            "0, NULL, 'COMPLETED', '', NULL, NULL, 1000000, 1.0, 'text:done', 4, 0, NULL, NULL)"
        )
    with HistoryStore(database, agent_id="agent") as store:
        assert store.history.get("old").result == "done"
        # Nobody knows what was asked for, nor whether the result is whole.
        assert claimed(store, KEY) is None
        found = asyncio.run(store.invocations.find("old", owner="key", agent_ids=["agent"]))
        assert found is not None
        assert (found.fingerprint, found.result) == ("", None)
        record(store, "new", owner="key", request_id="r-1")
        store.flush()
        again = claimed(store, KEY)
        assert again is not None
        assert again.result == "new"
    with HistoryStore(database, agent_id="agent") as store:
        assert store.history.stats().total == 2
