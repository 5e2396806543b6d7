"""The chunks between an entrypoint that produces them, on any thread, and its reader on the event loop.

Batching is natural: whatever was produced while the reader was busy is handed over as one, and nothing waits for more.
The producer stops at the window. After the first chunk it stops until that one is delivered, so that a producer that
never lets go of the interpreter lock does not delay the chunk that matters most.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from itertools import islice

from runagent_grpc.engine.recorder import Excerpt
from runagent_grpc.engine.threads import post
from runagent_grpc.payload import Payload, size_of

__all__ = ["ChunkBuffer"]

_SAMPLE = 8
"""How many of a stream's first, and of its last, chunks are kept for its history."""

_SAMPLE_LENGTH = 16 * 1024
"""How long a chunk may be to be kept whole."""

_EXCERPT_LENGTH = 1024
"""How much is kept of one that is longer."""


class ChunkBuffer:
    """Numbered chunks with one producer and one reader.

    A chunk is dropped once the reader says, by what it asks for next, that it has handled it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, window_chunks: int, window_bytes: int) -> None:
        self._loop = loop
        self._window_chunks = window_chunks
        self._window_bytes = window_bytes
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._chunks: deque[Payload] = deque()
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
        self._first_chunks: list[Payload | Excerpt] = []
        self._last_chunks: deque[Payload | Excerpt] = deque(maxlen=_SAMPLE)
        self._closed = False
        self._finished = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    @property
    def count(self) -> int:
        """How many chunks were produced so far."""
        return self._last

    def sample(self) -> tuple[tuple[Payload | Excerpt, ...], tuple[Payload | Excerpt, ...]]:
        """Returns the first few and the last few chunks that were read or wait to be, for whoever keeps history."""
        with self._lock:
            waiting = list(islice(self._chunks, self._handed_out + 1 - self._first, None))
            self._keep_sample(waiting)
            return tuple(self._first_chunks), tuple(self._last_chunks)

    def put(self, payload: Payload) -> bool:
        """Adds a chunk from a thread, and waits for room for the next. False: nobody wants any more."""
        if not self._append(payload):
            with self._room:
                while not (self._closed or self._has_room()):
                    self._room.wait()
        return not self._closed

    async def put_soon(self, payload: Payload) -> bool:
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
            self._make_room()

    async def read(self, after: int, timeout: float) -> list[Payload] | None:  # noqa: ASYNC109 - None, not an error
        """Returns the chunks behind number `after`, all that is ready; everything up to `after` counts as handled.

        An empty list says that no more will come, None that nothing came for `timeout` seconds.
        """
        with self._lock:
            self._drop_through(after)
        while True:
            with self._lock:
                if self._last > after:
                    return self._take(after)
                if self._finished:
                    return []
                self._reader = self._loop.create_future()
            timer = self._loop.call_later(timeout, self._wake_reader)
            expires = timer.when()
            try:
                await self._reader
            finally:
                timer.cancel()
                self._reader = None
            if self._last == after and not self._finished and self._loop.time() >= expires:
                return None

    def _append(self, payload: Payload) -> bool:
        size = size_of(payload)
        with self._lock:
            if self._closed:
                return True
            self._chunks.append(payload)
            self._last += 1
            self._ahead_bytes += size
            room = self._has_room()
            # Told once: the reader takes everything when it wakes.
            wake = self._reader is not None and self._last == self._handed_out + 1
        if wake:
            post(self._loop, self._wake_reader)
        return room

    def _has_room(self) -> bool:
        if self._delivered == 0:
            return self._last == 0
        return self._last - self._handed_out < self._window_chunks and self._ahead_bytes < self._window_bytes

    def _drop_through(self, sequence: int) -> None:
        while self._first <= sequence:
            self._chunks.popleft()
            self._first += 1
        self._delivered = sequence
        if self._has_room():
            self._make_room()

    def _take(self, after: int) -> list[Payload]:
        """Takes what is ready, up to a window's bytes but at least one chunk, so that a message stays small."""
        batch = list(islice(self._chunks, after + 1 - self._first, None))
        size = self._ahead_bytes
        if size > self._window_bytes:
            batch, size = _fitting(batch, self._window_bytes)
        self._ahead_bytes -= size
        self._keep_sample(batch)
        self._handed_out = after + len(batch)
        if self._has_room():
            self._make_room()
        return batch

    def _keep_sample(self, chunks: list[Payload]) -> None:
        missing = _SAMPLE - len(self._first_chunks)
        self._first_chunks += map(_sampled, chunks[:missing])
        self._last_chunks.extend(map(_sampled, chunks[missing:][-_SAMPLE:]))

    def _make_room(self) -> None:
        self._room.notify_all()
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _sampled(payload: Payload) -> Payload | Excerpt:
    return payload if len(payload) <= _SAMPLE_LENGTH else Excerpt.of(payload, _EXCERPT_LENGTH)


def _fitting(batch: list[Payload], limit: int) -> tuple[list[Payload], int]:
    """Returns as many of the first chunks as `limit` bytes hold, but at least one, and their size."""
    taken = size_of(batch[0])
    for index, payload in enumerate(batch[1:], start=1):
        size = size_of(payload)
        if taken + size > limit:
            return batch[:index], taken
        taken += size
    return batch, taken
