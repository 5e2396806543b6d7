"""The first and the last chunks of a stream, for its history: a few of each, and of long ones the beginning."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from runagent_grpc.values.payload import Payload, TruncatedPayload

__all__ = ["Samples"]

_MOST = 8
"""How many of the first, and of the last, chunks are kept."""

_LENGTH = 16 * 1024
"""How long a chunk may be to be kept whole."""

_EXCERPT_LENGTH = 1024
"""How much is kept of one that is longer."""


class Samples:
    """Is told of every chunk once, when it is let go, and of the rest at the end."""

    def __init__(self) -> None:
        self._first: list[Payload | TruncatedPayload] = []
        self._last: deque[Payload | TruncatedPayload] = deque(maxlen=_MOST)

    def add(self, chunks: Sequence[Payload]) -> None:
        """Takes note of the next chunks."""
        missing = _MOST - len(self._first)
        self._first += map(_sampled, chunks[:missing])
        self._last.extend(map(_sampled, chunks[missing:][-_MOST:]))

    def with_rest(
        self, chunks: Sequence[Payload]
    ) -> tuple[tuple[Payload | TruncatedPayload, ...], tuple[Payload | TruncatedPayload, ...]]:
        """Returns the first few and the last few of all chunks, where these are the rest of them."""
        whole = Samples()
        whole._first, whole._last = [*self._first], deque(self._last, maxlen=_MOST)
        whole.add(chunks)
        return tuple(whole._first), tuple(whole._last)


def _sampled(payload: Payload) -> Payload | TruncatedPayload:
    return payload if len(payload) <= _LENGTH else TruncatedPayload.of(payload, _EXCERPT_LENGTH)
