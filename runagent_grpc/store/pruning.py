"""Removes journals and claims that have served their time, a little at a time, between the writer's transactions."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from runagent_grpc.local.sqlite_file import transaction
from runagent_grpc.store.claims import remove_spent_claims
from runagent_grpc.store.schema import number_of_time

__all__ = ["Pruner"]

_logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 300.0

_REST_FACTOR = 10
"""How many times as long as it worked it rests while more is left: what is new goes before what is old."""

_IDS_AT_ONCE = 200
_ROWS_AT_ONCE = 256
_CLAIMS_AT_ONCE = 1000
_BYTES_AT_ONCE = 8 * 1024 * 1024


class Pruner:
    """Works at the start and every few minutes. Whatever server left a journal behind, this one clears it up."""

    def __init__(
        self, keep_seconds: float, *, now: Callable[[], datetime], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Removes journals `keep_seconds` after their invocations have ended."""
        self._keep = timedelta(seconds=keep_seconds)
        self._now = now
        self._clock = clock
        self._due = clock()
        self._position = ""
        """The id up to which everything was looked at."""

    @property
    def pause(self) -> float:
        """How many seconds there is nothing to do."""
        return max(0.0, self._due - self._clock())

    def work(self, connection: sqlite3.Connection) -> None:
        """Does a few milliseconds' work, if it is time."""
        if self.pause:
            return
        began = self._clock()
        try:
            more = self._remove_some(connection)
        except sqlite3.Error as error:
            _logger.warning("Old journals cannot be removed: %s", error)
            more = False
        now = self._clock()
        self._due = now + (_REST_FACTOR * (now - began) if more else _INTERVAL_SECONDS)

    def _remove_some(self, connection: sqlite3.Connection) -> bool:
        """Removes some rows, and returns whether there may be more."""
        before = number_of_time(self._now() - self._keep)
        if not self._position:
            remove_spent_claims(connection, limit=_CLAIMS_AT_ONCE)
        looked_at = connection.execute(_LOOK, (self._position, _IDS_AT_ONCE, before)).fetchall()
        expired = [name for name, is_expired in looked_at if is_expired]
        if expired and not self._remove(connection, expired):
            return True
        more = len(looked_at) == _IDS_AT_ONCE
        self._position = looked_at[-1][0] if more else ""
        return more

    def _remove(self, connection: sqlite3.Connection, names: list[str]) -> bool:
        """Removes the journals of these invocations, as much as is bearable at once; returns whether that was all."""
        rows = connection.execute(_ROWS.format(names=_marks(len(names))), (*names, _ROWS_AT_ONCE)).fetchall()
        size, chosen = 0, []
        for name, sequence, length in rows:
            chosen += [name, sequence]
            size += length
            if size >= _BYTES_AT_ONCE:
                break
        with transaction(connection):
            connection.execute(_REMOVE.format(rows=", ".join(["(?, ?)"] * (len(chosen) // 2))), chosen)
        return len(chosen) // 2 == len(rows) < _ROWS_AT_ONCE


def _marks(count: int) -> str:
    return ", ".join("?" * count)


# From one id to the next by the primary key, past all rows between. A journal without an invocation is nobody's: what
# runs is written down before its first chunk. What was lost has no end of its own, but its server has.
_LOOK = """
    WITH RECURSIVE ids (id) AS (
        SELECT min(invocation_id) FROM runagent_grpc_journal WHERE invocation_id > ?
        UNION ALL
        SELECT (SELECT min(invocation_id) FROM runagent_grpc_journal WHERE invocation_id > id)
        FROM ids WHERE id IS NOT NULL
        LIMIT ?
    )
    SELECT id, invocations.invocation_id IS NULL
        OR state <> 'RUNNING' AND coalesce(end_time, stopped_at, start_time) < ?
    FROM ids
    LEFT JOIN runagent_grpc_invocations AS invocations ON invocations.invocation_id = id
    LEFT JOIN runagent_grpc_servers AS servers USING (instance)
    WHERE id IS NOT NULL
"""
_ROWS = """
    SELECT invocation_id, sequence, length(payloads) FROM runagent_grpc_journal WHERE invocation_id IN ({names}) LIMIT ?
"""
_REMOVE = "DELETE FROM runagent_grpc_journal WHERE (invocation_id, sequence) IN (VALUES {rows})"
