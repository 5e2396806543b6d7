"""Takes calls, checks them, runs them, and knows what runs. Every transport speaks to this one class.

Knows no gRPC, no HTTP and no SQL (docs/design.md, engine). All of it runs on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from runagent_grpc.core.call import Call, OnDisconnect
from runagent_grpc.core.invocation import Invocation, InvocationState
from runagent_grpc.core.recorder import NullRecorder, Output, Recorder
from runagent_grpc.core.store import InvocationStore, Journal, NullInvocationStore, RequestKey
from runagent_grpc.engine.active import ActiveInvocation, RunOptions
from runagent_grpc.engine.admission import ConcurrencyLimiter, RateLimit
from runagent_grpc.engine.cache import InvocationCache
from runagent_grpc.engine.chunks import ChunkBuffer
from runagent_grpc.engine.ids import new_invocation_id
from runagent_grpc.engine.launch import Launch, fail
from runagent_grpc.engine.lookup import InvocationLookup
from runagent_grpc.engine.reader import Reader
from runagent_grpc.engine.requests import fingerprint_of, key_of
from runagent_grpc.engine.ring import ByteBudget, RingLimits
from runagent_grpc.engine.settings import EngineSettings
from runagent_grpc.errors import (
    AbortedError,
    InvalidRequestError,
    NotFoundError,
    Reason,
    UnavailableError,
)
from runagent_grpc.runners.in_process import InProcessRunner, Runner, Work
from runagent_grpc.worker import Agent, BoundArguments, Entrypoint
from runagent_grpc.worker.threads import Threads, post

__all__ = ["BoundCall", "Engine"]


class BoundCall(NamedTuple):
    """A call, and its arguments as the function takes them."""

    call: Call
    entrypoint: Entrypoint
    arguments: BoundArguments
    fingerprint: str
    """By which a repeated call is known."""


class Engine:
    """Runs the entrypoints of one agent."""

    def __init__(
        self,
        agent: Agent,
        *,
        settings: EngineSettings | None = None,
        runner: Runner | None = None,
        recorder: Recorder | None = None,
        archive: InvocationStore | None = None,
        journal: Journal | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = new_invocation_id,
    ) -> None:
        """Takes no calls yet: the first comes on the event loop that all others have to come on.

        Args:
            agent: What is run.
            settings: How much of it.
            runner: How it is run. None: in this process.
            recorder: Who hears of what happens.
            archive: Who is asked for what the engine remembers no more.
            journal: Who keeps the chunks of streams that can be resumed. None: nobody.
            now: The time of day.
            clock: The time that only passes, in seconds.
            new_id: Names invocations.
        """
        self.agent = agent
        self.settings = settings = settings or EngineSettings()
        self._threads = Threads()
        self._runner = runner or InProcessRunner(max_payload_bytes=settings.max_payload_bytes, threads=self._threads)
        self._recorder = recorder or NullRecorder()
        self._journal = journal
        self._now = now
        self._new_id = new_id
        self._budget = ByteBudget(settings.kept_bytes)
        self._memory = InvocationCache(
            most=settings.remembered_invocations,
            most_requests=settings.remembered_requests,
            chunk_seconds=settings.ring_seconds,
            result_seconds=settings.result_seconds,
            budget=self._budget,
            clock=clock,
        )
        self._returns = InvocationLookup(
            self._memory,
            archive or NullInvocationStore(),
            journaled=journal is not None,
            heartbeat_interval=settings.heartbeat_interval,
        )
        self._slots: ConcurrencyLimiter[ActiveInvocation] = ConcurrencyLimiter(
            most=settings.max_invocations, most_waiting=settings.max_queued
        )
        self._queued: dict[ActiveInvocation, Launch] = {}
        self._rate = RateLimit(settings.rate_limit, clock=clock)
        self._draining = False

    @property
    def running(self) -> int:
        """How many invocations have no outcome yet."""
        return self._memory.live_count

    @property
    def active(self) -> int:
        """How many invocations hold a slot: those that run, and those that ended but whose code goes on."""
        return self._slots.running

    @property
    def draining(self) -> bool:
        """Whether the engine takes no more calls."""
        return self._draining

    def replace_agent(self, agent: Agent) -> None:
        """Takes the entrypoints of another agent for the calls that come. Those that run end on the old."""
        self.agent = agent

    def entrypoint(self, agent_id: str, tag: str, *, streaming: bool) -> Entrypoint:
        """Returns the entrypoint that a call names. An empty `agent_id` means the only agent.

        Raises NotFoundError for an unknown agent or tag, InvalidRequestError for the wrong mode, in that order.
        Transports ask before they read a call's arguments, so that the first mistake is the one that is told.
        """
        if agent_id not in ("", self.agent.agent_id):
            raise NotFoundError("Agent not found")
        entrypoint = self.agent.entrypoints.get(tag)
        if entrypoint is None:
            known = ", ".join(self.agent.entrypoints)
            raise NotFoundError(
                f"Entrypoint {tag[:200]} not found",
                reason=Reason.ENTRYPOINT_NOT_FOUND,
                suggestion=f"The agent's entrypoints are: {known[:500]}.",
            )
        if entrypoint.streaming and not streaming:
            raise InvalidRequestError(
                f"Can't use Streaming Entrypoint `{tag}` through non-streaming endpoint.",
                reason=Reason.STREAM_ENTRYPOINT,
            )
        if streaming and not entrypoint.streaming:
            raise InvalidRequestError(
                f"Entrypoint `{tag}` is not a streaming entrypoint. "
                "Use a streaming entrypoint (ending with '_stream').",
                reason=Reason.NON_STREAM_ENTRYPOINT,
            )
        return entrypoint

    async def read(self, entrypoint: Entrypoint, read: Callable[[], Call], *, size: int) -> BoundCall:
        """Reads a call of `size` bytes, and binds its arguments, off the event loop where that may take long.

        Raises what `read` raises, and InvalidRequestError for arguments that do not fit.
        """

        def bind() -> BoundCall:
            return _bound(read(), entrypoint)

        if size <= _QUICKLY_READ_BYTES and not entrypoint.signature.runs_foreign_code:
            return bind()
        return await self._threads.run(bind)

    async def bind(self, call: Call, *, streaming: bool, size: int = 0) -> BoundCall:
        """Binds the arguments of a call that has been read already, as `read` does. Raises as `open` does."""
        entrypoint = self.entrypoint(call.agent_id, call.entrypoint_tag, streaming=streaming)
        return await self.read(entrypoint, lambda: call, size=size)

    def open(self, call: Call | BoundCall, *, streaming: bool) -> Reader:
        """Starts an invocation, or joins the one that the same request has started, and returns the caller's hold on
        it, which the caller must leave (it is a `with`).

        Raises, before any code of the author's runs, NotFoundError for an unknown agent or tag, InvalidRequestError
        for the wrong mode or arguments that do not fit, ConflictError where the request_id is another call's,
        ResourceExhaustedError when the engine is full or the caller too fast, and UnavailableError when it is draining.
        """
        if isinstance(call, Call):
            call = _bound(call, self.entrypoint(call.agent_id, call.entrypoint_tag, streaming=streaming))
        self._rate.take(call.call.owner)
        key = key_of(call.call, self.agent.agent_id)
        known = None if key is None else self._returns.to_request(key, call.fingerprint)
        return known or self._begin(call, key)

    async def resume(self, invocation_id: str, after: int, *, owner: str = "") -> Reader:
        """Takes a stream up behind chunk number `after`, in the place of whoever reads it.

        Raises NotFoundError for an id that is unknown, another owner's or another agent's, InvalidRequestError for an
        invocation that does not stream and (INVALID_CURSOR) for a number beyond the last chunk, and ReplayExpiredError
        where the next chunk is gone.
        """
        return await self._returns.to_stream(invocation_id, after, owner, agent_ids=(self.agent.agent_id,))

    def cancel(self, invocation_id: str, *, owner: str = "") -> Invocation:
        """Cancels an invocation unless it has ended, and returns its record; its `finally` may still run.

        Raises NotFoundError for an id that is unknown, or that is another owner's.
        """
        execution = self._returns.execution(invocation_id, owner)
        execution.cancel("The invocation was cancelled.")
        return execution.invocation

    def cancel_request(self, request_id: str, *, owner: str = "") -> Invocation:
        """Cancels the invocation that a call with this request_id has started, as `cancel` does."""
        execution = self._returns.execution_of(RequestKey(owner, self.agent.agent_id, request_id))
        return self.cancel(execution.invocation.invocation_id, owner=owner)

    def fail(self, invocation_id: str, error: BaseException) -> bool:
        """Ends an invocation with what code of its own has raised outside of its task: in a callback, in another task.

        Returns whether it ran; one that has ended, or that is unknown, stays as it is.
        """
        execution = self._memory.get(invocation_id)
        if execution is None or execution.is_settled():
            return False
        fail(execution, error)
        return True

    def find(self, invocation_id: str, *, owner: str = "") -> Invocation:
        """Returns the record of an invocation that runs or ended lately.

        Raises NotFoundError for an id that is unknown, or that is another owner's.
        """
        return self._returns.execution(invocation_id, owner).invocation

    async def drain(self, grace: float) -> None:
        """Takes no more calls, waits up to `grace` seconds for those that it has taken, and gives up the rest."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._memory.all_ended.wait()
        for execution in self._memory.live:
            self._give_up(execution)
        # Enough for `finally` blocks; code that ignores its cancellation is left behind.
        await _ended((execution.task for execution in self._slots.holders()), _CLEAN_UP_SECONDS)
        self._memory.close()

    def _begin(self, bound: BoundCall, key: RequestKey | None) -> Reader:
        """Starts an invocation, or puts it into the queue."""
        call, entrypoint = bound.call, bound.entrypoint
        if self._draining:
            raise _shutting_down()
        self._slots.check(entrypoint.tag, most=entrypoint.max_concurrent)
        invocation = Invocation(
            invocation_id=self._new_id(),
            agent_id=self.agent.agent_id,
            entrypoint_tag=entrypoint.tag,
            owner=call.owner,
            start_time=self._now(),
            request_id=call.request_id,
            fingerprint=bound.fingerprint,
        )
        resumable = key is not None or call.on_disconnect is not OnDisconnect.CANCEL
        execution = ActiveInvocation(
            invocation,
            call,
            options=RunOptions(
                heartbeat_interval=self.settings.heartbeat_interval,
                run_timeout=_run_timeout(call, entrypoint, self.settings),
                resumable=resumable,
            ),
            chunks=self._buffer(invocation.invocation_id, resumable) if entrypoint.streaming else None,
            on_settled=self._settled,
        )
        work = Work(
            function=entrypoint.function,
            args=bound.arguments.args,
            kwargs=bound.arguments.kwargs,
            is_cancelled=execution.is_settled,
            returns_handle=entrypoint.signature.returns_handle,
            extractor=entrypoint.extractor,
        )
        launch = Launch(execution=execution, call=call, work=work, context=contextvars.copy_context())
        self._memory.add(execution, key)
        reader = self._returns.attend(execution)
        if self._slots.take(execution, entrypoint.tag, most=entrypoint.max_concurrent):
            self._start(launch)
        else:
            self._queued[execution] = launch
        return reader

    def _buffer(self, invocation_id: str, resumable: bool) -> ChunkBuffer:
        settings, loop = self.settings, asyncio.get_running_loop()
        self._budget.on_exceeded = partial(post, loop, self._memory.relieve)
        journals = resumable and self._journal is not None
        return ChunkBuffer(
            loop,
            window_chunks=settings.window_chunks,
            window_bytes=settings.window_bytes,
            ring=RingLimits(chunks=settings.ring_chunks, bytes=settings.ring_bytes) if resumable else None,
            budget=self._budget,
            on_chunk=partial(self._journal.produced, invocation_id) if journals and self._journal else None,
        )

    def _start(self, launch: Launch) -> None:
        execution = launch.execution
        task = launch.start(self._runner)
        self._recorder.started(execution.invocation, launch.call)
        # Not the task's own `finally`: a task that is cancelled before it begins never gets there.
        task.add_done_callback(lambda _: self._release(execution))

    def _release(self, execution: ActiveInvocation) -> None:
        execution.task = None
        for admitted in self._slots.release(execution):
            self._start(self._queued.pop(admitted))

    def _settled(self, execution: ActiveInvocation) -> None:
        invocation = execution.invocation
        invocation.end_time = self._now()
        launch = self._queued.pop(execution, None)
        if launch is not None:
            self._slots.release(execution)
            if self._draining:
                # It never ran, and may be asked for again, of whoever serves next.
                self._memory.drop(execution)
                return
            self._recorder.started(invocation, launch.call)
        first, last = execution.chunks.sample() if execution.chunks else ((), ())
        output = Output(elapsed=execution.elapsed, result=execution.result, first_chunks=first, last_chunks=last)
        # The memory may let go of the result at once.
        streams = execution.chunks is not None
        self._memory.end(
            execution,
            keeps_chunks=streams and execution.options.resumable,
            keeps_result=not streams and bool(invocation.request_id),
        )
        self._recorder.ended(invocation, output)

    def _give_up(self, execution: ActiveInvocation) -> None:
        """Ends what has not ended in time."""
        if execution in self._queued:
            execution.settle(InvocationState.CANCELLED, error=_shutting_down())
        else:
            error = AbortedError("The server shut down before the invocation ended.")
            execution.settle(InvocationState.LOST, error=error)


_CLEAN_UP_SECONDS = 2.0

_QUICKLY_READ_BYTES = 64 * 1024
"""How large a call may be to be read on the event loop: less than a millisecond's work."""


def _bound(call: Call, entrypoint: Entrypoint) -> BoundCall:
    return BoundCall(call, entrypoint, entrypoint.signature.bind(call.args, call.kwargs), fingerprint_of(call))


async def _ended(tasks: Iterable[asyncio.Task[None] | None], seconds: float) -> None:
    """Waits until the tasks have ended, but no longer than `seconds`."""
    waiting = [task for task in tasks if task is not None]
    if waiting:
        await asyncio.wait(waiting, timeout=seconds)


def _run_timeout(call: Call, entrypoint: Entrypoint, settings: EngineSettings) -> float | None:
    """Returns how long the run may take: what the caller says, else as long as the caller waits, else what the
    entrypoint's own default is, within both caps."""
    waits = None if call.on_disconnect is OnDisconnect.DETACH else call.deadline
    asked = next((each for each in (call.run_timeout, waits, entrypoint.timeout_seconds) if each is not None), None)
    bounds = (asked, entrypoint.max_timeout_seconds, settings.max_run_timeout)
    return min((bound for bound in bounds if bound is not None), default=None)


def _shutting_down() -> UnavailableError:
    return UnavailableError("The server is shutting down.", reason=Reason.SHUTTING_DOWN, retry_after=1.0)
