"""Consecutive chunks of one stream, as they wait for the writer and as a row of the journal holds them: exactly."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator

from runagent_grpc.values.payload import Json, Payload

__all__ = ["ByteCounter", "ChunkBatch", "JournalRow", "unpack_chunks"]

JournalRow = tuple[str, int, int, bytearray]
"""The invocation's id, the number of the first chunk, how many there are, and what `unpack_chunks` takes."""

_MOST_IN_A_ROW = 500
_LARGEST_ROW = 256 * 1024

_HEAD = struct.Struct("<cI")
_TEXT, _JSON, _BINARY = b"T", b"J", b"B"


class ByteCounter:
    """How much waits for the writer, in bytes, in all stretches together, and the lock under which they change."""

    __slots__ = ("lock", "weight")

    def __init__(self) -> None:
        # May be taken again by the thread that holds it: an author's destructor may run in the middle of anything.
        self.lock = threading.RLock()
        self.weight = 0


class ChunkBatch:
    """Grows until the writer takes it."""

    __slots__ = ("_first", "_invocation_id", "_load", "_payloads", "_taken", "_weight")

    def __init__(self, load: ByteCounter, invocation_id: str, first: int) -> None:
        self._load = load
        self._invocation_id = invocation_id
        self._first = first
        self._payloads: list[Payload] = []
        self._weight = 0
        self._taken = False

    def add(self, payload: Payload, weight: int) -> bool:
        """Adds the next chunk. Returns False where it is too late for that."""
        with self._load.lock:
            if self._taken:
                return False
            self._payloads.append(payload)
            self._weight += weight
            self._load.weight += weight
        return True

    def rows(self) -> Iterator[JournalRow]:
        """Takes the stretch, and yields its rows."""
        with self._load.lock:
            self._taken = True
            self._load.weight -= self._weight
            payloads, self._payloads = self._payloads, []
        number, count, packed = self._first, 0, bytearray()
        for payload in payloads:
            kind, data = _packed(payload)
            packed += _HEAD.pack(kind, len(data))
            packed += data
            count += 1
            if count == _MOST_IN_A_ROW or len(packed) >= _LARGEST_ROW:
                yield self._invocation_id, number, count, packed
                number, count, packed = number + count, 0, bytearray()
        if count:
            yield self._invocation_id, number, count, packed


def unpack_chunks(packed: bytes) -> Iterator[tuple[Payload, int]]:
    """Yields the chunks of a row, each with its size in bytes."""
    position = 0
    while position < len(packed):
        kind, size = _HEAD.unpack_from(packed, position)
        position += _HEAD.size
        data = packed[position : position + size]
        position += size
        if kind == _BINARY:
            yield data, size
        else:
            text = data.decode("utf-8", "surrogatepass")
            yield Json(text) if kind == _JSON else text, size


def _packed(payload: Payload) -> tuple[bytes, bytes]:
    if isinstance(payload, bytes):
        return _BINARY, payload
    # Lone surrogates are no UTF-8, but what the stream gave is what a resumed one gives.
    return _JSON if isinstance(payload, Json) else _TEXT, payload.encode("utf-8", "surrogatepass")
