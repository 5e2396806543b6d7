"""The folder of leases: what is written, and what a reader accepts."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.errors import InternalError
from runagent_grpc.local import LeaseFolder
from tests.local.leased import a_lease


@pytest.fixture
def folder(tmp_path: Path) -> LeaseFolder:
    return LeaseFolder(tmp_path / "cache" / "runagent_local.db")


@pytest.fixture(autouse=True)
def _permissive_umask() -> Iterator[None]:
    """Owner-only is not the umask's doing."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_lease_is_read_as_it_was_written_and_is_its_owners_alone(folder: LeaseFolder) -> None:
    lease = a_lease(grpc_port=50051, tls=True, server_name="agents.example", ca_file="/etc/ca.pem", hostname="here")

    folder.write(lease)

    assert folder.read().leases == (lease,)
    assert folder.read().ignored == ()
    assert [path.name for path in folder.path.iterdir()] == ["one.json"]
    assert (mode_of(folder.path), mode_of(folder.path / "one.json"), mode_of(folder.path.parent)) == (
        0o700,
        0o600,
        0o700,
    )


def test_a_lease_is_owner_only_before_it_has_its_name(folder: LeaseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    replace = Path.replace

    def watched(self: Path, target: Path) -> Path:
        seen.append((mode_of(self.parent), mode_of(self)))
        assert not target.exists()
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watched)
    folder.write(a_lease())
    assert seen == [(0o700, 0o600)]


def test_a_lease_that_is_removed_is_gone_and_removing_it_again_is_no_error(folder: LeaseFolder) -> None:
    folder.write(a_lease())
    folder.remove("one")
    folder.remove("one")
    assert list(folder.path.iterdir()) == []


def test_a_missing_folder_holds_nothing_and_none_is_made(folder: LeaseFolder) -> None:
    assert (folder.read().leases, folder.read().ignored) == ((), ())
    assert not folder.path.parent.exists()


def test_the_server_that_started_last_comes_first(folder: LeaseFolder) -> None:
    for name, minute in {"a": 1, "b": 3, "c": 2}.items():
        folder.write(a_lease(name, started_at=f"2026-03-01T12:0{minute}:00.000000Z"))
    folder.write(a_lease("d", "other"))

    assert [lease.instance_id for lease in folder.read().of_agent("chat")] == ["b", "c", "a"]


def test_fields_of_a_later_version_are_ignored(folder: LeaseFolder) -> None:
    folder.write(a_lease())
    write_fields(folder, mood="fine", agents=[{"agent_id": "chat", "shape": {"round": True}}])

    (lease,) = folder.read().leases
    assert [agent.agent_id for agent in lease.agents] == ["chat"]


def write_fields(folder: LeaseFolder, **changes: Any) -> None:
    path = folder.path / "one.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format_version": 2}, "has format version 2, newer than this client reads; upgrade the client"),
        ({"format_version": "1"}, "has no valid `format_version`"),
        ({"format_version": True}, "has no valid `format_version`"),
        ({"format_version": 0}, "has no valid `format_version`"),
        ({"instance_id": "../x"}, "has no valid `instance_id`"),
        ({"instance_id": "two"}, "is not named after its `instance_id`"),
        ({"pid": "1"}, "has no valid `pid`"),
        ({"pid": 0}, "has no valid `pid`"),
        ({"started_at": "yesterday"}, "has no valid `started_at`"),
        ({"host": ""}, "has no valid `host`"),
        ({"host": "user@elsewhere"}, "has no valid `host`"),
        ({"host": "a/b"}, "has no valid `host`"),
        ({"host": "0.0.0.0"}, "has no valid `host`"),  # noqa: S104 - refused, not bound
        ({"host": None}, "has no valid `host`"),
        ({"http_port": 0}, "has no valid `http_port`"),
        ({"http_port": 65536}, "has no valid `http_port`"),
        ({"grpc_port": "50051"}, "has no valid `grpc_port`"),
        ({"http_port": None}, "has neither `http_port` nor `grpc_port`"),
        ({"tls": "no"}, "has no valid `tls`"),
        ({"ca_file": 1}, "has no valid `ca_file`"),
        ({"agents": {}}, "has no list of `agents`"),
        ({"agents": [{"agent_name": "x"}]}, "has an agent without `agent_id`"),
        ({"agents": [{"agent_id": "x", "agent_path": 1}]}, "has no valid `agent_path`"),
    ],
)
def test_a_field_that_cannot_be_makes_the_lease_ignored(
    folder: LeaseFolder, changes: dict[str, Any], reason: str
) -> None:
    folder.write(a_lease())
    write_fields(folder, **changes)

    reading = folder.read()
    assert reading.leases == ()
    assert [str(lease) for lease in reading.ignored] == [f"{folder.path / 'one.json'} {reason}."]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b" " * (1024 * 1024 + 1), "is larger than a lease can be"),
    ],
)
def test_a_malformed_file_is_ignored_and_hides_no_other(folder: LeaseFolder, content: bytes, reason: str) -> None:
    folder.write(a_lease())
    (folder.path / "bad.json").write_bytes(content)
    (folder.path / "bad.json").chmod(0o600)

    reading = folder.read()
    assert [lease.instance_id for lease in reading.leases] == ["one"]
    assert [lease.reason for lease in reading.ignored] == [reason]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_ignored(folder: LeaseFolder, mode: int) -> None:
    folder.write(a_lease())
    (folder.path / "one.json").chmod(mode)

    reading = folder.read()
    assert (reading.leases, [lease.reason for lease in reading.ignored]) == ((), ["is writable by other users"])


def test_a_folder_that_others_can_write_is_ignored_whole_until_its_owner_serves_again(folder: LeaseFolder) -> None:
    folder.write(a_lease())
    folder.path.chmod(0o777)

    (ignored,) = folder.read().ignored
    assert (ignored.path, ignored.reason, folder.read().leases) == (folder.path, "is writable by other users", ())
    folder.write(a_lease("two"))
    assert len(folder.read().leases) == 2


def test_what_another_user_owns_is_neither_read_nor_written(
    folder: LeaseFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write(a_lease())
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)

    (ignored,) = folder.read().ignored
    assert (ignored.path, ignored.reason) == (folder.path, "is owned by another user")
    with pytest.raises(InternalError, match="cannot be written") as caught:
        folder.write(a_lease("two"))
    assert caught.value.suggestion is not None


def test_a_file_that_another_user_owns_is_ignored(folder: LeaseFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(a_lease())
    real = os.fstat

    def of_another_user(descriptor: int) -> os.stat_result:
        fields = list(real(descriptor))
        fields[stat.ST_UID] += 1
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", of_another_user)
    reading = folder.read()
    assert (reading.leases, [lease.reason for lease in reading.ignored]) == ((), ["is owned by another user"])


def test_links_and_pipes_are_ignored(folder: LeaseFolder) -> None:
    folder.write(a_lease())
    (folder.path / "one.json").rename(folder.path.parent / "one.json")
    (folder.path / "one.json").symlink_to(folder.path.parent / "one.json")
    os.mkfifo(folder.path / "pipe.json", 0o600)

    reading = folder.read()
    assert reading.leases == ()
    assert [lease.path.name for lease in reading.ignored] == ["one.json", "pipe.json"]


def test_a_link_in_place_of_the_folder_is_ignored(folder: LeaseFolder, tmp_path: Path) -> None:
    elsewhere = LeaseFolder(tmp_path / "elsewhere" / "runagent_local.db")
    elsewhere.write(a_lease())
    folder.path.parent.mkdir(mode=0o700)
    folder.path.symlink_to(elsewhere.path)

    assert [lease.reason for lease in folder.read().ignored] == ["is not a folder"]
    with pytest.raises(InternalError, match="cannot be written"):
        folder.write(a_lease("two"))


def test_a_folder_that_cannot_be_made_is_an_error_that_says_what_to_do(folder: LeaseFolder) -> None:
    folder.path.parent.write_text("in the way")

    with pytest.raises(InternalError, match="RUNAGENT_CACHE_DIR") as caught:
        folder.write(a_lease())
    assert caught.value.suggestion is not None


def test_readers_never_see_a_lease_that_is_half_written(folder: LeaseFolder) -> None:
    done = threading.Event()

    def write() -> None:
        for number in range(300):
            folder.write(a_lease(f"server-{number}"))
            folder.remove(f"server-{number}")
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        assert folder.read().ignored == ()
    writer.join()
