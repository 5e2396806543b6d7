"""The moment when a caller's time is up: one for a whole call, however often it is tried."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from runagent_grpc.errors import DeadlineExceededError, RunAgentError

__all__ = ["Deadline"]


class Deadline:
    """When a call that began just now has to be over."""

    def __init__(self, timeout: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeout = timeout
        """The seconds that the caller gave the whole call. None: there is no end."""
        self._clock = clock
        self._end: float | None = None
        self.begin()

    def begin(self) -> None:
        """Counts from now on: for a call that was prepared before it begins."""
        self._end = None if self.timeout is None else self._clock() + self.timeout

    @property
    def passed(self) -> bool:
        return self._end is not None and self._clock() >= self._end

    def remaining(self, limit: float | None = None) -> float | None:
        """Returns the seconds until then, at most `limit`."""
        if self._end is None:
            return limit
        remaining = max(0.0, self._end - self._clock())
        return remaining if limit is None else min(remaining, limit)

    def run_timeout(self) -> float | None:
        """Returns the seconds that a server is told to give the work; whole ones where the caller gave whole ones."""
        remaining = self.remaining()
        # Published servers take no others.
        return math.ceil(remaining) if remaining is not None and self.timeout == int(self.timeout or 0) else remaining

    def error(self, details: str | None = None) -> RunAgentError:
        """Returns what it means that it has passed."""
        return DeadlineExceededError(f"The call timed out after {self.timeout or 0.0:g} s.", details=details)
