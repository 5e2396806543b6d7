"""Finds the one invocation that the engine asks for, by its request or by its id."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from dataclasses import replace

from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.store import RequestKey
from runagent_grpc.store.columns import BEGINNING, INSTANCE, OUTCOME, names_of, record_of
from runagent_grpc.store.journal import count_journaled
from runagent_grpc.store.schema import same_id
from runagent_grpc.store.text import storable
from runagent_grpc.values.payload import TruncatedPayload

__all__ = ["find_invocation", "find_request"]

_UNREAD = ("input", "result", "result_size", "result_whole", "first_chunks", "last_chunks")
"""Large, and of no use to those who wait for an outcome; of the result, what can be given again."""

IsAlive = Callable[[str], bool]
"""Whether the server of this name lives."""

_COLUMNS = [*(name for name in names_of((*BEGINNING, *OUTCOME)) if name not in _UNREAD), INSTANCE]
_ROW = f"""
    SELECT {", ".join(_COLUMNS)}, CASE WHEN result_whole THEN result END AS result FROM runagent_grpc_invocations
"""  # noqa: S608 - our own names
_OF_REQUEST = f"""
    {_ROW} WHERE request_id = ? AND owner = ? AND agent_id = ? AND fingerprint <> '' ORDER BY number DESC LIMIT 1
"""
_OF_ID = f"{_ROW} WHERE {same_id('invocation_id', '?1')} AND owner = ?2 AND agent_id IN ({{agents}})"


def find_request(connection: sqlite3.Connection, key: RequestKey, is_alive: IsAlive) -> InvocationRecord | None:
    """Returns the latest invocation that a request started."""
    return _one(connection, _OF_REQUEST, (key.request_id, key.owner, key.agent_id), is_alive)


def find_invocation(
    connection: sqlite3.Connection, invocation_id: str, owner: str, agent_ids: Collection[str], is_alive: IsAlive
) -> InvocationRecord | None:
    """Returns an invocation of one of these agents, started by this owner."""
    question = _OF_ID.format(agents=", ".join("?" * len(agent_ids)))
    return _one(connection, question, (invocation_id, owner, *agent_ids), is_alive)


def _one(
    connection: sqlite3.Connection, question: str, values: tuple[str, ...], is_alive: IsAlive
) -> InvocationRecord | None:
    storables = [storable(value) for value in values]
    row = _row(connection, question, storables)
    lost = False
    if row is not None and row["state"] == InvocationState.RUNNING.name and not is_alive(row["instance"]):
        # It may have ended between the two looks: a server that is gone writes nothing any more, so now is the truth.
        row = _row(connection, question, storables)
        lost = row is not None and row["state"] == InvocationState.RUNNING.name
    if row is None:
        return None
    record = record_of(dict(row), **({"state": InvocationState.LOST} if lost else {}))
    if isinstance(record.result, TruncatedPayload):
        record = replace(record, result=None)
    if record.state is InvocationState.LOST and record.end_time is None:
        # What still ran when its process died never said how many chunks there were: as many as are kept.
        record = replace(record, chunk_count=count_journaled(connection, record.invocation_id))
    return record


def _row(connection: sqlite3.Connection, question: str, values: list[str]) -> sqlite3.Row | None:
    rows: list[sqlite3.Row] = connection.execute(question, values).fetchall()
    return rows[0] if rows else None
