"""Who waits for an invocation, and what becomes of it once nobody does (docs/design.md, disconnects)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runagent_grpc.core.call import OnDisconnect

__all__ = ["DEFAULT_RESUME_WINDOW", "CallerTracker"]

DEFAULT_RESUME_WINDOW = 10.0
"""How many seconds a lingering invocation waits for somebody to come back."""


class CallerTracker:
    """Counts callers. When the last one leaves, the invocation is abandoned: at once, after a while, or never."""

    def __init__(
        self,
        policy: OnDisconnect,
        *,
        window: float | None,
        is_over: Callable[[], bool],
        on_abandoned: Callable[[str], None],
    ) -> None:
        """`on_abandoned` is called with the cause, unless `is_over` says that it no longer matters."""
        self._policy = policy
        self._window = DEFAULT_RESUME_WINDOW if window is None else window
        self._is_over = is_over
        self._on_abandoned = on_abandoned
        self.present = 0
        """How many callers are there."""
        self._lapse: asyncio.TimerHandle | None = None

    def join(self) -> None:
        """Says that a caller is there."""
        self.present += 1
        self.end()

    def leave(self, cause: str, *, for_good: bool) -> None:
        """Says that a caller is gone, and why; `for_good` if it said that it will not come back."""
        self.present -= 1
        if self.present or self._is_over() or self._policy is OnDisconnect.DETACH:
            return
        if for_good or self._policy is OnDisconnect.CANCEL:
            self._on_abandoned(cause)
        else:
            text = f"{cause.removesuffix('.')}; nobody came back within {self._window:g} s."
            self._lapse = asyncio.get_running_loop().call_later(self._window, self._on_abandoned, text)

    def close(self) -> None:
        """Says that the invocation is over: nothing is abandoned any more. Lets go of what was asked until now, since
        the tracker is remembered with its invocation."""
        self.end()
        self._is_over = _always
        self._on_abandoned = _nothing

    def end(self) -> None:
        """Waits for nobody any more."""
        if self._lapse is not None:
            self._lapse.cancel()
            self._lapse = None


def _always() -> bool:
    return True


def _nothing(cause: str) -> None:
    """Does nothing."""
