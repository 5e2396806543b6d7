"""The chunks between an entrypoint that produces them, on any thread, and whoever reads them on the event loop.

Batching is natural: whatever was produced while the reader was busy is handed over as one, and nothing waits for more.
The producer stops at the window while somebody reads. After the first chunk it stops until that one is delivered, so
that a producer that never lets go of the interpreter lock does not delay the chunk that matters most. While nobody
reads it runs on, and what is kept is a ring: the oldest chunks give way.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice

from runagent_grpc.core.event_loop import post
from runagent_grpc.engine.ring import ByteBudget, RingLimits
from runagent_grpc.engine.samples import Samples
from runagent_grpc.errors import AbortedError, InvalidRequestError, Reason, ReplayExpiredError
from runagent_grpc.values.payload import Payload, TruncatedPayload, size_of

__all__ = ["ChunkBuffer", "ChunkReader"]

_ACCOUNTED_AT_ONCE = 64 * 1024
"""In steps of how many bytes a buffer accounts for what it keeps: a lock for each chunk would cost too much."""

# That of all buffers that have ended, to which nothing is added any more: an empty deque takes 760 bytes.
_NO_CHUNKS: deque[Payload] = deque()


class ChunkBuffer:
    """Numbered chunks with one producer, and one reader at a time.

    Without a ring a chunk is dropped once the reader says, by what it asks for next, that it has handled it. With one,
    it stays as long as there is room.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        window_chunks: int,
        window_bytes: int,
        ring: RingLimits | None = None,
        budget: ByteBudget | None = None,
        on_chunk: Callable[[int, Payload], None] | None = None,
    ) -> None:
        """Makes an empty buffer. `on_chunk` hears of each chunk before it can be read, on the producer's thread."""
        self._loop = loop
        self._window_chunks = window_chunks
        self._window_bytes = window_bytes
        self._ring = ring
        self._budget = budget
        self._on_chunk = on_chunk
        self._lock = threading.Lock()
        self._room: threading.Condition | None = None
        """Where the producer waits, once it has to."""
        self._chunks: deque[Payload] = deque()
        self._kept_bytes = 0
        """How much the ring holds, if there is one."""
        self._accounted = 0
        """How many of the kept bytes the budget knows of."""
        self._first = 1
        """The number of the first chunk in `_chunks`."""
        self._last = 0
        """The number of the last chunk produced."""
        self._handed_out = 0
        """The number of the last chunk that the reader took."""
        self._delivered = 0
        """The number of the last chunk that the reader has handled."""
        self._ahead_bytes = 0
        """The size of the chunks that the reader has not taken yet."""
        self._samples: Samples | None = Samples()
        self._closed = False
        self._finished = False
        self._reader: ChunkReader | None = None
        self._waiting: asyncio.Future[None] | None = None
        """The reader's, while there is nothing to read."""
        self._writer: asyncio.Future[None] | None = None

    @property
    def count(self) -> int:
        """How many chunks were produced so far."""
        return self._last

    def sample(self) -> tuple[tuple[Payload | TruncatedPayload, ...], tuple[Payload | TruncatedPayload, ...]]:
        """Returns the first few and the last few chunks, for whoever keeps history. Once: they are not kept twice."""
        with self._lock:
            samples, self._samples = self._samples or Samples(), None
            return samples.with_rest([*self._chunks])

    def put(self, payload: Payload) -> bool:
        """Adds a chunk from a thread, and waits for room for the next. False: nobody wants any more."""
        if not self._append(payload):
            with self._lock:
                while not (self._closed or self._has_room()):
                    self._room = self._room or threading.Condition(self._lock)
                    self._room.wait()
        return not self._closed

    async def put_async(self, payload: Payload) -> bool:
        """Adds a chunk from the event loop, and waits for room for the next. False: nobody wants any more."""
        if not self._append(payload):
            while not (self._closed or self._has_room()):
                self._writer = self._loop.create_future()
                await self._writer
        return not self._closed

    def finish(self) -> None:
        """Says that no more chunks will come. Called on the event loop."""
        self._finished = True
        self._wake_reader()

    def close(self) -> None:
        """Says that no more chunks are wanted, and lets a waiting producer go. Called on the event loop."""
        with self._lock:
            self._closed = True
            self._account(to_the_byte=True)
            self._make_room()

    def attach(self, after: int, *, past_is_kept: bool = False) -> ChunkReader:
        """Lets somebody read what comes behind number `after`, in the place of whoever read until now.

        Raises InvalidRequestError (INVALID_CURSOR) for a number that is yet to come, and, unless the caller says that
        somebody else keeps them, ReplayExpiredError where chunks behind it are gone.
        """
        with self._lock:
            if after > self._last:
                raise InvalidRequestError(
                    f"Chunk {after} has not been produced: the last one is {self._last}.", reason=Reason.INVALID_CURSOR
                )
            if after + 1 < self._first and not past_is_kept:
                raise ReplayExpiredError(
                    f"The chunks from {after + 1} to {self._first - 1} are no longer kept.",
                    suggestion="Start the call again, or resume sooner.",
                )
            self._reader = ChunkReader(self)
            self._handed_out = self._delivered = after
            self._ahead_bytes = self._size_behind(after)
        self._wake_reader()
        return self._reader

    def forget(self) -> None:
        """Keeps nothing for those who might come back; whoever reads now may read on. Called on the event loop."""
        with self._lock:
            self._ring = None
            self._kept_bytes = 0
            self._trim()
            self._account()
            self._shrink()

    def _detach(self, reader: ChunkReader) -> None:
        with self._lock:
            if self._reader is reader:
                self._reader = None
                if self._ring is None:
                    self._trim()
                    self._shrink()
                self._make_room()

    def _append(self, payload: Payload) -> bool:
        size = size_of(payload)
        with self._lock:
            if self._closed:
                return True
            if self._on_chunk is not None:
                self._on_chunk(self._last + 1, payload)
            self._chunks.append(payload)
            self._last += 1
            self._ahead_bytes += size
            if self._ring is not None:
                self._kept_bytes += size
                if self._reader is None:
                    self._trim()
                self._account()
            elif self._reader is None:
                self._trim()
            room = self._has_room()
            # Told once: the reader takes everything when it wakes.
            wake = self._waiting is not None and self._last == self._handed_out + 1
        if wake:
            post(self._loop, self._wake_reader)
        return room

    def _has_room(self) -> bool:
        if self._reader is None:
            return True
        if self._delivered == 0:
            return self._last == 0
        return self._last - self._handed_out < self._window_chunks and self._ahead_bytes < self._window_bytes

    def _handled(self, sequence: int) -> None:
        self._delivered = sequence
        if sequence != self._handed_out:
            # What was read in between came from elsewhere.
            self._handed_out = sequence
            self._ahead_bytes = self._size_behind(sequence)
        self._trim()
        self._account()
        if self._has_room():
            self._make_room()

    def _trim(self) -> None:
        """Drops what need not be kept: what was handled and finds no place in the ring, and, while nobody reads,
        whatever finds none."""
        handled = self._delivered + 1 - self._first
        if self._ring is None:
            self._drop(len(self._chunks) if self._reader is None else handled)
            return
        droppable = len(self._chunks) - 1
        if self._reader is not None:
            droppable = min(droppable, handled)
        tight = self._budget is not None and self._budget.exceeded
        surplus = droppable if tight else min(droppable, len(self._chunks) - self._ring.chunks)
        self._drop(surplus)
        droppable -= max(0, surplus)
        while droppable > 0 and self._kept_bytes > self._ring.bytes:
            self._drop(1)
            droppable -= 1

    def _drop(self, count: int) -> None:
        """Drops the oldest chunks."""
        if count <= 0:
            return
        popped = [self._chunks.popleft() for _ in range(count)]
        if self._ring is not None:
            self._kept_bytes -= sum(map(size_of, popped))
        self._first += count
        if self._samples is not None:
            self._samples.add(popped)

    def _shrink(self) -> None:
        """Takes as little memory as can be, for the record of a stream outlives its chunks by far."""
        if self._closed and not self._chunks:
            self._chunks, self._room = _NO_CHUNKS, None

    def _account(self, *, to_the_byte: bool = False) -> None:
        if self._budget is None or (self._ring is None and not self._accounted):
            return
        change = self._kept_bytes - self._accounted
        if to_the_byte or abs(change) >= _ACCOUNTED_AT_ONCE or not self._kept_bytes:
            self._accounted += change
            self._budget.account(change)

    def _size_behind(self, after: int) -> int:
        return sum(map(size_of, islice(self._chunks, max(0, after + 1 - self._first), None)))

    def _take(self, after: int) -> list[Payload]:
        """Takes what is ready, up to a window's bytes but at least one chunk, so that a message stays small."""
        batch = list(islice(self._chunks, after + 1 - self._first, None))
        size = self._ahead_bytes
        if size > self._window_bytes:
            batch, size = _fitting(batch, self._window_bytes)
        self._ahead_bytes -= size
        self._handed_out = after + len(batch)
        if self._has_room():
            self._make_room()
        return batch

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.notify_all()
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def _wake_reader(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class ChunkReader:
    """One reader's turn at a buffer, until it leaves, or another one takes over."""

    def __init__(self, buffer: ChunkBuffer) -> None:
        self._buffer = buffer

    @property
    def is_replaced(self) -> bool:
        """Whether this is no longer the one who reads."""
        return self._buffer._reader is not self

    def is_behind(self, after: int) -> bool:
        """Whether the chunk behind number `after` was produced, and is gone."""
        return after + 1 < self._buffer._first

    async def read(self, after: int, timeout: float) -> list[Payload] | None:  # noqa: ASYNC109 - None, not an error
        """Returns the chunks behind number `after`, all that is ready; everything up to `after` counts as handled.

        An empty list says that no more will come, None that nothing came for `timeout` seconds. Raises AbortedError
        (READER_REPLACED) once another reader has taken over.
        """
        buffer = self._buffer
        if not self.is_replaced:
            with buffer._lock:
                buffer._handled(after)
        while True:
            if self.is_replaced:
                raise AbortedError("Another reader took this stream over.", reason=Reason.READER_REPLACED)
            with buffer._lock:
                if buffer._last > after:
                    return buffer._take(after)
                if buffer._finished:
                    return []
                waiting = buffer._waiting = buffer._loop.create_future()
            timer = buffer._loop.call_later(timeout, _wake, waiting)
            expires = timer.when()
            try:
                await waiting
            finally:
                timer.cancel()
                if buffer._waiting is waiting:
                    buffer._waiting = None
            nothing_came = buffer._last == after and not buffer._finished
            if nothing_came and not self.is_replaced and buffer._loop.time() >= expires:
                return None

    def leave(self) -> None:
        """Reads no more. The producer runs on, as far as the ring goes."""
        self._buffer._detach(self)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _fitting(batch: list[Payload], limit: int) -> tuple[list[Payload], int]:
    """Returns as many of the first chunks as `limit` bytes hold, but at least one, and their size."""
    taken = size_of(batch[0])
    for index, payload in enumerate(batch[1:], start=1):
        size = size_of(payload)
        if taken + size > limit:
            return batch[:index], taken
        taken += size
    return batch, taken
