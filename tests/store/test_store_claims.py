"""Requests as servers of one agent claim them: alone in memory, together in the file, and never without a lease."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.errors import InternalError, UnavailableError
from runagent_grpc.store import HistoryStore, remove_invocations_before
from runagent_grpc.store.processes import Life, Process
from tests.store.recording import NOON
from tests.store.test_store_durability import dying
from tests.waiting import eventually, on_a_loop

RUNNING_SERVERS = "FROM runagent_grpc_servers WHERE stopped_at IS NULL"


def asking(request_id: str, *, name: str = "one", agent_id: str = "agent") -> InvocationRecord:
    """An invocation that is about to start."""
    return InvocationRecord(
        invocation_id=f"{name}-{request_id}",
        agent_id=agent_id,
        entrypoint_tag="chat",
        owner="key",
        request_id=request_id,
        fingerprint="content",
        start_time=NOON,
    )


def start(store: HistoryStore, record: InvocationRecord) -> InvocationRecord:
    running = replace(record, state=InvocationState.RUNNING)
    store.started(running, Call(entrypoint_tag="chat", request_id=record.request_id))
    return running


def end(store: HistoryStore, running: InvocationRecord, result: str = "done") -> None:
    store.ended(replace(running, state=InvocationState.COMPLETED, end_time=NOON, elapsed=1.0, result=result))


def claimed(store: HistoryStore, record: InvocationRecord) -> InvocationRecord | None:
    return asyncio.run(store.invocations.claim(record))


def query(database: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def claims_in(database: Path) -> set[str]:
    return {request_id for (request_id,) in query(database, "SELECT request_id FROM runagent_grpc_claims")}


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Every statement that SQLite runs from here on, with the name of the thread that asked for it."""
    seen: list[tuple[str, str]] = []
    connect = sqlite3.connect

    def traced(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **options)
        connection.set_trace_callback(lambda statement: seen.append((threading.current_thread().name, statement)))
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    return seen


def test_one_server_alone_pays_one_look_up_a_call_and_nothing_else(
    database: Path, statements: list[tuple[str, str]]
) -> None:
    calls = 100
    with HistoryStore(database, agent_id="agent") as store:
        # The first batch, after which no table is looked at for the first time.
        store.flush()
        statements.clear()

        async def call() -> None:
            for number in range(calls):
                record = asking(str(number))
                assert await store.invocations.claim(record) is None
                end(store, start(store, record))

        asyncio.run(call())
        store.flush()
        seen = [*statements]
    on_the_loop = [statement for thread, statement in seen if thread == "MainThread"]
    assert len(on_the_loop) == calls
    assert all("SELECT" in statement and "request_id" in statement for statement in on_the_loop)
    assert not [statement for _, statement in seen if "runagent_grpc_claims" in statement and "INSERT" in statement]
    batches = [thread for thread, statement in seen if statement.startswith("BEGIN")]
    # Those of the writer, which collects for a while, and a renewal that may be due.
    assert batches.count("runagent-history") <= 10
    assert batches.count("runagent-lease") <= 1
    assert set(batches) <= {"runagent-history", "runagent-lease"}


def test_servers_of_several_agents_claim_in_memory(database: Path) -> None:
    with HistoryStore(database, agent_id="one") as one, HistoryStore(database, agent_id="two") as two:
        assert claimed(one, asking("r", agent_id="one")) is None
        assert claimed(two, asking("r", agent_id="two")) is None
        assert claims_in(database) == set()


def test_a_request_is_granted_to_one_of_two_servers(database: Path) -> None:
    with HistoryStore(database, agent_id="agent") as one, HistoryStore(database, agent_id="agent") as two:

        async def both(number: int) -> tuple[InvocationRecord | None, InvocationRecord | None]:
            async def ask(store: HistoryStore, name: str) -> InvocationRecord | None:
                record = asking(str(number), name=name)
                found = await store.invocations.claim(record)
                if found is None:
                    start(store, record)
                return found

            first, second = await asyncio.gather(ask(one, "one"), ask(two, "two"))
            return first, second

        async def all_of_them() -> list[tuple[InvocationRecord | None, InvocationRecord | None]]:
            return await asyncio.gather(*map(both, range(50)))

        for number, answers in enumerate(asyncio.run(all_of_them())):
            (found,) = [answer for answer in answers if answer is not None]
            winner = "one" if answers[0] is None else "two"
            assert (found.invocation_id, found.state) == (f"{winner}-{number}", InvocationState.RUNNING)


@on_a_loop
async def test_a_claim_that_is_given_back_goes_to_the_one_that_waits(tmp_path: Path) -> None:
    database = tmp_path / "runagent_local.db"
    with HistoryStore(database, agent_id="agent") as one, HistoryStore(database, agent_id="agent") as two:
        record = asking("r")
        assert await one.invocations.claim(record) is None
        waiting = asyncio.ensure_future(two.invocations.claim(asking("r", name="two")))
        await asyncio.wait([waiting], timeout=0.2)
        assert not waiting.done()
        one.invocations.release(record)
        assert await waiting is None


@on_a_loop
async def test_who_waits_for_a_claim_waits_no_longer_than_that(tmp_path: Path) -> None:
    database = tmp_path / "runagent_local.db"
    with HistoryStore(database, agent_id="agent") as one, HistoryStore(database, agent_id="agent") as two:
        assert await one.invocations.claim(asking("r")) is None
        with pytest.raises(TimeoutError):
            await two.invocations.claim(asking("r", name="two"), patience=0.05)
        # What this server never began nor gave back is its own to begin.
        assert await one.invocations.claim(asking("r", name="again")) is None


def test_a_claim_in_the_file_is_given_back_after_the_other_server_has_gone(database: Path) -> None:
    with HistoryStore(database, agent_id="agent") as one:
        with HistoryStore(database, agent_id="agent"):
            assert claimed(one, asking("r")) is None
        eventually(lambda: query(database, f"SELECT shared {RUNNING_SERVERS}") == [(0,)])
        one.invocations.release(asking("r"))
        eventually(lambda: claims_in(database) == set())


def test_a_server_that_nobody_answers_does_not_open_the_history(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HistoryStore(database, agent_id="agent"):
        monkeypatch.setattr("runagent_grpc.store.membership._JOIN_SECONDS", 0.0)
        with pytest.raises(InternalError, match="cannot be used"):
            HistoryStore(database, agent_id="agent")
    assert query(database, f"SELECT count(*) {RUNNING_SERVERS}") == [(0,)]


@on_a_loop
async def test_a_claim_of_a_caller_that_left_is_given_back(tmp_path: Path) -> None:
    database = tmp_path / "runagent_local.db"
    with HistoryStore(database, agent_id="agent") as one, HistoryStore(database, agent_id="agent") as two:
        assert await one.invocations.claim(asking("r")) is None
        leaving = asyncio.ensure_future(two.invocations.claim(asking("r", name="two")))
        await asyncio.sleep(0)
        leaving.cancel()
        one.invocations.release(asking("r"))
        assert await one.invocations.claim(asking("r", name="again")) is None


def test_what_was_claimed_in_memory_is_known_to_a_server_that_comes(database: Path) -> None:
    with HistoryStore(database, agent_id="agent") as one:
        waiting, begun = asking("waiting"), asking("begun")
        assert claimed(one, waiting) is None
        assert claimed(one, begun) is None
        start(one, begun)
        with HistoryStore(database, agent_id="agent") as two:
            assert "waiting" in claims_in(database)
            found = claimed(two, asking("begun", name="two"))
            assert found is not None
            assert found.invocation_id == begun.invocation_id
            one.invocations.release(waiting)
            assert claimed(two, asking("waiting", name="two")) is None


def test_a_server_that_is_alone_again_claims_in_memory(database: Path) -> None:
    with HistoryStore(database, agent_id="agent") as one:
        with HistoryStore(database, agent_id="agent"):
            assert claimed(one, asking("shared")) is None
            assert claims_in(database) == {"shared"}
        eventually(lambda: query(database, f"SELECT shared {RUNNING_SERVERS}") == [(0,)])
        eventually(lambda: claimed(one, asking("alone")) is None and "alone" not in claims_in(database))


def test_claims_of_a_server_that_ended_are_free(database: Path) -> None:
    with HistoryStore(database, agent_id="agent") as one:
        with HistoryStore(database, agent_id="agent") as two:
            assert claimed(two, asking("r", name="two")) is None
        assert claims_in(database) == set()
        assert claimed(one, asking("r")) is None


@on_a_loop
async def test_who_waits_for_another_servers_invocation_gets_its_outcome(tmp_path: Path) -> None:
    database = tmp_path / "runagent_local.db"
    with HistoryStore(database, agent_id="agent") as one, HistoryStore(database, agent_id="agent") as two:
        record = asking("r")
        assert await one.invocations.claim(record) is None
        running = start(one, record)
        found = await two.invocations.claim(asking("r", name="two"))
        assert found is not None
        waiting = asyncio.ensure_future(two.invocations.ended(found))
        await asyncio.wait([waiting], timeout=0.1)
        assert not waiting.done()
        end(one, running, "the result")
        ended = await waiting
        assert ended is not None
        assert (ended.invocation_id, ended.state, ended.result) == (
            record.invocation_id,
            InvocationState.COMPLETED,
            "the result",
        )


def take_the_lease_of(database: Path, store: HistoryStore) -> None:
    """Does what another server does to one that did not renew its lease."""
    name = store._membership.lease.instance
    query(database, f"UPDATE runagent_grpc_invocations SET state = 'LOST' WHERE instance = '{name}'")  # noqa: S608 - a name of ours
    query(database, f"UPDATE runagent_grpc_servers SET stopped_at = 1 WHERE instance = '{name}'")  # noqa: S608 - a name of ours


def test_a_server_whose_lease_was_taken_away_changes_nothing_that_was_written_off(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with HistoryStore(database, agent_id="agent") as store:
        before = start(store, asking("before"))
        store.flush()
        lease = store._membership.lease
        take_the_lease_of(database, store)
        end(store, before)
        after = asking("after")
        end(store, start(store, after))
        eventually(lambda: store._membership.lease is not lease)
        assert store._membership.lease.fence > lease.fence
        eventually(lambda: states_in(store).get("one-after") is InvocationState.COMPLETED)
        assert states_in(store)["one-before"] is InvocationState.LOST
    assert any("did not renew its lease in time" in message for message in caplog.messages)


def states_in(store: HistoryStore) -> dict[str, InvocationState]:
    return {each.invocation_id: each.state for each in store.history.page().invocations}


@contextmanager
def frozen(database: Path) -> Iterator[str]:
    """A server that does nothing any more, although its process is there: the id of what it runs."""
    with dying(database) as (process, _, running):
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        query(database, "UPDATE runagent_grpc_servers SET lease_until = 1")
        yield running


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Looks at processes as Linux shows them.")
def test_a_server_that_hangs_is_given_time_and_then_written_off(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runagent_grpc.store.membership.RENEWAL_SECONDS", 1.0)
    with frozen(database) as running:
        # The next server of its agent waits for it, and no longer than that.
        with HistoryStore(database, agent_id="agent") as store:
            assert store.history.get(running).state is InvocationState.LOST
        stopped = query(database, f"SELECT count(*) {RUNNING_SERVERS}")
        assert stopped == [(0,)]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Looks at processes as Linux shows them.")
def test_a_server_that_hangs_is_in_no_other_agents_way(database: Path) -> None:
    with frozen(database) as running, HistoryStore(database, agent_id="other") as store:
        assert store.history.get(running).state is InvocationState.RUNNING


def test_a_lease_that_passed_on_another_machine_is_the_end(database: Path) -> None:
    with HistoryStore(database, agent_id="agent") as store:
        record = start(store, asking("r"))
        store.flush()
        query(
            database,
            "INSERT INTO runagent_grpc_servers (instance, agent_id, pid, started_at, machine, lease_until) "
            "VALUES ('far', 'other', 1, 0, 'another', 1)",
        )
        query(database, "UPDATE runagent_grpc_invocations SET instance = 'far'")
        assert store.history.get(record.invocation_id).state is InvocationState.LOST
        query(database, "UPDATE runagent_grpc_servers SET lease_until = 9e18 WHERE instance = 'far'")
        assert store.history.get(record.invocation_id).state is InvocationState.RUNNING


@pytest.mark.parametrize(
    ("change", "life"),
    [
        (lambda process: process, Life.LIVES),
        (lambda process: replace(process, start="0"), Life.ENDED),
        (lambda process: replace(process, pid=2**30), Life.ENDED),
        (lambda process: replace(process, machine="another"), Life.UNKNOWN),
        (lambda process: replace(process, start=""), Life.UNKNOWN),
    ],
)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Looks at processes as Linux shows them.")
def test_a_process_is_known_by_its_machine_its_id_and_its_start(
    change: Callable[[Process], Process], life: Life
) -> None:
    assert change(Process.current()).life() is life


def test_claims_are_removed_with_the_history(database: Path) -> None:
    with HistoryStore(database, agent_id="agent") as one, HistoryStore(database, agent_id="agent"):
        for name in ("ended", "waiting"):
            assert claimed(one, asking(name)) is None
        end(one, start(one, asking("ended")))
        one.flush()
        assert remove_invocations_before(database, datetime.now(UTC) + timedelta(days=1)) == 1
        # What has not begun is somebody's.
        assert claims_in(database) == {"waiting"}


def test_a_file_that_cannot_be_written_grants_no_claim_to_one_of_two(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runagent_grpc.store.membership._BUSY_MILLISECONDS", 10)
    with HistoryStore(database, agent_id="agent") as one, HistoryStore(database, agent_id="agent"):
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(UnavailableError):
                claimed(one, asking("r"))
            other.execute("ROLLBACK")
        assert claimed(one, asking("r")) is None
