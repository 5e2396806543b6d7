"""What waits to be written: filled by any thread in next to no time, emptied by one."""

from __future__ import annotations

import contextlib
import queue
import threading
from typing import Generic, TypeVar

__all__ = ["WriteQueue"]

T = TypeVar("T")


class WriteQueue(Generic[T]):
    """Items in order, weighed in bytes so that whoever fills it can see when to leave something out."""

    def __init__(self, *, most: int, heaviest: int) -> None:
        self._most = most
        self._heaviest = heaviest
        # A destructor that prints runs wherever it likes, in the middle of `put`, too. That is why this lock may be
        # taken again by the thread that holds it, and why the signals are queues: an Event's lock may not.
        self._lock = threading.RLock()
        self._items: list[T] = []
        self._weight = 0
        self._arrived: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._urgent: queue.SimpleQueue[None] = queue.SimpleQueue()

    @property
    def is_full(self) -> bool:
        """Whether what can be done without should be left out."""
        return len(self._items) >= self._most or self._weight >= self._heaviest

    @property
    def is_overfull(self) -> bool:
        """Whether nothing more fits, however little it weighs."""
        return len(self._items) >= 10 * self._most

    def put(self, item: T, *, weight: int = 0, urgent: bool = False) -> None:
        """Adds an item. An urgent one is not kept waiting for others."""
        with self._lock:
            self._items.append(item)
            self._weight += weight
            count = len(self._items)
        # Told once a batch: waking a thread costs more than all the rest.
        if count == 1:
            self._arrived.put(None)
        if urgent or count == self._most // 2:
            self._urgent.put(None)

    def hurry(self) -> None:
        """Says that what is there has waited long enough."""
        self._urgent.put(None)

    def take(self, linger: float, patience: float | None = None) -> list[T]:
        """Waits for an item, then up to `linger` seconds for more, and returns all there are.

        Returns nothing where none comes within `patience` seconds.
        """
        try:
            self._arrived.get(timeout=patience)
        except queue.Empty:
            return []
        with contextlib.suppress(queue.Empty):
            self._urgent.get(timeout=linger)
        with self._lock:
            items, self._items = self._items, []
            self._weight = 0
        with contextlib.suppress(queue.Empty):
            while True:
                self._urgent.get_nowait()
        return items
