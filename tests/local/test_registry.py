from __future__ import annotations

import multiprocessing
import sqlite3
import stat
import threading
import traceback
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.errors import InternalError
from runagent_grpc.local.registry import RegisteredAgent, Registry
from runagent_grpc.local.registry_file import registry_path

DOCUMENTED_COLUMNS = (
    "agent_id agent_path host port framework status remote_status is_local fingerprint deployed_at last_run run_count "
    "success_count error_count created_at updated_at agent_name description template version initialized_at "
    "config_fingerprint project_id"
)
NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "runagent_local.db"


def an_agent(**changes: Any) -> RegisteredAgent:
    known: dict[str, Any] = {"agent_id": "chat", "agent_path": "/srv/chat", "host": "127.0.0.1", "port": 8450}
    return RegisteredAgent(**{**known, **changes})


def registry_at(path: Path, now: datetime = NOON) -> Registry:
    return Registry(path, clock=lambda: now)


def run_sql(path: Path, *statements: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def row_of(path: Path, agent_id: str = "chat") -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute("SELECT * FROM agents WHERE agent_id = ?", (agent_id,)).fetchone())


def test_a_registered_agent_is_found(path: Path) -> None:
    agent = an_agent(framework="langgraph", agent_name="Chat", description="Talks.", template="basic", version="1.2")

    registry_at(path).register(agent)

    assert registry_at(path).find("chat") == agent
    assert registry_at(path).find("other") is None


def test_every_agent_is_listed_by_id(path: Path) -> None:
    for agent_id in ("b", "c", "a"):
        registry_at(path).register(an_agent(agent_id=agent_id))

    assert [agent.agent_id for agent in registry_at(path).agents()] == ["a", "b", "c"]


def test_looking_where_there_is_no_file_creates_nothing(path: Path) -> None:
    registry = registry_at(path)

    assert registry.find("chat") is None
    assert registry.agents() == []
    assert registry.mark_stopped("chat", "127.0.0.1", 8450) is False
    assert not path.parent.exists()


def test_a_file_without_the_table_holds_no_agents_yet(path: Path) -> None:
    run_sql(path, "CREATE TABLE history (id INTEGER)")

    assert registry_at(path).find("chat") is None
    registry_at(path).register(an_agent())
    assert registry_at(path).find("chat") == an_agent()


def test_a_new_table_has_the_documented_columns_in_their_order(path: Path) -> None:
    registry_at(path).register(an_agent())

    assert " ".join(row_of(path)) == DOCUMENTED_COLUMNS


def test_a_new_folder_is_for_its_owner_alone(path: Path) -> None:
    registry_at(path).register(an_agent())

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_published_client_finds_nothing_null_and_times_it_can_parse(path: Path) -> None:
    cairo = timezone(timedelta(hours=2))
    registry_at(path, NOON.astimezone(cairo)).register(an_agent())

    row = row_of(path)
    for column in ("deployed_at", "created_at", "updated_at", "initialized_at"):
        assert row[column] == "2026-03-01 12:00:00"
    assert (row["framework"], row["status"], row["remote_status"]) == ("default", "deployed", "initialized")
    assert (row["is_local"], row["run_count"], row["success_count"], row["error_count"]) == (1, 0, 0, 0)


def test_registering_again_moves_the_address_and_keeps_the_rest(path: Path) -> None:
    registry_at(path).register(an_agent(description="Talks.", template="basic"))
    run_sql(path, "UPDATE agents SET run_count = 7, fingerprint = 'f', project_id = 'p', remote_status = 'deployed'")

    registry_at(path, NOON + timedelta(hours=1)).register(an_agent(port=8451, agent_path="/srv/moved"))

    row = row_of(path)
    assert (row["port"], row["agent_path"], row["status"]) == (8451, "/srv/moved", "deployed")
    assert row["created_at"] == row["initialized_at"] == "2026-03-01 12:00:00"
    assert row["deployed_at"] == row["updated_at"] == "2026-03-01 13:00:00"
    assert (row["run_count"], row["fingerprint"], row["project_id"]) == (7, "f", "p")
    assert (row["description"], row["template"], row["remote_status"]) == ("Talks.", "basic", "deployed")


def test_registering_again_fills_what_a_published_client_cannot_read(path: Path) -> None:
    registry_at(path).register(an_agent())
    run_sql(path, "UPDATE agents SET created_at = NULL, updated_at = NULL, deployed_at = NULL, framework = NULL")

    registry_at(path).register(an_agent())

    row = row_of(path)
    assert None not in {row["created_at"], row["updated_at"], row["deployed_at"], row["framework"], row["status"]}


OLD_TABLE = """CREATE TABLE agents (agent_id VARCHAR NOT NULL, agent_path VARCHAR NOT NULL, host VARCHAR NOT NULL,
    port INTEGER NOT NULL, framework VARCHAR, status VARCHAR, deployed_at DATETIME, created_at DATETIME,
    updated_at DATETIME, mood VARCHAR, PRIMARY KEY (agent_id))"""


def test_an_older_table_is_used_as_it_is(path: Path) -> None:
    run_sql(
        path, OLD_TABLE, "INSERT INTO agents (agent_id, agent_path, host, port, mood) VALUES ('old', '/', 'h', 1, 'x')"
    )

    registry = registry_at(path)
    registry.register(an_agent(description="Talks."))
    registry.register(an_agent(agent_id="old", agent_path="/srv/old", host="127.0.0.1", port=2))

    assert " ".join(row_of(path)) == (
        "agent_id agent_path host port framework status deployed_at created_at updated_at mood"
    )
    assert row_of(path, "old")["mood"] == "x"
    assert row_of(path, "old")["port"] == 2
    assert registry.find("chat") == an_agent()


def test_a_table_without_a_primary_key_gets_one_row_an_agent(path: Path) -> None:
    run_sql(path, "CREATE TABLE agents (agent_id TEXT, host TEXT, port INTEGER)")

    registry_at(path).register(an_agent())
    registry_at(path).register(an_agent(port=8451))

    assert [agent.port for agent in registry_at(path).agents()] == [8451]
    assert registry_at(path).mark_stopped("chat", "127.0.0.1", 8451) is False


def test_a_row_left_by_somebody_else_with_gaps_can_be_read(path: Path) -> None:
    run_sql(path, OLD_TABLE, "INSERT INTO agents (agent_id, agent_path, host, port) VALUES ('old', '', '0.0.0.0', 1)")

    found = registry_at(path).find("old")

    assert found is not None
    assert (found.host, found.framework, found.status) == ("127.0.0.1", "default", "deployed")


@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ("0.0.0.0", "127.0.0.1"),  # noqa: S104 what is tested is that it is never written
        ("::", "::1"),
        ("[::]", "::1"),
        ("", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("localhost", "localhost"),
    ],
)
def test_a_wildcard_address_is_told_as_loopback(path: Path, bound: str, told: str) -> None:
    registry_at(path).register(an_agent(host=bound))

    assert row_of(path)["host"] == told
    assert registry_at(path).mark_stopped("chat", bound, 8450) is True


def test_a_stopped_server_is_marked_and_its_address_stays(path: Path) -> None:
    registry_at(path).register(an_agent())

    assert registry_at(path, NOON + timedelta(minutes=5)).mark_stopped("chat", "127.0.0.1", 8450) is True

    assert registry_at(path).find("chat") == an_agent(status="stopped")
    assert row_of(path)["updated_at"] == "2026-03-01 12:05:00"
    assert row_of(path)["deployed_at"] == "2026-03-01 12:00:00"


def test_a_stopped_agent_that_starts_again_is_deployed(path: Path) -> None:
    registry = registry_at(path)
    registry.register(an_agent())
    registry.mark_stopped("chat", "127.0.0.1", 8450)

    registry.register(an_agent())

    assert registry.find("chat") == an_agent(status="deployed")


def test_a_server_that_was_succeeded_does_not_stop_its_successor(path: Path) -> None:
    registry_at(path).register(an_agent(port=8450))
    registry_at(path).register(an_agent(port=8451))

    assert registry_at(path).mark_stopped("chat", "127.0.0.1", 8450) is False
    assert registry_at(path).mark_stopped("other", "127.0.0.1", 8451) is False
    assert registry_at(path).find("chat") == an_agent(port=8451)


@pytest.mark.parametrize(
    "content",
    [b"This is not a database, whatever its name says. " * 40, b"SQLite format 3\0" + b"\xff" * 4096],
    ids=["text", "garbage"],
)
def test_a_corrupt_file_is_named_by_its_variable_with_a_way_out(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    for use in (
        lambda: registry_at(path).find("chat"),
        lambda: registry_at(path).agents(),
        lambda: registry_at(path).register(an_agent()),
        lambda: registry_at(path).mark_stopped("chat", "127.0.0.1", 8450),
    ):
        with pytest.raises(InternalError, match="in RUNAGENT_CACHE_DIR") as caught:
            use()
        assert caught.value.suggestion is not None
        assert "move the file away" in caught.value.suggestion
        assert str(path) not in f"{caught.value} {caught.value.suggestion}"
        assert "sqlite3" not in "".join(traceback.format_exception(caught.value))
    assert path.read_bytes() == content


def test_a_table_of_the_same_name_that_holds_no_addresses_is_an_error(path: Path) -> None:
    run_sql(path, "CREATE TABLE agents (name TEXT)")

    with pytest.raises(InternalError, match="cannot be used") as caught:
        registry_at(path).find("chat")

    assert caught.value.details is not None
    assert "agent_id" in caught.value.details


def test_a_folder_that_is_a_file_is_an_error(path: Path) -> None:
    path.parent.write_text("in the way")

    with pytest.raises(InternalError, match="cannot be used"):
        registry_at(path).register(an_agent())


def test_a_failed_registration_leaves_the_row_as_it_was(path: Path) -> None:
    run_sql(path, "CREATE TABLE agents (agent_id TEXT, host TEXT, port INTEGER CHECK (port < 9000), status TEXT)")
    registry_at(path).register(an_agent())

    with pytest.raises(InternalError, match="cannot be used"):
        registry_at(path).register(an_agent(port=9001))

    assert registry_at(path).find("chat") == an_agent(agent_path="")


def register_many(path: Path, writer: int, count: int) -> None:
    registry = Registry(path)
    for turn in range(count):
        registry.register(an_agent(agent_id=f"agent-{writer}", port=10_000 + turn))
        registry.register(an_agent(agent_id="shared", port=10_000 + writer))


def test_threads_and_processes_write_to_one_file_at_once(path: Path) -> None:
    threads = [threading.Thread(target=register_many, args=(path, writer, 15)) for writer in (0, 1)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for thread in threads:
            thread.start()
        done = [pool.submit(register_many, path, writer, 15) for writer in (2, 3)]
        for future in done:
            future.result()
        for thread in threads:
            thread.join()

    found = registry_at(path).agents()
    assert [agent.agent_id for agent in found] == ["agent-0", "agent-1", "agent-2", "agent-3", "shared"]
    assert {agent.port for agent in found[:4]} == {10_014}


def test_a_reader_is_served_while_somebody_writes(path: Path) -> None:
    registry_at(path).register(an_agent())

    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE agents SET port = 1")
        assert registry_at(path).find("chat") == an_agent()


def test_the_file_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNAGENT_CACHE_DIR", str(tmp_path / "here"))
    assert registry_path() == tmp_path / "here" / "runagent_local.db"
    Registry().register(an_agent())
    assert Registry(tmp_path / "here" / "runagent_local.db").find("chat") == an_agent()


@pytest.mark.parametrize("folder", [None, ""])
def test_the_file_is_in_the_home_folder_otherwise(
    folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if folder is None:
        monkeypatch.delenv("RUNAGENT_CACHE_DIR", raising=False)
    else:
        monkeypatch.setenv("RUNAGENT_CACHE_DIR", folder)

    assert registry_path() == tmp_path / ".runagent" / "runagent_local.db"


def test_a_folder_with_characters_that_mean_something_in_an_address_works(tmp_path: Path) -> None:
    path = tmp_path / "50% of #1?mode=memory" / "runagent_local.db"

    registry_at(path).register(an_agent())

    assert path.is_file()
    assert registry_at(path).find("chat") == an_agent()


def test_no_home_folder_matters_only_to_whoever_uses_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("RUNAGENT_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    registry = Registry()

    with pytest.raises(InternalError, match="no home folder"):
        registry.find("chat")
