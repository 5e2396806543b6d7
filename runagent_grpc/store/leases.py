"""The servers of a history: each has a row with a lease, which it renews for as long as it lives.

A server is gone when it says so, when its process is known to have ended, and when its lease has passed without a
process that is known to live. What ran there is lost. Another server of its agent writes that down, and takes the lease
away: from then on the row's `fence` opens nothing, and whoever held it writes nothing more under it.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from dataclasses import dataclass

from runagent_grpc.store.processes import Life, Process

__all__ = [
    "LEASE_SECONDS",
    "RENEWAL_SECONDS",
    "Lease",
    "Neighbour",
    "database_time",
    "is_alive",
    "running_servers",
    "settle",
]

LEASE_SECONDS = 10.0
RENEWAL_SECONDS = 3.0

_MICROSECONDS = 1_000_000


def database_time() -> int:
    """Returns the database's time, by which leases pass, in microseconds since 1970: with SQLite the machine's own."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A server that has not ended in order, as far as the file says."""

    instance: str
    agent_id: str
    process: Process
    lease_until: int | None
    """None for one of an earlier version, which has no lease and takes no part in claims."""
    shared: bool
    """Whether it claims requests in the store."""

    def life(self) -> Life:
        """Returns whether its process lives, as far as that is certain."""
        life = self.process.life()
        if life is Life.UNKNOWN and self.lease_until is None:
            return Life.LIVES if self.process.pid_exists() else Life.ENDED
        return life

    def lease_has_passed(self) -> bool:
        """Whether it should have renewed its lease by now."""
        return self.lease_until is not None and database_time() > self.lease_until

    def is_alive(self) -> bool:
        """Whether what runs there may still end well."""
        life = self.life()
        return not self.lease_has_passed() if life is Life.UNKNOWN else life is Life.LIVES


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A server's own row."""

    instance: str
    """Its name. A server whose lease was taken away comes back under another one."""
    fence: int
    """Higher than that of every server that joined before. Writes of outcomes and claims depend on it."""

    @classmethod
    def acquire(cls, connection: sqlite3.Connection, agent_id: str, *, shared: bool, started_at: int) -> Lease:
        """Writes the row of a server that joins. To be called in a transaction."""
        process = Process.current()
        lease = cls(instance=str(uuid.uuid4()), fence=connection.execute(_NEXT_FENCE).fetchone()[0])
        values = (lease.instance, agent_id, process.pid, started_at, process.machine, process.start, lease.fence)
        connection.execute(_INSERT, (*values, _end_of_lease(), shared))
        return lease

    def renew(self, connection: sqlite3.Connection, *, shared: bool) -> bool:
        """Renews it, and says whether claims are made in the store. Returns False where it was taken away."""
        values = (_end_of_lease(), shared, self.instance, self.fence)
        return connection.execute(_RENEW, values).rowcount > 0

    def is_held(self, connection: sqlite3.Connection) -> bool:
        """Whether nobody has taken it away. To be asked in the transaction that depends on it."""
        return bool(connection.execute(_IS_HELD, (self.instance, self.fence)).fetchone()[0])


def running_servers(connection: sqlite3.Connection) -> dict[str, Neighbour]:
    """Returns the servers that have not ended in order, by name."""
    cursor = connection.execute("SELECT * FROM runagent_grpc_servers WHERE stopped_at IS NULL")
    names = [name for name, *_ in cursor.description]
    return {each.instance: each for each in (_neighbour_of(dict(zip(names, row, strict=True))) for row in cursor)}


def is_alive(connection: sqlite3.Connection, instance: str) -> bool:
    """Whether a server lives that has invocations running."""
    neighbour = running_servers(connection).get(instance)
    return neighbour is not None and neighbour.is_alive()


def settle(connection: sqlite3.Connection, instance: str, *, stopped_at: int) -> None:
    """Writes down that a server has ended, or gives up its lease: what still ran there is lost, what it had claimed and
    not begun is free. To be called in a transaction."""
    connection.execute(_LOSE, (instance,))
    connection.execute(_STOP, (stopped_at, instance))
    connection.execute(_FREE_CLAIMS, (instance,))


def _end_of_lease() -> int:
    return database_time() + round(LEASE_SECONDS * _MICROSECONDS)


def _neighbour_of(columns: dict[str, object]) -> Neighbour:
    # Files of earlier versions have fewer columns until a server opens them.
    until = columns.get("lease_until")
    process = Process(
        machine=str(columns.get("machine") or ""),
        pid=int(str(columns["pid"])),
        start=str(columns.get("process_start") or ""),
    )
    return Neighbour(
        instance=str(columns["instance"]),
        agent_id=str(columns["agent_id"]),
        process=process,
        lease_until=None if until is None else int(str(until)),
        shared=bool(columns.get("shared")),
    )


_NEXT_FENCE = "SELECT coalesce(max(fence), 0) + 1 FROM runagent_grpc_servers"
_INSERT = """
    INSERT INTO runagent_grpc_servers
        (instance, agent_id, pid, started_at, machine, process_start, fence, lease_until, shared)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_RENEW = """
    UPDATE runagent_grpc_servers SET lease_until = ?, shared = ?
    WHERE instance = ? AND fence = ? AND stopped_at IS NULL
"""
_IS_HELD = "SELECT count(*) FROM runagent_grpc_servers WHERE instance = ? AND fence = ? AND stopped_at IS NULL"
_LOSE = "UPDATE runagent_grpc_invocations SET state = 'LOST' WHERE state = 'RUNNING' AND instance = ?"
_STOP = "UPDATE runagent_grpc_servers SET stopped_at = ? WHERE instance = ?"
_FREE_CLAIMS = "DELETE FROM runagent_grpc_claims WHERE instance = ?"
