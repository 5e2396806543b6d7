"""Who may run, who waits, and who is turned away: slots, the queue for them, and how fast each caller may ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic, TypeVar

from runagent_grpc.errors import Reason, ResourceExhaustedError

__all__ = ["ConcurrencyLimiter", "RateLimit"]

T = TypeVar("T")

_TRY_AGAIN_SECONDS = 1.0


class ConcurrencyLimiter(Generic[T]):
    """The places in which work may run: so many in all, so many of them for an entrypoint, and a queue for them.

    Work holds its slot until it is released, whatever its outcome. The queue is served in order, but work whose
    entrypoint is full does not hold up the work behind it.
    """

    def __init__(self, *, most: int, most_waiting: int) -> None:
        self._most = most
        self._most_waiting = most_waiting
        self._running: dict[T, str] = {}
        self._by_entrypoint: Counter[str] = Counter()
        self._waiting: dict[T, tuple[str, int | None]] = {}

    @property
    def running(self) -> int:
        """How many slots are taken."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How much work waits for one."""
        return len(self._waiting)

    def holders(self) -> list[T]:
        """Returns the work that holds a slot."""
        return [*self._running]

    def check(self, entrypoint: str, *, most: int | None) -> None:
        """Raises ResourceExhaustedError where `take` would find neither a slot nor a place in the queue."""
        if not self._has_room(entrypoint, most) and len(self._waiting) >= self._most_waiting:
            waiting = f", and {len(self._waiting):,} wait" if self._waiting else ""
            raise ResourceExhaustedError(
                f"The server runs {len(self._running):,} invocations already{waiting}.", retry_after=_TRY_AGAIN_SECONDS
            )

    def take(self, work: T, entrypoint: str, *, most: int | None) -> bool:
        """Returns whether the work may run now; otherwise it waits. `most` of an entrypoint's may run at once."""
        if self._has_room(entrypoint, most):
            self._start(work, entrypoint)
            return True
        self._waiting[work] = (entrypoint, most)
        return False

    def release(self, work: T) -> list[T]:
        """Gives back the slot, or the place in the queue. Returns the work that may run now instead."""
        self._waiting.pop(work, None)
        entrypoint = self._running.pop(work, None)
        if entrypoint is None:
            return []
        self._by_entrypoint[entrypoint] -= 1
        if not self._by_entrypoint[entrypoint]:
            del self._by_entrypoint[entrypoint]
        admitted = []
        for waiting, (name, most) in [*self._waiting.items()]:
            if len(self._running) >= self._most:
                break
            if self._has_room(name, most):
                del self._waiting[waiting]
                self._start(waiting, name)
                admitted.append(waiting)
        return admitted

    def _has_room(self, entrypoint: str, most: int | None) -> bool:
        return len(self._running) < self._most and (most is None or self._by_entrypoint[entrypoint] < most)

    def _start(self, work: T, entrypoint: str) -> None:
        self._running[work] = entrypoint
        self._by_entrypoint[entrypoint] += 1


class RateLimit:
    """So many calls a second for each caller, and as many at once as come in one second: a token bucket each."""

    def __init__(self, per_second: float | None, *, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = max(1.0, per_second or 1.0)
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}
        """How many calls a caller has left, and when that was so. One for each key that the server knows."""

    def take(self, caller: str) -> None:
        """Counts a call. Raises ResourceExhaustedError (RATE_LIMITED) for one too many."""
        if self._per_second is None:
            return
        now = self._clock()
        left, since = self._buckets.get(caller, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        if left < 1:
            self._buckets[caller] = (left, now)
            raise ResourceExhaustedError(
                f"More than {self._per_second:g} calls a second came.",
                reason=Reason.RATE_LIMITED,
                retry_after=(1 - left) / self._per_second,
            )
        self._buckets[caller] = (left - 1, now)
