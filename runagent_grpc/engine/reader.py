"""A caller's hold on an invocation: one that this process knows, or one that only the store does, ended or not."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from types import TracebackType
from typing import Protocol, Self, cast

from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamEvent, StreamHeartbeat, StreamStarted
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.store import InvocationStore
from runagent_grpc.engine.active import ActiveInvocation
from runagent_grpc.engine.chunks import ChunkReader
from runagent_grpc.errors import DeadlineExceededError, ReplayExpiredError
from runagent_grpc.values.payload import Payload, TruncatedPayload

__all__ = ["LiveReader", "Reader", "RemoteReader", "StoredReader"]

_LEFT = "The caller left."

_SHORTEST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
"""How many seconds a reader waits before it looks again for chunks of a stream on another server."""


class Reader(Protocol):
    """What a transport reads an invocation through. Leaving it is how the caller says that it is gone."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    @property
    def invocation_id(self) -> str: ...

    @property
    def invocation(self) -> InvocationRecord:
        """What is known of the invocation now."""

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
        active: ActiveInvocation,
        store: InvocationStore,
        *,
        chunks: ChunkReader | None = None,
        after: int = 0,
    ) -> None:
        self._active = active
        self._store = store
        self._chunks = chunks
        self._after = after
        self._left = False
        active.callers.join()
        if chunks is not None:
            # After joining, so that the caller count never reaches zero.
            active.replace_reader(self.leave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    @property
    def invocation_id(self) -> str:
        return self._active.invocation_id

    @property
    def invocation(self) -> InvocationRecord:
        return self._active.record()

    @property
    def elapsed(self) -> float:
        return self._active.elapsed

    async def result(self) -> Payload:
        await self._active.wait()
        self._active.raise_failure()
        return cast("Payload", self._active.result)

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        active, chunks = self._active, cast("ChunkReader", self._chunks)
        identity, interval = active.identity, active.options.heartbeat_interval
        yield StreamStarted(identity.invocation_id, identity.start_time, interval)
        sequence = self._after
        async with aclosing(_journaled(self._store, identity.invocation_id, sequence, chunks)) as batches:
            async for batch in batches:
                yield StreamChunks(sequence + 1, batch)
                sequence += len(batch)
        while (payloads := await chunks.read(sequence, interval)) != []:
            if payloads is None:
                yield StreamHeartbeat()
            else:
                yield StreamChunks(sequence + 1, payloads)
                sequence += len(payloads)
        active.raise_failure()
        yield StreamCompleted(sequence, active.elapsed)

    def leave(self, cause: str = _LEFT, *, for_good: bool = False) -> None:
        if self._left:
            return
        self._left = True
        if self._chunks is not None:
            if not self._chunks.is_replaced:
                self._active.reader_left()
            self._chunks.leave()
        self._active.callers.leave(cause, for_good=for_good)
        self._active.tidy()


class _RecordReader:
    """What readers share that have a record of the store, and no part in its invocation: leaving changes nothing."""

    def __init__(
        self, record: InvocationRecord, store: InvocationStore, *, heartbeat_interval: float, after: int = 0
    ) -> None:
        self._record = record
        self._store = store
        self._interval = heartbeat_interval
        self._after = after

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    @property
    def invocation_id(self) -> str:
        return self._record.invocation_id

    @property
    def invocation(self) -> InvocationRecord:
        return self._record

    @property
    def elapsed(self) -> float:
        return self._record.elapsed or 0.0

    def leave(self, cause: str = _LEFT, *, for_good: bool = False) -> None: ...


class StoredReader(_RecordReader):
    """Reads what a store keeps of an invocation that is over."""

    async def result(self) -> Payload:
        self._raise_failure()
        result = self._record.result
        if result is None or isinstance(result, TruncatedPayload):
            raise ReplayExpiredError("The result of this request is no longer kept.")
        return result

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        yield StreamStarted(self._record.invocation_id, self._record.start_time, self._interval)
        async with aclosing(self.rest(self._after)) as events:
            async for event in events:
                yield event

    async def rest(self, after: int) -> AsyncGenerator[StreamEvent, None]:
        """Yields what comes after chunk number `after`."""
        record, sequence = self._record, after
        async with aclosing(_journaled(self._store, record.invocation_id, sequence)) as batches:
            async for batch in batches:
                yield StreamChunks(sequence + 1, batch)
                sequence += len(batch)
        if sequence < record.chunk_count and record.state is not InvocationState.LOST:
            raise ReplayExpiredError(f"The chunks from {sequence + 1} to {record.chunk_count} are no longer kept.")
        self._raise_failure()
        yield StreamCompleted(record.chunk_count, self.elapsed)

    def _raise_failure(self) -> None:
        if self._record.error is not None:
            # A copy: a raised error carries the frames of whoever caught it.
            raise copy.copy(self._record.error)


class RemoteReader(_RecordReader):
    """Reads an invocation that another server of the store runs: its outcome, and of a stream what that journals."""

    def __init__(
        self,
        record: InvocationRecord,
        store: InvocationStore,
        *,
        heartbeat_interval: float,
        after: int = 0,
        patience: float | None = None,
    ) -> None:
        """The caller waits `patience` seconds for the end; None: as long as it takes."""
        super().__init__(record, store, heartbeat_interval=heartbeat_interval, after=after)
        self._patience = patience

    async def result(self) -> Payload:
        with self._within_patience():
            async with asyncio.timeout(self._patience):
                ended = await self._ended()
        return await ended.result()

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        loop = asyncio.get_running_loop()
        yield StreamStarted(self._record.invocation_id, self._record.start_time, self._interval)
        sequence, pause, said_at = self._after, _SHORTEST_PAUSE, loop.time()
        gives_up_at = math.inf if self._patience is None else loop.time() + self._patience
        ending = asyncio.ensure_future(self._ended())
        # Nobody hears of a failure where the caller leaves first.
        ending.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            while not ending.done():
                batch = [*await self._store.chunks(self._record.invocation_id, sequence)]
                if batch:
                    yield StreamChunks(sequence + 1, batch)
                    sequence, pause, said_at = sequence + len(batch), _SHORTEST_PAUSE, loop.time()
                    continue
                now = loop.time()
                if now >= gives_up_at:
                    with self._within_patience():
                        raise TimeoutError
                if now - said_at >= self._interval:
                    yield StreamHeartbeat()
                    said_at = now
                await asyncio.wait([ending], timeout=min(pause, said_at + self._interval - now, gives_up_at - now))
                pause = min(2 * pause, _LONGEST_PAUSE)
            async with aclosing(ending.result().rest(sequence)) as events:
                async for event in events:
                    yield event
        finally:
            ending.cancel()

    async def _ended(self) -> StoredReader:
        record = await self._store.ended(self._record)
        if record is None:
            raise ReplayExpiredError("The result of this request is no longer kept.")
        self._record = record
        return StoredReader(record, self._store, heartbeat_interval=self._interval)

    @contextmanager
    def _within_patience(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise DeadlineExceededError(
                f"Entrypoint `{self._record.entrypoint_tag}` runs on another server, and did not end within "
                f"{self._patience:.3g} s."
            ) from None


async def _journaled(
    store: InvocationStore, invocation_id: str, after: int, chunks: ChunkReader | None = None
) -> AsyncGenerator[list[Payload], None]:
    """Yields what the journal holds after number `after`: until `chunks` has the next one, or until it is all."""
    while chunks is None or chunks.is_behind(after):
        batch = [*await store.chunks(invocation_id, after)]
        if not batch:
            if chunks is None:
                return
            raise ReplayExpiredError(f"The chunk {after + 1} is no longer kept.")
        yield batch
        after += len(batch)
