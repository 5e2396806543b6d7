"""Files that only their owner may read, and folders that others could change."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runagent_grpc.client import RunAgentClient
from runagent_grpc.errors import InternalError
from runagent_grpc.local.leases import LeaseFolder
from runagent_grpc.local.registry import RegisteredAgent, Registry
from runagent_grpc.local.user_settings import change_user_settings, read_user_settings, remove_user_settings
from runagent_grpc.store import History, HistoryStore
from tests.local.leased import a_lease

STRANGER = 54_321

as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="Only root can give a file to another user."
)


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The umask that most systems have: what is not closed on purpose, others can read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The registry's file, yet to be made, in a folder as published packages make it."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o755)
    return folder / "runagent_local.db"


def an_agent() -> RegisteredAgent:
    return RegisteredAgent(agent_id="chat", agent_path="/home/ada/chat", host="127.0.0.1", port=8450)


def write_lease(database: Path) -> None:
    LeaseFolder(database).write(a_lease())


def open_store(database: Path) -> None:
    HistoryStore(database, agent_id="chat").close()


USES: dict[str, Callable[[Path], object]] = {
    "find an agent": lambda path: Registry(path).find("chat"),
    "list agents": lambda path: Registry(path).agents(),
    "register": lambda path: Registry(path).register(an_agent()),
    "mark as stopped": lambda path: Registry(path).mark_stopped("chat", "127.0.0.1", 8450),
    "write a lease": write_lease,
    "read leases": lambda path: LeaseFolder(path).read(),
    "open history": open_store,
    "read history": lambda path: History(path).page(),
    "read settings": read_user_settings,
    "change settings": lambda path: change_user_settings(path, {"api_key": "kept-secret"}),
    "remove settings": remove_user_settings,
}


def everything_in(folder: Path) -> dict[str, str]:
    return {path.name: oct(stat.S_IMODE(path.lstat().st_mode)) for path in folder.rglob("*")}


def test_every_file_is_its_owners_alone_from_the_moment_it_exists(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    seen = []

    def watched(*args: object, **options: object) -> sqlite3.Connection:
        seen.append(everything_in(database.parent))
        return connect(*args, **options)  # type: ignore[call-overload,no-any-return] # passed on as they come

    monkeypatch.setattr(sqlite3, "connect", watched)
    Registry(database).register(an_agent())
    change_user_settings(database, {"api_key": "kept-secret"})
    write_lease(database)
    with HistoryStore(database, agent_id="chat") as store:
        store.flush()
        seen.append(everything_in(database.parent))

    assert {"runagent_local.db", "runagent_local.db-wal", "runagent_local.db-shm", "user_data.json"} <= {*seen[-1]}
    assert any(name.endswith(".json") and name != "user_data.json" for name in seen[-1])
    for modes in seen:
        assert modes.pop("servers", "0o700") == "0o700"
        assert {*modes.values()} <= {"0o600"}
    assert seen[0] == {"runagent_local.db": "0o600"}


@pytest.mark.parametrize("use", ["register", "open history", "find an agent", "read history"])
def test_a_file_that_others_could_read_is_closed_to_them(database: Path, use: str) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE agents (agent_id TEXT, host TEXT, port INTEGER)")
    assert stat.S_IMODE(database.stat().st_mode) == 0o644
    USES[use](database)
    assert stat.S_IMODE(database.stat().st_mode) == 0o600


def test_settings_that_others_could_read_are_closed_to_them(database: Path) -> None:
    path = database.with_name("user_data.json")
    path.write_text('{"api_key": "kept-secret"}')
    assert read_user_settings(database).api_key == "kept-secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("mode", [0o777, 0o757])
def test_a_folder_that_others_may_write_to_is_refused(database: Path, use: str, mode: int) -> None:
    database.parent.chmod(mode)
    before = everything_in(database.parent)
    with pytest.raises(InternalError, match="other users") as caught:
        USES[use](database)
    assert caught.value.suggestion is not None
    assert "chmod go-w" in caught.value.suggestion
    assert "RUNAGENT_CACHE_DIR" in caught.value.suggestion
    assert everything_in(database.parent) == before


@as_root
@pytest.mark.parametrize("use", USES)
def test_a_folder_that_a_group_may_write_to_is_refused(database: Path, use: str) -> None:
    os.chown(database.parent, -1, STRANGER)
    database.parent.chmod(0o775)
    with pytest.raises(InternalError, match="other users"):
        USES[use](database)


@pytest.mark.parametrize("use", USES)
def test_a_sticky_folder_is_taken_for_nobody_can_replace_a_file_there(database: Path, use: str) -> None:
    database.parent.chmod(0o1777)
    USES[use](database)


@as_root
@pytest.mark.parametrize("use", USES)
def test_a_folder_of_another_user_is_refused(database: Path, use: str) -> None:
    os.chown(database.parent, STRANGER, -1)
    with pytest.raises(InternalError, match="belongs to another user") as caught:
        USES[use](database)
    assert caught.value.suggestion == "Set RUNAGENT_CACHE_DIR to a folder of this user's own."


@as_root
@pytest.mark.parametrize("use", USES)
def test_a_folder_that_another_users_link_leads_to_is_refused(database: Path, tmp_path: Path, use: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(database.parent)
    os.chown(link, STRANGER, -1, follow_symlinks=False)
    with pytest.raises(InternalError, match="is a link of another user's"):
        USES[use](link / database.name)


def test_a_folder_that_the_users_own_link_leads_to_is_taken(database: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(database.parent)
    Registry(link / database.name).register(an_agent())
    assert Registry(database).find("chat") == an_agent()


OF_OTHER_FILES = {"write a lease", "read leases", "read settings", "change settings"}
OF_DATABASE = [name for name in USES if name not in OF_OTHER_FILES]


@pytest.mark.parametrize("use", OF_DATABASE)
@pytest.mark.parametrize("end", ["", "-wal", "-journal"])
def test_a_file_that_is_a_link_is_refused(database: Path, tmp_path: Path, use: str, end: str) -> None:
    Registry(database).register(an_agent())
    aim = tmp_path / "elsewhere"
    (database.rename(aim) if not end else aim.write_bytes(b""))
    link = database.with_name(database.name + end)
    link.unlink(missing_ok=True)
    link.symlink_to(aim)
    content = aim.read_bytes()
    with pytest.raises(InternalError, match="is a link, so it is not used"):
        USES[use](database)
    assert aim.read_bytes() == content


@as_root
@pytest.mark.parametrize("use", OF_DATABASE)
@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_a_database_of_another_user_is_refused(database: Path, use: str, end: str) -> None:
    database.parent.chmod(0o1777)
    Registry(database).register(an_agent())
    theirs = database.with_name(database.name + end)
    theirs.touch()
    os.chown(theirs, STRANGER, -1)
    with pytest.raises(InternalError, match="belongs to another user"):
        USES[use](database)


@as_root
def test_a_strangers_trigger_moves_no_address_and_no_key_goes_there(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.parent.chmod(0o1777)
    Registry(database).register(an_agent())
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE agents SET port = 1")
        connection.execute(
            "CREATE TRIGGER moved AFTER UPDATE ON agents BEGIN UPDATE agents SET host = 'evil.example'; END"
        )
    os.chown(database, STRANGER, -1)
    monkeypatch.setenv("RUNAGENT_CACHE_DIR", str(database.parent))
    with (
        pytest.raises(InternalError, match="belongs to another user"),
        RunAgentClient("chat", "echo", local=True, api_key="my-own-key") as client,
    ):
        client.run("what I ask")
    with pytest.raises(InternalError, match="belongs to another user"):
        Registry(database).register(an_agent())


@pytest.mark.parametrize("use", OF_DATABASE)
def test_a_file_that_others_may_write_to_is_refused_for_it_may_hold_what_they_put_there(
    database: Path, use: str
) -> None:
    Registry(database).register(an_agent())
    database.chmod(0o666)
    with pytest.raises(InternalError, match="can be written to by other users") as caught:
        USES[use](database)
    assert caught.value.suggestion is not None
    assert "move it away" in caught.value.suggestion


@as_root
@pytest.mark.parametrize("use", ["read settings", "change settings", "remove settings"])
def test_settings_of_another_user_are_refused(database: Path, use: str) -> None:
    database.parent.chmod(0o1777)
    path = database.with_name("user_data.json")
    path.write_text('{"base_url": "http://evil.example"}')
    os.chown(path, STRANGER, -1)
    with pytest.raises(InternalError, match=r"user_data\.json .*belongs to another user"):
        USES[use](database)
