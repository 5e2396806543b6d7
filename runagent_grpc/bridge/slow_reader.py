"""How long a client is still busy with the chunks that it has, as far as a server can know.

Some published clients keep chunks in a queue and drop that queue when the last frame comes. The server does not see the
queue, so it assumes a time for each chunk.
"""

from __future__ import annotations

__all__ = ["SlowReader"]


class SlowReader:
    """A client that takes `seconds_per_chunk` for each chunk. Times are those of one monotonic clock."""

    def __init__(self, seconds_per_chunk: float) -> None:
        self._seconds_per_chunk = seconds_per_chunk
        self._busy_until = 0.0

    def receive(self, chunks: int, now: float) -> None:
        """Takes chunks that were sent."""
        self._busy_until = max(self._busy_until, now) + chunks * self._seconds_per_chunk

    def busy_for(self, now: float) -> float:
        """Returns how many seconds the client needs for what it has."""
        return max(self._busy_until - now, 0.0)
