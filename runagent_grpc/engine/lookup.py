"""What callers come back to: an invocation by its id, a request made before, a stream that was cut."""

from __future__ import annotations

from collections.abc import Collection

from runagent_grpc.core.invocation import Invocation, InvocationState
from runagent_grpc.core.store import Archived, InvocationStore, RequestKey
from runagent_grpc.engine.active import ActiveInvocation
from runagent_grpc.engine.cache import InvocationCache
from runagent_grpc.engine.reader import ArchivedReader, LiveReader, Reader
from runagent_grpc.engine.requests import check_same
from runagent_grpc.errors import InvalidRequestError, NotFoundError, Reason, ReplayExpiredError, UnavailableError
from runagent_grpc.worker import STREAM_SUFFIX

__all__ = ["InvocationLookup"]


class InvocationLookup:
    """Looks into the memory first, and into the archive for what is there no more."""

    def __init__(
        self, memory: InvocationCache, archive: InvocationStore, *, journaled: bool, heartbeat_interval: float
    ) -> None:
        """`journaled` says that the archive has the chunks of streams, further back than their rings."""
        self._memory = memory
        self._archive = archive
        self._journaled = journaled
        self._heartbeat_interval = heartbeat_interval

    def execution(self, invocation_id: str, owner: str) -> ActiveInvocation:
        """Returns one that runs or ended lately. Raises NotFoundError for an unknown id, or another owner's."""
        execution = self._memory.get(invocation_id)
        if execution is None or execution.invocation.owner != owner:
            raise _unknown()
        return execution

    def execution_of(self, key: RequestKey) -> ActiveInvocation:
        """Returns the one that a request has started. Raises NotFoundError where none has."""
        execution = self._memory.of_request(key)
        if execution is None:
            raise _unknown()
        return execution

    def attend(self, execution: ActiveInvocation, after: int = 0) -> Reader:
        """Returns a hold on one that is in memory; of a stream, behind chunk number `after`."""
        if execution.chunks is None:
            return LiveReader(execution, self._archive)
        past_is_kept = self._journaled and execution.options.resumable
        chunks = execution.chunks.attach(after, past_is_kept=past_is_kept)
        return LiveReader(execution, self._archive, chunks=chunks, after=after)

    def to_request(self, key: RequestKey, fingerprint: str) -> Reader | None:
        """Returns a hold on what the same request has started, if it has. Raises ConflictError where that asked for
        something else, and ReplayExpiredError where its result is gone."""
        execution = self._memory.of_request(key)
        if execution is not None:
            check_same(fingerprint, execution.invocation.fingerprint)
            if execution.has_result:
                return self.attend(execution)
        archived = self._archive.find_request(key)
        if archived is not None:
            check_same(fingerprint, archived.invocation.fingerprint)
            return self._archived(archived, 0)
        if execution is not None:
            raise ReplayExpiredError("The result of this request is no longer kept.")
        return None

    async def to_stream(self, invocation_id: str, after: int, owner: str, *, agent_ids: Collection[str]) -> Reader:
        """Returns a hold on a stream of one of these agents, behind chunk number `after`. Raises as `Engine.resume`
        does."""
        execution = self._memory.get(invocation_id)
        if execution is None or execution.invocation.owner != owner:
            archived = await self._archive.find(invocation_id, owner=owner, agent_ids=agent_ids)
            if archived is None:
                raise _unknown()
        else:
            _check_cursor(after)
            if execution.chunks is None:
                raise _does_not_stream(execution.invocation)
            try:
                return self.attend(execution, after)
            except ReplayExpiredError:
                archived = await self._archive.find(invocation_id, owner=owner, agent_ids=agent_ids)
                if archived is None or not archived.invocation.state.ended:
                    # It runs here, or did until a moment ago: nobody else has more of it.
                    raise
        _check_cursor(after)
        return await self._archived_stream(archived, after)

    async def _archived_stream(self, archived: Archived, after: int) -> Reader:
        invocation = archived.invocation
        if not invocation.entrypoint_tag.endswith(STREAM_SUFFIX):
            raise _does_not_stream(invocation)
        reader = self._archived(archived, after)
        if invocation.state is InvocationState.LOST:
            return reader
        if after > invocation.chunk_count:
            raise InvalidRequestError(
                f"Chunk {after} was never produced: the last one is {invocation.chunk_count}.",
                reason=Reason.INVALID_CURSOR,
            )
        if after < invocation.chunk_count and not await self._archive.chunks(invocation.invocation_id, after):
            raise ReplayExpiredError("The chunks of this invocation are no longer kept.")
        return reader

    def _archived(self, archived: Archived, after: int) -> Reader:
        if not archived.invocation.state.ended:
            raise UnavailableError(
                "The invocation runs on another server of this agent.", reason=Reason.SHUTTING_DOWN, retry_after=1.0
            )
        return ArchivedReader(archived, self._archive, heartbeat_interval=self._heartbeat_interval, after=after)


def _check_cursor(after: int) -> None:
    if after < 0:
        raise InvalidRequestError.of_field("after_sequence", f"{after} is below 0.")


def _unknown() -> NotFoundError:
    return NotFoundError("Invocation not found", reason=Reason.INVOCATION_NOT_FOUND)


def _does_not_stream(invocation: Invocation) -> InvalidRequestError:
    return InvalidRequestError(
        f"An invocation of `{invocation.entrypoint_tag}` has no stream to resume; ask for its result.",
        reason=Reason.NON_STREAM_ENTRYPOINT,
    )
