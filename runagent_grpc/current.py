"""What an entrypoint can ask about the invocation it is running in (docs/agents.md, the current invocation).

from runagent_grpc import current_invocation

def report_stream(path: str):
    if current_invocation().cancelled: ...

Answered by a context variable, which coroutines, tasks and `asyncio.to_thread` take along by themselves. Threads and
thread pools begin without it: `contextvars.copy_context().run` takes it there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["CurrentInvocation", "current_invocation", "entered_invocation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentInvocation:
    """The invocation that the calling code runs in."""

    invocation_id: str
    agent_id: str
    entrypoint_tag: str
    user_id: str
    """The end user the call was made for, as the caller says. Empty when it did not say."""
    persistent_memory: bool
    """Whether the caller allows state to be kept for `user_id`."""
    is_cancelled: Callable[[], bool]
    seconds_remaining: Callable[[], float | None]

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants anything of it any more: cancelled, out of time, left by its caller, or ended."""
        return self.is_cancelled()

    @property
    def time_remaining(self) -> float | None:
        """How many seconds are left to run, never below 0. None when nothing bounds the run."""
        return self.seconds_remaining()


entered_invocation: ContextVar[CurrentInvocation | None] = ContextVar("runagent_invocation", default=None)
"""Set by the engine around everything of an entrypoint's."""


def current_invocation() -> CurrentInvocation:
    """Returns the invocation that this code runs in.

    Raises RuntimeError outside of one, as on a thread that was started without its context.
    """
    current = entered_invocation.get()
    if current is None:
        raise RuntimeError(
            "No invocation is running here. Call current_invocation() from within an entrypoint; on a thread of your"
            " own, or in a pool's, start what calls it by contextvars.copy_context().run."
        )
    return current
