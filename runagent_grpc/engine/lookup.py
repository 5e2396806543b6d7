"""What callers come back to: an invocation by its id, a request made before, a stream that was cut."""

from __future__ import annotations

from collections.abc import Collection

from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.manifest import STREAM_SUFFIX
from runagent_grpc.core.store import InvocationStore, RequestKey
from runagent_grpc.engine.active import ActiveInvocation
from runagent_grpc.engine.cache import InvocationCache
from runagent_grpc.engine.reader import LiveReader, Reader, RemoteReader, StoredReader
from runagent_grpc.engine.requests import check_same
from runagent_grpc.errors import (
    DeadlineExceededError,
    InvalidRequestError,
    NotFoundError,
    Reason,
    ReplayExpiredError,
    UnavailableError,
)

__all__ = ["InvocationLookup"]


class InvocationLookup:
    """Looks into the cache first, and into the store for what is there no longer."""

    def __init__(
        self, cache: InvocationCache, store: InvocationStore, *, journaled: bool, heartbeat_interval: float
    ) -> None:
        """`journaled` says that the store has the chunks of streams, further back than their rings."""
        self._cache = cache
        self._store = store
        self._journaled = journaled
        self._heartbeat_interval = heartbeat_interval

    def active(self, invocation_id: str, owner: str) -> ActiveInvocation:
        """Returns one that runs or ended lately. Raises NotFoundError for an unknown id, or another owner's."""
        active = self._cache.get(invocation_id)
        if active is None or active.identity.owner != owner:
            raise _unknown()
        return active

    def active_of(self, key: RequestKey) -> ActiveInvocation:
        """Returns the one that a request has started. Raises NotFoundError where none has."""
        active = self._cache.of_request(key)
        if active is None:
            raise _unknown()
        return active

    def attend(self, active: ActiveInvocation, after: int = 0) -> Reader:
        """Returns a hold on one that is in the cache; of a stream, after chunk number `after`."""
        if active.chunks is None:
            return LiveReader(active, self._store)
        past_is_kept = self._journaled and active.options.resumable
        chunks = active.chunks.attach(after, past_is_kept=past_is_kept)
        return LiveReader(active, self._store, chunks=chunks, after=after)

    def to_cached(self, key: RequestKey, fingerprint: str) -> Reader | None:
        """Returns a hold on what the same request has started, if it is in the cache with its result. Raises
        ConflictError where that asked for something else."""
        active = self._cache.of_request(key)
        if active is None:
            return None
        check_same(fingerprint, active.identity.fingerprint)
        return self.attend(active) if active.has_result else None

    async def to_claimed(
        self, record: InvocationRecord, key: RequestKey, *, patience: float | None = None
    ) -> Reader | None:
        """Claims the request of an invocation that is about to start. Returns None where it may start, otherwise a hold
        on the one that has the request, for whose end the caller waits `patience` seconds. Raises ConflictError where
        that asked for something else, ReplayExpiredError where its result is gone, DeadlineExceededError where it
        waits on another server for as long, and UnavailableError where it is a stream there that nobody journals."""
        try:
            stored = await self._store.claim(record, patience=patience)
        except TimeoutError:
            raise DeadlineExceededError(
                f"Entrypoint `{record.entrypoint_tag}` waits on another server, and did not start within "
                f"{patience:.3g} s."
            ) from None
        if stored is not None:
            check_same(record.fingerprint, stored.fingerprint)
            return self._stored(stored, 0, patience=patience)
        if self._cache.of_request(key) is not None:
            raise ReplayExpiredError("The result of this request is no longer kept.")
        return None

    async def to_stream(self, invocation_id: str, after: int, owner: str, *, agent_ids: Collection[str]) -> Reader:
        """Returns a hold on a stream of one of these agents, after chunk number `after`. Raises as `Engine.resume`
        does."""
        active = self._cache.get(invocation_id)
        if active is None or active.identity.owner != owner:
            stored = await self._store.find(invocation_id, owner=owner, agent_ids=agent_ids)
            if stored is None:
                raise _unknown()
        else:
            _check_cursor(after)
            if active.chunks is None:
                raise _does_not_stream(active.identity.entrypoint_tag)
            try:
                return self.attend(active, after)
            except ReplayExpiredError:
                stored = await self._store.find(invocation_id, owner=owner, agent_ids=agent_ids)
                if stored is None or not stored.state.ended:
                    # It runs here, or did until a moment ago: nobody else has more of it.
                    raise
        _check_cursor(after)
        return await self._stored_stream(stored, after)

    async def _stored_stream(self, record: InvocationRecord, after: int) -> Reader:
        if not record.entrypoint_tag.endswith(STREAM_SUFFIX):
            raise _does_not_stream(record.entrypoint_tag)
        reader = self._stored(record, after)
        if record.state is InvocationState.LOST or not record.state.ended:
            return reader
        if after > record.chunk_count:
            raise InvalidRequestError(
                f"Chunk {after} was never produced: the last one is {record.chunk_count}.",
                reason=Reason.INVALID_CURSOR,
            )
        if after < record.chunk_count and not await self._store.chunks(record.invocation_id, after):
            raise ReplayExpiredError("The chunks of this invocation are no longer kept.")
        return reader

    def _stored(self, record: InvocationRecord, after: int, *, patience: float | None = None) -> Reader:
        interval = self._heartbeat_interval
        if record.state.ended:
            return StoredReader(record, self._store, heartbeat_interval=interval, after=after)
        if record.entrypoint_tag.endswith(STREAM_SUFFIX) and not self._journaled:
            raise UnavailableError(
                "The invocation runs on another server of this agent.", reason=Reason.SHUTTING_DOWN, retry_after=1.0
            )
        return RemoteReader(record, self._store, heartbeat_interval=interval, after=after, patience=patience)


def _check_cursor(after: int) -> None:
    if after < 0:
        raise InvalidRequestError.of_field("after_sequence", f"{after} is below 0.")


def _unknown() -> NotFoundError:
    return NotFoundError("Invocation not found", reason=Reason.INVOCATION_NOT_FOUND)


def _does_not_stream(tag: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"An invocation of `{tag}` has no stream to resume; ask for its result.",
        reason=Reason.NON_STREAM_ENTRYPOINT,
    )
