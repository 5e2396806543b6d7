"""What the engine asks of history: the invocation that a request started, and streams that it remembers no more."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.store import RequestKey
from runagent_grpc.store.instances import is_alive
from runagent_grpc.store.journal import count_journaled, journaled
from runagent_grpc.store.pending import PendingRequests
from runagent_grpc.store.records import LOST_CAUSE, error_of_columns
from runagent_grpc.store.schema import connect, reading, same_id, time_of_number
from runagent_grpc.store.values import unpack
from runagent_grpc.values.payload import Payload, TruncatedPayload

__all__ = ["SqliteInvocationStore"]

_logger = logging.getLogger(__name__)

_BUSY_MILLISECONDS = 50
"""How long the event loop may stand still for a file that somebody else holds, which WAL mode rules out."""

_ROW = """
    SELECT invocation_id, agent_id, entrypoint_tag, owner, request_id, fingerprint, instance, start_time, end_time,
        elapsed, state, cause, reason, message, chunk_count, CASE WHEN result_whole THEN result END AS result
    FROM runagent_grpc_invocations
"""
_OF_REQUEST = f"""
    {_ROW} WHERE request_id = ? AND owner = ? AND agent_id = ? AND fingerprint <> '' ORDER BY number DESC LIMIT 1
"""
_OF_ID = f"{_ROW} WHERE {same_id('invocation_id', '?1')} AND owner = ?2 AND agent_id IN ({{agents}})"


class SqliteInvocationStore:
    """Answers from the file at `path`, and for what is about to be written there."""

    def __init__(self, path: Path, *, instance: str, pending: PendingRequests, flush: Callable[[], None]) -> None:
        """Opens a connection for `find_request`, which is to be closed. Raises sqlite3.Error where it cannot."""
        self._path = path
        self._instance = instance
        self._pending = pending
        self._flush = flush
        self._troubled = False
        self._connection = connect(path)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")

    def close(self) -> None:
        """Closes the file. From then on no request is known."""
        self._connection.close()

    async def claim(self, record: InvocationRecord) -> InvocationRecord | None:
        """Returns the invocation that a request started. A request is not known where the file is in trouble."""
        key = RequestKey(record.owner, record.agent_id, record.request_id)
        # Before the file: what is written meanwhile is in either.
        pending = self._pending.find(key)
        if pending is not None:
            return pending
        try:
            found = self._one(self._connection, _OF_REQUEST, key.request_id, key.owner, key.agent_id)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the file, the call goes on
            if not self._troubled:
                self._troubled = True
                _logger.warning("Requests that came before cannot be looked up: %s", error)
            return None
        self._troubled = False
        return found

    def release(self, record: InvocationRecord) -> None:
        """Does nothing: a claim is the invocation's own row."""

    async def find(self, invocation_id: str, *, owner: str, agent_ids: Collection[str]) -> InvocationRecord | None:
        """Returns an invocation of one of these agents, started with this owner's key.

        Raises InternalError for a file that cannot be read.
        """
        return await asyncio.to_thread(self._find, invocation_id, owner, agent_ids)

    async def chunks(self, invocation_id: str, after: int) -> Sequence[Payload]:
        """Returns a page of a stream's journal. Raises InternalError for a file that cannot be read."""
        return await asyncio.to_thread(self._chunks, invocation_id, after)

    def _find(self, invocation_id: str, owner: str, agent_ids: Collection[str]) -> InvocationRecord | None:
        self._flush()
        with reading(self._path) as connection:
            if connection is None:
                return None
            connection.row_factory = sqlite3.Row
            question = _OF_ID.format(agents=", ".join("?" * len(agent_ids)))
            return self._one(connection, question, invocation_id, owner, *agent_ids)

    def _chunks(self, invocation_id: str, after: int) -> Sequence[Payload]:
        self._flush()
        with reading(self._path) as connection:
            return () if connection is None else journaled(connection, invocation_id, after)

    def _one(self, connection: sqlite3.Connection, question: str, *values: str) -> InvocationRecord | None:
        rows = connection.execute(question, [_text(value) for value in values]).fetchall()
        if not rows:
            return None
        (row,) = rows
        state = InvocationState[row["state"]]
        if state is InvocationState.RUNNING and not self._runs_on(row["instance"]):
            state = InvocationState.LOST
        result = unpack(row["result"])
        # What still ran when its process died never said how many chunks there were: as many as are kept.
        journal_only = state is InvocationState.LOST and row["end_time"] is None
        return InvocationRecord(
            invocation_id=row["invocation_id"],
            agent_id=row["agent_id"],
            entrypoint_tag=row["entrypoint_tag"],
            owner=row["owner"],
            request_id=row["request_id"],
            fingerprint=row["fingerprint"],
            start_time=time_of_number(row["start_time"]),
            end_time=None if row["end_time"] is None else time_of_number(row["end_time"]),
            elapsed=row["elapsed"],
            state=state,
            cause=row["cause"] or (LOST_CAUSE if state is InvocationState.LOST else ""),
            chunk_count=count_journaled(connection, row["invocation_id"]) if journal_only else row["chunk_count"],
            error=error_of_columns(dict(row), state),
            result=None if isinstance(result, TruncatedPayload) else result,
        )

    def _runs_on(self, instance: str) -> bool:
        return instance == self._instance or is_alive(self._path, instance)


def _text(text: str) -> str:
    """Returns a text as the writer writes it."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
