"""One invocation while it is alive: its record, its chunks, its task, its clock, and whoever reads it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import cast

from runagent_grpc.engine.chunks import ChunkBuffer
from runagent_grpc.engine.events import StreamChunks, StreamCompleted, StreamEvent, StreamHeartbeat, StreamStarted
from runagent_grpc.engine.invocation import Invocation, InvocationState
from runagent_grpc.errors import DeadlineExceededError, InvocationCancelledError, RunAgentError
from runagent_grpc.payload import Payload

__all__ = ["Execution", "Reader"]


class Execution:
    """Runs from `Engine.open` until its outcome is settled; its task may outlive that, while a thread winds up."""

    def __init__(
        self,
        invocation: Invocation,
        *,
        window_chunks: int,
        window_bytes: int,
        heartbeat_interval: float,
        run_timeout: float | None,
        on_settled: Callable[[Execution], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.invocation = invocation
        self.chunks = ChunkBuffer(self._loop, window_chunks=window_chunks, window_bytes=window_bytes)
        self.heartbeat_interval = heartbeat_interval
        self.result: Payload | None = None
        self.elapsed = 0.0
        """How many seconds the entrypoint ran, once it is settled."""
        self.task: asyncio.Task[None] | None = None
        self.settled = asyncio.Event()
        self._on_settled = on_settled
        self._began = self._loop.time()
        self._run_timeout = run_timeout
        self._timer = None if run_timeout is None else self._loop.call_later(run_timeout, self.expire)

    def is_settled(self) -> bool:
        """Whether the outcome is known. Safe on any thread."""
        return self.invocation.state.ended

    def seconds_remaining(self) -> float | None:
        """How many seconds of run time are left. Safe on any thread."""
        return None if self._run_timeout is None else max(0.0, self._began + self._run_timeout - self._loop.time())

    def settle(
        self, state: InvocationState, *, result: Payload | None = None, error: RunAgentError | None = None
    ) -> None:
        """Fixes the outcome, tells the readers, and stops what still runs. The first outcome stands."""
        if self.is_settled():
            return
        self.invocation.move(state)
        self.invocation.error = error
        self.invocation.cause = error.message if error else ""
        # A producer that shrugs off its cancellation ends at its next chunk.
        self.chunks.close()
        self.invocation.chunk_count = self.chunks.count
        self.result = result
        self.elapsed = self._loop.time() - self._began
        if self._timer is not None:
            self._timer.cancel()
        self.chunks.finish()
        self.settled.set()
        if self.task is not None and self.task is not asyncio.current_task():
            self.task.cancel()
        self._on_settled(self)

    def cancel(self, cause: str) -> None:
        """Cancels, unless the outcome is settled."""
        self.settle(InvocationState.CANCELLED, error=InvocationCancelledError(cause))

    def expire(self) -> None:
        """Ends the run because its time is up, unless the outcome is settled."""
        seconds = self._run_timeout or 0.0
        after = f"{seconds:.3g}" if seconds < 1000 else f"{seconds:.0f}"
        text = f"Entrypoint `{self.invocation.entrypoint_tag}` timed out after {after} s."
        self.settle(InvocationState.TIMED_OUT, error=DeadlineExceededError(text))


class Reader:
    """A caller's hold on an invocation. Leaving it is how the caller says that it is gone."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    @property
    def invocation(self) -> Invocation:
        return self._execution.invocation

    @property
    def elapsed(self) -> float:
        """How many seconds the entrypoint ran. 0 until it has ended."""
        return self._execution.elapsed

    async def result(self) -> Payload:
        """Waits for the outcome of an entrypoint that returns one value. Raises what it ended with."""
        await self._execution.settled.wait()
        self._raise_failure()
        return cast("Payload", self._execution.result)

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Yields the stream. Asking for the next event says that the one before has been delivered."""
        execution = self._execution
        invocation, interval = execution.invocation, execution.heartbeat_interval
        yield StreamStarted(invocation.invocation_id, invocation.start_time, interval)
        sequence = 0
        while (payloads := await execution.chunks.read(sequence, interval)) != []:
            if payloads is None:
                yield StreamHeartbeat()
            else:
                yield StreamChunks(sequence + 1, payloads)
                sequence += len(payloads)
        self._raise_failure()
        yield StreamCompleted(invocation.chunk_count, execution.elapsed)

    def leave(self, cause: str = "The caller left.") -> None:
        """Lets go: an invocation that nobody waits for is cancelled. Its record tells the cause."""
        execution = self._execution
        if execution.is_settled():
            return
        # A caller that left because its deadline passed shows up here a moment before our own timer does.
        remaining = execution.seconds_remaining()
        if remaining is not None and remaining < _SAME_MOMENT:
            execution.expire()
        else:
            execution.cancel(cause)

    def _raise_failure(self) -> None:
        error = self._execution.invocation.error
        if error is not None:
            # A copy, for the record outlives the caller, whose frames the error's traceback would keep alive.
            raise copy.copy(error)


_SAME_MOMENT = 0.01
