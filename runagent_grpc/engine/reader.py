"""A caller's hold on an invocation: one that this process knows, or one that only the archive does."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Protocol, Self, cast

from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamEvent, StreamHeartbeat, StreamStarted
from runagent_grpc.core.invocation import Invocation, InvocationState
from runagent_grpc.core.store import Archived, InvocationStore
from runagent_grpc.engine.active import ActiveInvocation, do_nothing
from runagent_grpc.engine.chunks import ChunkReader
from runagent_grpc.errors import ReplayExpiredError
from runagent_grpc.values.payload import Payload

__all__ = ["ArchivedReader", "LiveReader", "Reader"]

_LEFT = "The caller left."


class Reader(Protocol):
    """What a transport reads an invocation through. Leaving it is how the caller says that it is gone."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    @property
    def invocation(self) -> Invocation: ...

    @property
    def elapsed(self) -> float:
        """How many seconds the entrypoint ran. 0 until it has ended."""

    async def result(self) -> Payload:
        """Waits for the outcome of an entrypoint that returns one value. Raises what it ended with."""

    def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Yields the stream. Asking for the next event says that the one before has been delivered.

        Raises what the invocation ended with, AbortedError (READER_REPLACED) once somebody else reads, and
        ReplayExpiredError where chunks that nobody has read are gone.
        """

    def leave(self, cause: str = _LEFT, *, for_good: bool = False) -> None:
        """Lets go. What becomes of an invocation that nobody waits for is what its call asked for; `for_good` says
        that this caller will not come back. The record tells the cause."""


class LiveReader:
    """Reads an invocation that runs, or that ended a moment ago."""

    def __init__(
        self,
        execution: ActiveInvocation,
        archive: InvocationStore,
        *,
        chunks: ChunkReader | None = None,
        after: int = 0,
    ) -> None:
        self._execution = execution
        self._archive = archive
        self._chunks = chunks
        self._after = after
        self._left = False
        execution.callers.join()
        if chunks is not None:
            # Behind the one who comes, so that the invocation is never without a reader in between. The earlier one may
            # hang on a connection that is dead, and would not leave by itself for long.
            replaced, execution.reader_gone = execution.reader_gone, self.leave
            replaced()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    @property
    def invocation(self) -> Invocation:
        return self._execution.invocation

    @property
    def elapsed(self) -> float:
        return self._execution.elapsed

    async def result(self) -> Payload:
        await self._execution.wait()
        self._execution.raise_failure()
        return cast("Payload", self._execution.result)

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        execution, chunks = self._execution, cast("ChunkReader", self._chunks)
        invocation, interval = execution.invocation, execution.options.heartbeat_interval
        yield StreamStarted(invocation.invocation_id, invocation.start_time, interval)
        sequence = self._after
        async with aclosing(_journaled(self._archive, invocation.invocation_id, sequence, chunks)) as batches:
            async for batch in batches:
                yield StreamChunks(sequence + 1, batch)
                sequence += len(batch)
        while (payloads := await chunks.read(sequence, interval)) != []:
            if payloads is None:
                yield StreamHeartbeat()
            else:
                yield StreamChunks(sequence + 1, payloads)
                sequence += len(payloads)
        execution.raise_failure()
        yield StreamCompleted(invocation.chunk_count, execution.elapsed)

    def leave(self, cause: str = _LEFT, *, for_good: bool = False) -> None:
        if self._left:
            return
        self._left = True
        if self._chunks is not None:
            if not self._chunks.is_replaced:
                self._execution.reader_gone = do_nothing
            self._chunks.leave()
        self._execution.callers.leave(cause, for_good=for_good)
        self._execution.tidy()


class ArchivedReader:
    """Reads what is kept of an invocation that is over."""

    def __init__(
        self, archived: Archived, archive: InvocationStore, *, heartbeat_interval: float, after: int = 0
    ) -> None:
        self._archived = archived
        self._archive = archive
        self._interval = heartbeat_interval
        self._after = after

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    @property
    def invocation(self) -> Invocation:
        return self._archived.invocation

    @property
    def elapsed(self) -> float:
        return self._archived.elapsed

    async def result(self) -> Payload:
        self._raise_failure()
        if self._archived.result is None:
            raise ReplayExpiredError("The result of this request is no longer kept.")
        return self._archived.result

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        invocation = self.invocation
        yield StreamStarted(invocation.invocation_id, invocation.start_time, self._interval)
        sequence = self._after
        async with aclosing(_journaled(self._archive, invocation.invocation_id, sequence)) as batches:
            async for batch in batches:
                yield StreamChunks(sequence + 1, batch)
                sequence += len(batch)
        if sequence < invocation.chunk_count and invocation.state is not InvocationState.LOST:
            raise ReplayExpiredError(f"The chunks from {sequence + 1} to {invocation.chunk_count} are no longer kept.")
        self._raise_failure()
        yield StreamCompleted(invocation.chunk_count, self.elapsed)

    def leave(self, cause: str = _LEFT, *, for_good: bool = False) -> None: ...

    def _raise_failure(self) -> None:
        if self.invocation.error is not None:
            raise self.invocation.error


async def _journaled(
    archive: InvocationStore, invocation_id: str, after: int, chunks: ChunkReader | None = None
) -> AsyncGenerator[list[Payload], None]:
    """Yields what the journal holds behind number `after`: until `chunks` has the next one, or until it is all."""
    while chunks is None or chunks.is_behind(after):
        batch = [*await archive.chunks(invocation_id, after)]
        if not batch:
            if chunks is None:
                return
            raise ReplayExpiredError(f"The chunk {after + 1} is no longer kept.")
        yield batch
        after += len(batch)
