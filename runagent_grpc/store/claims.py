"""Claims of requests in the store, for servers that share an agent: whoever has the row may run the request.

A claim stands for an invocation until that has a row of its own, which then stands for the request (`store/pruning.py`
removes the claim some time later). The claims of a server that ends, or whose lease is taken away, are free.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.store.leases import database_time
from runagent_grpc.store.schema import same_id
from runagent_grpc.store.text import storable

__all__ = [
    "insert_claim",
    "insert_claims",
    "remove_claim",
    "remove_claims_before",
    "remove_spent_claims",
]


def insert_claim(connection: sqlite3.Connection, record: InvocationRecord, instance: str) -> bool:
    """Claims the request of an invocation. Returns False where another server has it.

    What this server claimed before and never began, nor gave back, is the new invocation's.
    """
    return connection.execute(_INSERT, _values(record, instance)).rowcount > 0


def insert_claims(connection: sqlite3.Connection, records: Iterable[InvocationRecord], instance: str) -> None:
    """Claims the requests of invocations that this server has admitted, as far as they are free."""
    connection.executemany(_INSERT, [_values(record, instance) for record in records])


def remove_claim(connection: sqlite3.Connection, record: InvocationRecord) -> None:
    """Frees the request of an invocation that never ran."""
    request_id, owner, agent_id, invocation_id, *_ = _values(record, "")
    connection.execute(_REMOVE, (request_id, owner, agent_id, invocation_id))


def remove_spent_claims(connection: sqlite3.Connection, *, limit: int) -> None:
    """Removes claims, at most `limit`, whose invocations have rows of their own."""
    spent = connection.execute(_SPENT, (limit,)).fetchall()
    # Without any there is nothing to write, and no lock to wait for.
    if spent:
        connection.executemany(_REMOVE, [tuple(claim) for claim in spent])


def remove_claims_before(connection: sqlite3.Connection, time: int) -> None:
    """Removes the claims that were made before `time`, as the tables hold it, by servers that have ended."""
    connection.execute(_REMOVE_BEFORE, (time,))


def _values(record: InvocationRecord, instance: str) -> tuple[str, str, str, str, str, int]:
    request = storable(record.request_id), storable(record.owner), storable(record.agent_id)
    return *request, record.invocation_id, instance, database_time()


_INSERT = """
    INSERT INTO runagent_grpc_claims (request_id, owner, agent_id, invocation_id, instance, claimed_at)
    VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET invocation_id = excluded.invocation_id WHERE instance = excluded.instance
"""
_REMOVE = """
    DELETE FROM runagent_grpc_claims WHERE request_id = ? AND owner = ? AND agent_id = ? AND invocation_id = ?
"""
_SPENT = f"""
    SELECT request_id, owner, agent_id, invocation_id FROM runagent_grpc_claims AS claims
    WHERE EXISTS (
        SELECT 1 FROM runagent_grpc_invocations AS invocations
        WHERE {same_id("invocations.invocation_id", "claims.invocation_id")}
    )
    LIMIT ?
"""  # noqa: S608 - our own names
_REMOVE_BEFORE = """
    DELETE FROM runagent_grpc_claims WHERE claimed_at < ? AND instance NOT IN (
        SELECT instance FROM runagent_grpc_servers WHERE stopped_at IS NULL
    )
"""
