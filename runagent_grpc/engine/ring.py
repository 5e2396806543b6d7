"""How much is kept of a stream's past, so that a reader who was cut off can have it again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ByteBudget", "RingLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RingLimits:
    """How much one stream keeps. Its newest chunk is kept whatever its size."""

    chunks: int
    bytes: int


class ByteBudget:
    """What all that is kept may take together. Any thread may account to it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._lock = threading.Lock()
        self.on_exceeded: Callable[[], None] = lambda: None
        """Called, on the thread that accounts, whenever more is used than may be."""

    @property
    def used(self) -> int:
        """How many bytes are accounted for."""
        return self._used

    @property
    def exceeded(self) -> bool:
        """Whether whoever can do with less should."""
        return self._used > self._limit

    def account(self, size: int) -> None:
        """Adds to what is used, or takes away."""
        with self._lock:
            self._used += size
        if size > 0 and self.exceeded:
            self.on_exceeded()
