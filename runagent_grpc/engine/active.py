"""One invocation from its call until its outcome is forgotten: its clock, its callers, its chunks, its outcome."""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from runagent_grpc.core import records
from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.runner import Runner, Work, WorkInProgress
from runagent_grpc.engine.caller_tracker import CallerTracker
from runagent_grpc.engine.chunks import ChunkBuffer
from runagent_grpc.errors import DeadlineExceededError, InvocationCancelledError, RunAgentError
from runagent_grpc.values.payload import Payload, size_of

__all__ = ["ActiveInvocation", "Identity", "RunOptions", "do_nothing"]


def do_nothing() -> None:
    """Does nothing."""


@records.record
class Identity:
    """What never changes of an invocation."""

    invocation_id: str
    agent_id: str
    entrypoint_tag: str
    owner: str
    request_id: str
    fingerprint: str
    user_id: str
    transport: str
    start_time: datetime


@records.record
class RunOptions:
    """Under which conditions an invocation runs. Times are seconds."""

    heartbeat_interval: float
    run_timeout: float | None
    """How long it may take, waiting for a slot included."""
    resumable: bool
    """Whether a caller who was cut off may come back."""


@dataclass(slots=True, kw_only=True)
class _Outcome:
    """How an invocation ended. The result leaves when nobody will ask for it."""

    end_time: datetime
    elapsed: float
    error: RunAgentError | None
    result: Payload | None
    has_result: bool = True
    """Whether the result of one that completed is still there."""
    is_kept: bool = False
    """Whether the result is kept for others than those who wait for it."""


class ActiveInvocation:
    """From the call until the outcome is settled, and as long as the outcome is remembered.

    Its task may outlive the outcome, while a thread winds up.
    """

    def __init__(
        self,
        identity: Identity,
        call: Call,
        *,
        options: RunOptions,
        chunks: ChunkBuffer | None,
        now: Callable[[], datetime],
        on_settled: Callable[[ActiveInvocation], None],
    ) -> None:
        """`chunks` is None where the entrypoint does not stream. `on_settled` hears of the outcome, once."""
        self._loop = asyncio.get_running_loop()
        self.identity = identity
        self.options = options
        self.chunks = chunks
        self.state = InvocationState.QUEUED
        self.callers = CallerTracker(
            call.on_disconnect, window=call.resume_window, is_over=self.is_settled, on_abandoned=self._abandon
        )
        self._call: Call | None = call
        """None once the call has been handed on: its arguments may be large."""
        self._now = now
        self._on_settled = on_settled
        self._outcome: _Outcome | None = None
        self._task: asyncio.Task[None] | None = None
        self.has_started = False
        """Whether it has begun to run, whatever became of it."""
        self._reached_worker = False
        """Whether its task, which may be cancelled before its first step, has called upon the worker."""
        self._settled: asyncio.Event | None = None
        """What those wait for who want the outcome, if there are any."""
        self._leave_reader = do_nothing
        """Takes the stream away from its reader, if it has one."""
        self._called = self._began = self._loop.time()
        timeout = options.run_timeout
        self._timer = None if timeout is None else self._loop.call_later(timeout, self.expire)

    @property
    def invocation_id(self) -> str:
        return self.identity.invocation_id

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task that runs it. None before it runs, and when that has ended: it holds on to its context."""
        return self._task

    @property
    def elapsed(self) -> float:
        """How many seconds the entrypoint ran. 0 until it has ended."""
        return 0.0 if self._outcome is None else self._outcome.elapsed

    @property
    def has_result(self) -> bool:
        """Whether the result is still there, if it has ended and has one."""
        return self._outcome is None or self._outcome.has_result

    @property
    def result(self) -> Payload | None:
        """The result of one that completed, while it is there."""
        return None if self._outcome is None else self._outcome.result

    @property
    def result_size(self) -> int:
        """How many bytes the result takes."""
        return 0 if self.result is None else size_of(self.result)

    def record(self, *, with_output: bool = False) -> InvocationRecord:
        """Returns what is known of it now; `with_output` adds what it gave, once: chunks are sampled only once."""
        identity, outcome = self.identity, self._outcome
        error = None if outcome is None else outcome.error
        first, last = self.chunks.sample() if with_output and self.chunks is not None else ((), ())
        return InvocationRecord(
            invocation_id=identity.invocation_id,
            agent_id=identity.agent_id,
            entrypoint_tag=identity.entrypoint_tag,
            owner=identity.owner,
            start_time=identity.start_time,
            request_id=identity.request_id,
            fingerprint=identity.fingerprint,
            user_id=identity.user_id,
            transport=identity.transport,
            state=self.state,
            end_time=None if outcome is None else outcome.end_time,
            elapsed=None if outcome is None else outcome.elapsed,
            cause="" if error is None else error.message,
            error=error,
            chunk_count=0 if outcome is None or self.chunks is None else self.chunks.count,
            result=outcome.result if with_output and outcome is not None else None,
            first_chunks=first,
            last_chunks=last,
        )

    def is_settled(self) -> bool:
        """Whether the outcome is known. Safe on any thread."""
        return self._outcome is not None

    async def wait(self) -> None:
        """Waits until the outcome is known."""
        if not self.is_settled():
            self._settled = self._settled or asyncio.Event()
            await self._settled.wait()

    def seconds_remaining(self) -> float | None:
        """How many seconds of run time are left. Safe on any thread."""
        timeout = self.options.run_timeout
        return None if timeout is None else max(0.0, self._called + timeout - self._loop.time())

    def take_call(self) -> Call:
        """Returns the call, and keeps it no longer. Raises RuntimeError for a call that was taken before."""
        call, self._call = self._call, None
        if call is None:
            raise RuntimeError("The call has been taken.")
        return call

    async def bind(self, runner: Runner) -> WorkInProgress | None:
        """Hands the call to a worker, in the caller's task. Returns None where the outcome came first.

        Raises what the runner raises; the invocation has then not started.
        """
        self._task = asyncio.current_task()
        try:
            return await runner.start(self._work())
        except asyncio.CancelledError:
            if not self.is_settled() or (task := asyncio.current_task()) is None or task.uncancel():
                raise
            return None
        finally:
            self._task = None

    def start(self, work: WorkInProgress, *, on_ended: Callable[[], None]) -> None:
        """Runs the work in a task that settles the outcome. `on_ended` is called when the task has ended."""
        self.state = self.state.moved_to(InvocationState.RUNNING)
        self.has_started = True
        self._began = self._loop.time()
        self._task = task = self._loop.create_task(self._run(work))

        def ended(_: asyncio.Task[None]) -> None:
            self._task = None
            if not self._reached_worker:
                work.discard()
            on_ended()

        # Not the task's own `finally`: a task that is cancelled before it begins never gets there.
        task.add_done_callback(ended)

    def withdraw(self) -> None:
        """Takes back one that has not started: nobody hears of its outcome but its readers."""
        self._on_settled = _nothing
        if self._timer is not None:
            self._timer.cancel()

    def settle(
        self, state: InvocationState, *, result: Payload | None = None, error: RunAgentError | None = None
    ) -> None:
        """Fixes the outcome, tells the readers, and stops what still runs. The first outcome stands."""
        if self.is_settled():
            return
        elapsed = 0.0 if self.state is InvocationState.QUEUED else self._loop.time() - self._began
        # The outcome first: whoever sees the state on another thread may ask for it.
        self._outcome = _Outcome(end_time=self._now(), elapsed=elapsed, error=error, result=result)
        self.state = self.state.moved_to(state)
        if self._timer is not None:
            self._timer.cancel()
        self.callers.close()
        if self.chunks is not None:
            # A producer that ignores its cancellation ends at its next chunk.
            self.chunks.close()
            self.chunks.finish()
        if self._settled is not None:
            self._settled.set()
            self._settled = None
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        on_settled, self._on_settled = self._on_settled, _nothing
        on_settled(self)

    def fail(self, error: RunAgentError) -> None:
        """Settles a failure: a deadline that passed within the work is a timeout."""
        timed_out = isinstance(error, DeadlineExceededError)
        self.settle(InvocationState.TIMED_OUT if timed_out else InvocationState.FAILED, error=error)

    def cancel(self, cause: str) -> None:
        """Cancels, unless the outcome is settled."""
        self.settle(InvocationState.CANCELLED, error=InvocationCancelledError(cause))

    def expire(self) -> None:
        """Ends the run because its time is up, unless the outcome is settled."""
        seconds = self.options.run_timeout or 0.0
        after = f"{seconds:.3g}" if seconds < 1000 else f"{seconds:.0f}"
        text = f"Entrypoint `{self.identity.entrypoint_tag}` timed out after {after} s."
        self.settle(InvocationState.TIMED_OUT, error=DeadlineExceededError(text))

    def raise_failure(self) -> None:
        """Raises what it ended with, unless it completed."""
        error = None if self._outcome is None else self._outcome.error
        if error is not None:
            # A copy, for the record outlives the caller, whose frames the error's traceback would keep alive.
            raise copy.copy(error)

    def replace_reader(self, leave: Callable[[], None]) -> None:
        """Gives the stream to another reader: the one before leaves, and `leave` is called when yet another comes."""
        # In this order, so that the invocation is never without a reader. The earlier one may hang on a connection that
        # is dead, and would not leave by itself for long.
        replaced, self._leave_reader = self._leave_reader, leave
        replaced()

    def reader_left(self) -> None:
        """Takes note that the latest reader has left by itself."""
        self._leave_reader = do_nothing

    def keep_result(self) -> None:
        """Keeps the result for those who ask later."""
        if self._outcome is not None:
            self._outcome.is_kept = True

    def forget_result(self) -> None:
        """Drops the result of a run that has ended, once nobody is there who waits for it."""
        if self._outcome is not None:
            self._outcome.is_kept = False
        self.tidy()

    def forget_chunks(self) -> None:
        """Drops the chunks of a stream that has ended."""
        if self.chunks is not None:
            self.chunks.forget()

    def tidy(self) -> None:
        """Drops the result if nobody will ask for it."""
        outcome = self._outcome
        if outcome is not None and not (outcome.is_kept or self.callers.present):
            outcome.result = None
            # A stream has no result to lose; its buffer knows which of its chunks are there.
            outcome.has_result = self.chunks is not None or self.state is not InvocationState.COMPLETED

    def _work(self) -> Work:
        identity, call = self.identity, self._call
        if call is None:
            raise RuntimeError("The call has been taken.")
        return Work(
            invocation_id=identity.invocation_id,
            agent_id=identity.agent_id,
            entrypoint_tag=identity.entrypoint_tag,
            args=call.args,
            kwargs=call.kwargs,
            user_id=call.user_id,
            persistent_memory=call.persistent_memory,
            is_cancelled=self.is_settled,
            seconds_remaining=self.seconds_remaining,
        )

    async def _run(self, work: WorkInProgress) -> None:
        self._reached_worker = True
        # A cancellation comes with an outcome, which is settled already.
        with contextlib.suppress(asyncio.CancelledError):
            try:
                if self.chunks is not None:
                    await work.stream(self.chunks)
                    self.settle(InvocationState.COMPLETED)
                else:
                    self.settle(InvocationState.COMPLETED, result=await work.result())
            except RunAgentError as error:
                # Its traceback would keep the worker's frames alive for as long as the outcome is remembered.
                self.fail(error.with_traceback(None))

    def _abandon(self, cause: str) -> None:
        # A caller that left because its deadline passed shows up here a moment before our own timer does.
        remaining = self.seconds_remaining()
        if remaining is not None and remaining < _SAME_MOMENT:
            self.expire()
        else:
            self.cancel(cause)


_SAME_MOMENT = 0.01


def _nothing(active: ActiveInvocation) -> None:
    """Does nothing."""
