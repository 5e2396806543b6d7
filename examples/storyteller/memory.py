"""What is remembered of conversations: the last turns of those who spoke last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one said, and what the other answered."""

    message: str
    answer: str


class Memory:
    """Bounded, and for any number of threads."""

    def __init__(self, *, visitors: int = 1_000, turns: int = 4) -> None:
        self._most_visitors = visitors
        self._most_turns = turns
        self._turns: OrderedDict[str, tuple[Turn, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def turns_of(self, visitor: str) -> tuple[Turn, ...]:
        """Returns what is remembered of a visitor, the oldest turn first."""
        with self._lock:
            return self._turns.get(visitor, ())

    def keep(self, visitor: str, turn: Turn) -> None:
        """Remembers a turn, unless `visitor` is empty, and forgets what is too much: old turns, silent visitors."""
        if not visitor:
            return
        with self._lock:
            self._turns[visitor] = (*self._turns.get(visitor, ()), turn)[-self._most_turns :]
            self._turns.move_to_end(visitor)
            if len(self._turns) > self._most_visitors:
                self._turns.popitem(last=False)
