"""One invocation while it is alive, and a while longer: its record, its chunks, its task, its clock, its outcome."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import Invocation, InvocationState
from runagent_grpc.engine.caller_tracker import CallerTracker
from runagent_grpc.engine.chunks import ChunkBuffer
from runagent_grpc.errors import DeadlineExceededError, InvocationCancelledError, RunAgentError
from runagent_grpc.values.payload import Payload

__all__ = ["ActiveInvocation", "RunOptions", "do_nothing"]


def do_nothing() -> None:
    """Where there is nothing to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Under which conditions an invocation runs. Times are seconds."""

    heartbeat_interval: float
    run_timeout: float | None
    """How long it may take, waiting for a slot included."""
    resumable: bool
    """Whether a caller who was cut off may come back."""


class ActiveInvocation:
    """From the call until the outcome is settled, and as long as the outcome is remembered.

    Its task may outlive the outcome, while a thread winds up.
    """

    def __init__(
        self,
        invocation: Invocation,
        call: Call,
        *,
        options: RunOptions,
        chunks: ChunkBuffer | None,
        on_settled: Callable[[ActiveInvocation], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.invocation = invocation
        self.options = options
        self.chunks = chunks
        """None where the entrypoint does not stream."""
        self.callers = CallerTracker(
            call.on_disconnect,
            window=call.resume_window,
            is_over=self.is_settled,
            on_abandoned=self._abandon,
        )
        self.result: Payload | None = None
        self.has_result = True
        """Whether the result of one that completed is still there."""
        self.keeps_result = False
        """Whether the result is for others than those who wait for it, too."""
        self.elapsed = 0.0
        """How many seconds the entrypoint ran, once it is settled."""
        self.task: asyncio.Task[None] | None = None
        """None before it runs, and when it has ended: it holds on to its context."""
        self._settled: asyncio.Event | None = None
        """What those wait for who want the outcome, if there are any."""
        self.reader_gone: Callable[[], None] = do_nothing
        """Takes the stream away from its reader, if it has one."""
        self._on_settled = on_settled
        self._called = self._began = self._loop.time()
        self._timer = None if options.run_timeout is None else self._loop.call_later(options.run_timeout, self.expire)

    def is_settled(self) -> bool:
        """Whether the outcome is known. Safe on any thread."""
        return self.invocation.state.ended

    async def wait(self) -> None:
        """Waits until the outcome is known."""
        if not self.is_settled():
            self._settled = self._settled or asyncio.Event()
            await self._settled.wait()

    def seconds_remaining(self) -> float | None:
        """How many seconds of run time are left. Safe on any thread."""
        timeout = self.options.run_timeout
        return None if timeout is None else max(0.0, self._called + timeout - self._loop.time())

    def start(self) -> None:
        """Says that the entrypoint runs from now on."""
        self.invocation.move(InvocationState.RUNNING)
        self._began = self._loop.time()

    def settle(
        self, state: InvocationState, *, result: Payload | None = None, error: RunAgentError | None = None
    ) -> None:
        """Fixes the outcome, tells the readers, and stops what still runs. The first outcome stands."""
        if self.is_settled():
            return
        self.elapsed = 0.0 if self.invocation.state is InvocationState.QUEUED else self._loop.time() - self._began
        self.invocation.move(state)
        self.invocation.error = error
        self.invocation.cause = error.message if error else ""
        self.result = result
        if self._timer is not None:
            self._timer.cancel()
        self.callers.end()
        if self.chunks is not None:
            # A producer that shrugs off its cancellation ends at its next chunk.
            self.chunks.close()
            self.invocation.chunk_count = self.chunks.count
            self.chunks.finish()
        if self._settled is not None:
            self._settled.set()
            self._settled = None
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
        self._on_settled(self)

    def cancel(self, cause: str) -> None:
        """Cancels, unless the outcome is settled."""
        self.settle(InvocationState.CANCELLED, error=InvocationCancelledError(cause))

    def expire(self) -> None:
        """Ends the run because its time is up, unless the outcome is settled."""
        seconds = self.options.run_timeout or 0.0
        after = f"{seconds:.3g}" if seconds < 1000 else f"{seconds:.0f}"
        text = f"Entrypoint `{self.invocation.entrypoint_tag}` timed out after {after} s."
        self.settle(InvocationState.TIMED_OUT, error=DeadlineExceededError(text))

    def raise_failure(self) -> None:
        """Raises what it ended with, unless it completed."""
        error = self.invocation.error
        if error is not None:
            # A copy, for the record outlives the caller, whose frames the error's traceback would keep alive.
            raise copy.copy(error)

    def forget_chunks(self) -> None:
        """Drops the chunks of a stream that has ended."""
        if self.chunks is not None:
            self.chunks.forget()

    def forget_result(self) -> None:
        """Drops the result of a run that has ended, once nobody is there who waits for it."""
        self.keeps_result = False
        self.tidy()

    def tidy(self) -> None:
        """Drops the result if nobody will ask for it."""
        if self.is_settled() and not (self.keeps_result or self.callers.present):
            self.result = None
            # A stream has no result to lose; its buffer knows which of its chunks are there.
            self.has_result = self.chunks is not None or self.invocation.state is not InvocationState.COMPLETED

    def _abandon(self, cause: str) -> None:
        # A caller that left because its deadline passed shows up here a moment before our own timer does.
        remaining = self.seconds_remaining()
        if remaining is not None and remaining < _SAME_MOMENT:
            self.expire()
        else:
            self.cancel(cause)


_SAME_MOMENT = 0.01
