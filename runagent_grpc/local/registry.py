"""The local address book: which agent is served at which address on this machine (docs/wire.md, local registry).

It owns the access to one documented table, `agents`, in a SQLite file that published RunAgent packages read and
write, too. Those may have made the table, with other columns than today's: what is there is used as it is and never
altered. Published clients read it. Ours read leases (`local/`), and find published servers here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from runagent_grpc.addresses import connectable
from runagent_grpc.local import Lease, LeaseFolder, LeaseState, probe_all
from runagent_grpc.local.registry_file import RegistryFile

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["RegisteredAgent", "Registry"]

_DEPLOYED = "deployed"
_STOPPED = "stopped"
_GONE = "gone"

_COLUMNS: Final = {
    "agent_id": "VARCHAR NOT NULL PRIMARY KEY",
    "agent_path": "VARCHAR NOT NULL",
    "host": "VARCHAR NOT NULL DEFAULT 'localhost'",
    "port": "INTEGER NOT NULL DEFAULT 8450",
    "framework": "VARCHAR",
    "status": "VARCHAR DEFAULT 'deployed'",
    "remote_status": "VARCHAR DEFAULT 'initialized'",
    "is_local": "BOOLEAN DEFAULT 1",
    "fingerprint": "VARCHAR",
    "deployed_at": "DATETIME DEFAULT CURRENT_TIMESTAMP",
    "last_run": "DATETIME",
    "run_count": "INTEGER DEFAULT 0",
    "success_count": "INTEGER DEFAULT 0",
    "error_count": "INTEGER DEFAULT 0",
    "created_at": "DATETIME DEFAULT CURRENT_TIMESTAMP",
    "updated_at": "DATETIME DEFAULT CURRENT_TIMESTAMP",
    "agent_name": "VARCHAR",
    "description": "TEXT",
    "template": "VARCHAR",
    "version": "VARCHAR",
    "initialized_at": "DATETIME",
    "config_fingerprint": "VARCHAR",
    "project_id": "VARCHAR",
}
"""The documented columns, and what each is declared as where the table has to be made."""

_KEPT = frozenset({"created_at", "initialized_at", "remote_status", "run_count", "success_count", "error_count"})
"""What a first registration writes and a later one leaves alone, unless it is NULL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredAgent:
    """One line of the address book."""

    agent_id: str
    agent_path: str
    """The agent's folder."""
    host: str
    """Where clients connect; never the wildcard address that a server may be bound to."""
    port: int
    framework: str = "default"
    agent_name: str | None = None
    description: str | None = None
    template: str | None = None
    version: str | None = None
    status: str = _DEPLOYED
    """`deployed`, `stopped`, or a word of the published package's; `gone`, which is never written, for a server of ours
    that ended without removing its lease. `register` always writes `deployed`."""


class Registry:
    """The address book in the file at `path`.

    Every operation opens the file, does one short transaction and closes it, so that one object may serve several
    threads and nothing is held between calls. All of them raise `InternalError` when the file cannot be used.
    """

    def __init__(self, path: Path | None = None, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._file = RegistryFile(path)
        self._clock = clock

    @property
    def path(self) -> Path:
        """The file. Raises InternalError where there is no folder for it."""
        return self._file.path

    @property
    def leases(self) -> LeaseFolder:
        """The leases beside the file. Raises InternalError where there is no folder for it."""
        return LeaseFolder(self.path)

    def register(self, agent: RegisteredAgent) -> None:
        """Writes the agent's address down as deployed; the latest server of an agent id has the row.

        Keeps what the row already holds and this agent does not tell: when it was created, its run counters, and
        every column that is not documented.
        """
        now = self._now()
        row: dict[str, str | int | None] = {
            "agent_id": agent.agent_id,
            "agent_path": agent.agent_path,
            "host": connectable(agent.host),
            "port": agent.port,
            "framework": agent.framework,
            "status": _DEPLOYED,
            "remote_status": "initialized",
            "is_local": 1,
            "deployed_at": now,
            "run_count": 0,
            "success_count": 0,
            "error_count": 0,
            "created_at": now,
            "updated_at": now,
            "agent_name": agent.agent_name,
            "description": agent.description,
            "template": agent.template,
            "version": agent.version,
            "initialized_at": now,
        }
        with self._file.writing() as connection:
            _make_table(connection)
            present = _columns(connection)
            row = {column: value for column, value in row.items() if column in present}
            changes = ", ".join(
                f"{column} = coalesce({column}, :{column})" if column in _KEPT else f"{column} = :{column}"
                for column, value in row.items()
                if value is not None
            )
            # An update and then an insert, rather than an upsert, which needs a constraint that a table made
            # elsewhere may lack. The names come from _COLUMNS, so there is nothing to inject.
            updated = connection.execute(f"UPDATE agents SET {changes} WHERE agent_id = :agent_id", row)  # noqa: S608 see above
            if updated.rowcount == 0:
                names, values = ", ".join(row), ", ".join(f":{column}" for column in row)
                connection.execute(f"INSERT INTO agents ({names}) VALUES ({values})", row)  # noqa: S608 see above

    def mark_stopped(self, agent_id: str, host: str, port: int) -> bool:
        """Writes down that the server at this address has stopped, and returns whether the row was still its own.

        Another server of the same agent may have taken the row over; that one's address stays.
        """
        if not self._file.exists():
            return False
        row = {"agent_id": agent_id, "host": connectable(host), "port": port, "status": _STOPPED}
        row["updated_at"] = self._now()
        with self._file.writing() as connection:
            present = _columns(connection)
            changes = ", ".join(f"{column} = :{column}" for column in ("status", "updated_at") if column in present)
            if not changes:
                return False
            stopped = connection.execute(
                f"UPDATE agents SET {changes} WHERE agent_id = :agent_id AND host = :host AND port = :port",  # noqa: S608 our own names
                row,
            )
            return stopped.rowcount > 0

    def remove(self, agent_id: str) -> bool:
        """Removes the agent's line, and returns whether there was one."""
        if not self._file.exists():
            return False
        with self._file.writing() as connection:
            if not _columns(connection):
                return False
            return connection.execute("DELETE FROM agents WHERE agent_id = ?", (agent_id,)).rowcount > 0

    def written(self, agent_id: str) -> RegisteredAgent | None:
        """Returns the agent's line as it stands in the file. Creates nothing where there is no file."""
        return next(iter(self._select("WHERE agent_id = ?", agent_id)), None)

    def find(self, agent_id: str) -> RegisteredAgent | None:
        """Returns the agent's line with the address of a server that lives, where there is one.

        Asks the servers that have leases. Creates nothing where there is no file.
        """
        row = self.written(agent_id)
        probed = probe_all(self.leases.read().of_agent(agent_id))
        return _as_it_is(row or _row_of(agent_id, probed), probed)

    def agents(self) -> list[RegisteredAgent]:
        """Returns every line as `find` does, by agent id. Creates nothing where there is no file."""
        rows = {row.agent_id: row for row in self._select("ORDER BY agent_id")}
        probed = probe_all(self.leases.read().leases)
        ids = rows.keys() | {agent.agent_id for lease, state in probed if _counts(state) for agent in lease.agents}
        found = (_as_it_is(rows.get(agent_id) or _row_of(agent_id, probed), probed) for agent_id in sorted(ids))
        return [row for row in found if row is not None]

    def living(self, agent_id: str | None = None) -> list[Lease]:
        """Returns the servers that live, the newest first; of one agent, or of all. Published servers are not among
        them. One that does not answer counts: it may hang."""
        reading = self.leases.read()
        leases = reading.leases if agent_id is None else reading.of_agent(agent_id)
        return [lease for lease, state in probe_all(leases) if _counts(state)]

    def _select(self, condition: str, *values: str) -> list[RegisteredAgent]:
        if not self._file.exists():
            return []
        with self._file.reading() as connection:
            if not _columns(connection):
                return []
            # The three that nothing works without are named, so that SQLite itself complains where one is missing.
            cursor = connection.execute(f"SELECT agent_id, host, port, * FROM agents {condition}", values)  # noqa: S608 our own conditions
            names = [column[0] for column in cursor.description]
            return [_agent_of(dict(zip(names, row, strict=True))) for row in cursor]

    def _now(self) -> str:
        return self._clock().astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _counts(state: LeaseState) -> bool:
    return state is not LeaseState.ENDED


def _row_of(agent_id: str, probed: Sequence[tuple[Lease, LeaseState]]) -> RegisteredAgent | None:
    """Returns the line that the newest server of an agent would write, where it lives."""
    for lease, state in probed:
        agent = lease.agent(agent_id)
        if agent is not None and _counts(state):
            return RegisteredAgent(
                agent_id=agent_id,
                agent_path=agent.agent_path,
                host=lease.host,
                port=lease.port,
                framework=agent.framework or "default",
                agent_name=agent.agent_name or None,
                version=agent.version or None,
            )
    return None


def _as_it_is(row: RegisteredAgent | None, probed: Sequence[tuple[Lease, LeaseState]]) -> RegisteredAgent | None:
    """Returns a line with the address of the agent's newest server that lives."""
    if row is None:
        return None
    newest = _row_of(row.agent_id, probed)
    if newest is not None:
        return replace(row, agent_path=newest.agent_path, host=newest.host, port=newest.port, status=_DEPLOYED)
    dead = {(lease.host, lease.port) for lease, _ in probed if lease.agent(row.agent_id) is not None}
    if row.status != _STOPPED and (row.host.strip("[]"), row.port) in dead:
        return replace(row, status=_GONE)
    return row


def _make_table(connection: sqlite3.Connection) -> None:
    columns = ", ".join(f"{name} {declaration}" for name, declaration in _COLUMNS.items())
    connection.execute(f"CREATE TABLE IF NOT EXISTS agents ({columns})")


def _columns(connection: sqlite3.Connection) -> set[str]:
    """Returns the columns of the table as it is; none where there is no table."""
    return {name for _, name, *_ in connection.execute("PRAGMA table_info(agents)")}


def _agent_of(row: dict[str, Any]) -> RegisteredAgent:
    return RegisteredAgent(
        agent_id=row["agent_id"],
        agent_path=row.get("agent_path") or "",
        host=connectable(row["host"]),
        port=row["port"],
        framework=row.get("framework") or "default",
        agent_name=row.get("agent_name"),
        description=row.get("description"),
        template=row.get("template"),
        version=row.get("version"),
        status=row.get("status") or _DEPLOYED,
    )
