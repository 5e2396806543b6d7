"""Waits for what another thread or process does, without guessing how long that takes."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["eventually"]


def eventually(predicate: Callable[[], object], *, seconds: float = 10.0) -> None:
    """Returns as soon as `predicate` holds. Raises AssertionError where it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, f"It did not come true within {seconds:g} s."
        time.sleep(0.005)
