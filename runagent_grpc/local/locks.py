"""Locks on files that go with the process that holds them, however it ends.

Where the system has none (Windows), nothing is locked, and every file counts as held.
"""

from __future__ import annotations

import sys
from typing import IO

__all__ = ["HAS_LOCKS", "hold", "is_held"]

if sys.platform == "win32":
    HAS_LOCKS = False

    def hold(file: IO[bytes]) -> None:
        """Does nothing."""

    def is_held(file: IO[bytes]) -> bool:
        """Cannot tell."""
        return True

else:
    import fcntl

    HAS_LOCKS = True

    def hold(file: IO[bytes]) -> None:
        """Locks an open file until it is closed, or the process ends. Raises BlockingIOError where another holds it."""
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_held(file: IO[bytes]) -> bool:
        """Whether a process that lives holds the file."""
        try:
            # Shared, so that two who ask at once do not take each other for the holder.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
