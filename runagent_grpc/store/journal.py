"""The chunks of streams that may outlive their process: noted here, written with the rest, read page by page."""

from __future__ import annotations

import logging
import sqlite3

from runagent_grpc.store.chunk_batch import ByteCounter, ChunkBatch, unpack_chunks
from runagent_grpc.store.write_queue import WriteQueue
from runagent_grpc.store.writer import Event
from runagent_grpc.values.payload import Payload

__all__ = ["ChunkJournal", "count_journaled", "journaled"]

_logger = logging.getLogger(__name__)

_HEAVIEST_WAITING = 32 * 1024 * 1024
"""From how many bytes on that wait for the disk streams are given up."""

_HURRY_WEIGHT = 2 * 1024 * 1024
"""How many bytes are written without waiting for more."""

_CHUNK_WEIGHT = 64
"""What a chunk takes besides its text."""

_LARGEST_PAGE = 1024 * 1024
_LONGEST_PAGE = 500

_STOPPED = 0


class JournalCursor:
    """A stream as far as it is journaled."""

    __slots__ = ("expected", "stretch")

    def __init__(self) -> None:
        self.expected = 1
        """The number of the next chunk. What is not that chunk is not journaled, so that there is never a gap."""
        self.stretch: ChunkBatch | None = None


class ChunkJournal:
    """Keeps the beginning of each stream that it is told of: all of it, unless chunks come faster than a disk takes."""

    def __init__(self, inbox: WriteQueue[Event]) -> None:
        self._inbox = inbox
        self._load = ByteCounter()
        self._courses: dict[str, JournalCursor] = {}

    def produced(self, invocation_id: str, sequence: int, payload: Payload) -> None:
        """Takes note of a chunk. Safe on any thread, as long as the chunks of one stream come in order."""
        course = self._courses.get(invocation_id)
        if course is None and sequence == 1:
            course = self._courses[invocation_id] = JournalCursor()
        if course is None or course.expected != sequence:
            return
        if self._load.weight >= _HEAVIEST_WAITING:
            self._stop(course, invocation_id)
            return
        weight = len(payload) + _CHUNK_WEIGHT
        stretch = course.stretch
        # One event a stretch and not one a chunk: the writer thread is seldom woken, and has few rows to write.
        if stretch is None or not stretch.add(payload, weight):
            if self._inbox.is_overfull:
                self._stop(course, invocation_id)
                return
            course.stretch = stretch = ChunkBatch(self._load, invocation_id, sequence)
            stretch.add(payload, weight)
            self._inbox.put(stretch)
        course.expected = sequence + 1
        if self._load.weight >= _HURRY_WEIGHT > self._load.weight - weight:
            self._inbox.hurry()

    def ended(self, invocation_id: str) -> None:
        """Takes note that no more chunks come."""
        self._courses.pop(invocation_id, None)

    def _stop(self, course: JournalCursor, invocation_id: str) -> None:
        course.expected = _STOPPED
        course.stretch = None
        _logger.warning(
            "A stream's chunks come faster than they can be written: from here on they are not in the journal.",
            extra={"invocation_id": invocation_id},
        )


def journaled(connection: sqlite3.Connection, invocation_id: str, after: int) -> list[Payload]:
    """Returns a page of the chunks behind number `after`, consecutive: at most 500, and 1 MiB or one chunk."""
    page: list[Payload] = []
    total = 0
    for sequence, count, packed in connection.execute(_STRETCHES_FROM, (invocation_id, invocation_id, after + 1)):
        expected = after + len(page) + 1
        if not sequence <= expected < sequence + count:
            break
        for number, (payload, size) in enumerate(unpack_chunks(packed), sequence):
            if number < expected:
                continue
            total += size
            if page and (total > _LARGEST_PAGE or len(page) == _LONGEST_PAGE):
                return page
            page.append(payload)
    return page


def count_journaled(connection: sqlite3.Connection, invocation_id: str) -> int:
    """Returns the number of the last chunk that is kept."""
    found = connection.execute(_LAST, (invocation_id,)).fetchall()
    return int(found[0][0]) if found else 0


# From the stretch on that the first chunk is in.
_STRETCHES_FROM = """
    SELECT sequence, count, payloads FROM runagent_grpc_journal WHERE invocation_id = ? AND sequence >= (
        SELECT max(sequence) FROM runagent_grpc_journal WHERE invocation_id = ? AND sequence <= ?
    ) ORDER BY sequence
"""
_LAST = """
    SELECT sequence + count - 1 FROM runagent_grpc_journal WHERE invocation_id = ? ORDER BY sequence DESC LIMIT 1
"""
