"""The port between the engine and the workers that run the author's code.

Everything that crosses it could cross to another process: payloads, plain data, errors of ours. A runner hands a call
to a worker, which binds the arguments, calls the function, and encodes what it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from runagent_grpc.core.records import record
from runagent_grpc.values.payload import Payload

__all__ = ["ChunkSink", "Runner", "Work", "WorkInProgress"]


@record
class Work:
    """One call as a worker gets it."""

    invocation_id: str
    agent_id: str
    entrypoint_tag: str
    args: Sequence[Payload]
    kwargs: Mapping[str, Payload]
    user_id: str
    persistent_memory: bool
    is_cancelled: Callable[[], bool]
    """Whether nobody wants anything of it any more. Safe on any thread."""
    seconds_remaining: Callable[[], float | None]
    """How much run time is left; None: nothing bounds it. Safe on any thread."""


class ChunkSink(Protocol):
    """Takes the chunks of one stream in order, and holds the producer back while the reader is slow."""

    def put(self, payload: Payload) -> bool:
        """Adds a chunk from a thread, and waits for room for the next. False: nobody wants any more."""

    async def put_async(self, payload: Payload) -> bool:
        """Adds a chunk from the event loop, and waits for room for the next. False: nobody wants any more."""

    def close(self) -> None:
        """Wants no more chunks, and lets a waiting producer go. Called on the event loop."""


class WorkInProgress(Protocol):
    """A call whose arguments fit. One of its methods is called, once.

    `result` and `stream` raise RunAgentError for whatever went wrong: what the author's code raised, a value that
    cannot travel, a worker that died; DeadlineExceededError where the work itself ran out of time. Cancelled, they stop
    the work as soon as it lets itself be stopped, and return only then: a task that has ended holds no thread.
    """

    async def result(self) -> Payload:
        """Returns what the function returns; the items, as a list, where it returns an iterator."""

    async def stream(self, sink: ChunkSink) -> None:
        """Puts what the function yields into `sink`."""

    def discard(self) -> None:
        """Gives the call up: nothing of it will run. Returns at once."""


class Runner(Protocol):
    """Hands calls to the workers of one agent."""

    async def start(self, work: Work) -> WorkInProgress:
        """Gives a call to the worker that will run it. Returns once its arguments are bound: nothing of the
        entrypoint has run by then.

        Raises InvalidRequestError for arguments that do not fit.
        """
