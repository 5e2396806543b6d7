"""What the engine asks of history: the invocation that a request started, and streams that it remembers no more."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.store import RequestKey
from runagent_grpc.store.invocations import find_invocation, find_request
from runagent_grpc.store.journal import journaled
from runagent_grpc.store.leases import is_alive
from runagent_grpc.store.membership import Membership
from runagent_grpc.store.pending import PendingRequests
from runagent_grpc.store.schema import connect, reading
from runagent_grpc.store.served_history import ReadingThreads
from runagent_grpc.values.payload import Payload

__all__ = ["SqliteInvocationStore"]

_logger = logging.getLogger(__name__)

_BUSY_MILLISECONDS = 50
"""How long the event loop may stand still for a file that somebody else holds, which WAL mode rules out."""


class SqliteInvocationStore:
    """Answers from the file at `path`, and for what is about to be written there."""

    def __init__(
        self,
        path: Path,
        *,
        membership: Membership,
        pending: PendingRequests,
        threads: ReadingThreads,
        flush: Callable[[], None],
    ) -> None:
        """Opens a connection for `claim`, which is to be closed. Raises sqlite3.Error where it cannot."""
        self._path = path
        self._membership = membership
        self._pending = pending
        self._threads = threads
        self._flush = flush
        self._troubled = False
        self._connection = connect(path)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")

    def close(self) -> None:
        """Closes the file. From then on no request is known."""
        self._connection.close()

    async def claim(self, record: InvocationRecord, *, patience: float | None = None) -> InvocationRecord | None:
        """Claims a request: in memory, or in the store while another server serves the agent, too.

        An earlier request is not known where the file is in trouble.
        """
        if not record.request_id:
            return None
        key = RequestKey(record.owner, record.agent_id, record.request_id)
        # Before the look: a server that comes meanwhile hears of the claim, or finds what it led to.
        in_memory = self._pending.claim(key, record)
        found = self._known(key)
        if found is None and in_memory and not self._membership.lease_has_passed:
            return None
        if found is None:
            async with asyncio.timeout(patience):
                found = await self._membership.claim(record)
        if found is not None and in_memory:
            self.release(record)
        return found

    def release(self, record: InvocationRecord) -> None:
        """Gives a claim back."""
        if not record.request_id:
            return
        if self._pending.release(RequestKey(record.owner, record.agent_id, record.request_id)):
            self._membership.release(record)

    async def find(self, invocation_id: str, *, owner: str, agent_ids: Collection[str]) -> InvocationRecord | None:
        """Returns an invocation of one of these agents, started with this owner's key.

        Raises InternalError for a file that cannot be read.
        """
        return await self._threads.run(self._find, invocation_id, owner, agent_ids)

    async def ended(self, record: InvocationRecord) -> InvocationRecord | None:
        """Waits until an invocation that another server runs has ended."""
        return await self._membership.ended(record)

    async def chunks(self, invocation_id: str, after: int) -> Sequence[Payload]:
        """Returns a page of a stream's journal. Raises InternalError for a file that cannot be read."""
        return await self._threads.run(self._chunks, invocation_id, after)

    def _known(self, key: RequestKey) -> InvocationRecord | None:
        """Returns what the request started, as far as that is written or waits to be. Opens no transaction."""
        # Before the file: what is written meanwhile is in either.
        pending = self._pending.find(key)
        if pending is not None:
            return pending
        try:
            found = find_request(self._connection, key, lambda instance: self._runs_on(self._connection, instance))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the file, the call goes on
            if not self._troubled:
                self._troubled = True
                _logger.warning("Requests that came before cannot be looked up: %s", error)
            return None
        self._troubled = False
        return found

    def _find(self, invocation_id: str, owner: str, agent_ids: Collection[str]) -> InvocationRecord | None:
        self._flush()
        with reading(self._path) as connection:
            if connection is None:
                return None
            connection.row_factory = sqlite3.Row
            return find_invocation(
                connection, invocation_id, owner, agent_ids, lambda instance: self._runs_on(connection, instance)
            )

    def _chunks(self, invocation_id: str, after: int) -> Sequence[Payload]:
        self._flush()
        with reading(self._path) as connection:
            return () if connection is None else journaled(connection, invocation_id, after)

    def _runs_on(self, connection: sqlite3.Connection, instance: str) -> bool:
        return instance == self._membership.lease.instance or is_alive(connection, instance)
