"""Takes calls, checks them, runs them, and knows what runs. Every transport speaks to this one class.

Knows no gRPC, no HTTP and no SQL (docs/design.md, engine). All of it runs on one event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from runagent_grpc.agent import Agent, BoundArguments, Entrypoint
from runagent_grpc.current import CurrentInvocation, entered_invocation
from runagent_grpc.engine.call import Call, OnDisconnect
from runagent_grpc.engine.execution import Execution, Reader
from runagent_grpc.engine.ids import new_invocation_id
from runagent_grpc.engine.invocation import Invocation, InvocationState
from runagent_grpc.engine.recorder import NullRecorder, Output, Recorder
from runagent_grpc.engine.runner import InProcessRunner, OutputRefusedError, Runner, Work
from runagent_grpc.engine.settings import EngineSettings
from runagent_grpc.engine.threads import StoppedIterationError, Threads
from runagent_grpc.errors import (
    ExecutionFailedError,
    InvalidRequestError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)

__all__ = ["BoundCall", "Engine"]

_logger = logging.getLogger(__name__)


class BoundCall(NamedTuple):
    """A call, and its arguments as the function takes them."""

    call: Call
    arguments: BoundArguments


class Engine:
    """Runs the entrypoints of one agent."""

    def __init__(
        self,
        agent: Agent,
        *,
        settings: EngineSettings | None = None,
        runner: Runner | None = None,
        recorder: Recorder | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = new_invocation_id,
    ) -> None:
        self.agent = agent
        self.settings = settings or EngineSettings()
        self._threads = Threads()
        self._runner = runner or InProcessRunner(
            max_payload_bytes=self.settings.max_payload_bytes, threads=self._threads
        )
        self._recorder = recorder or NullRecorder()
        self._now = now
        self._new_id = new_id
        self._active: set[Execution] = set()
        self._live: dict[str, Execution] = {}
        self._ended: OrderedDict[str, Invocation] = OrderedDict()
        self._draining = False

    @property
    def running(self) -> int:
        """How many invocations have no outcome yet."""
        return len(self._live)

    @property
    def active(self) -> int:
        """How many invocations hold a slot: those that run, and those that ended but whose code goes on."""
        return len(self._active)

    @property
    def draining(self) -> bool:
        """Whether the engine takes no more calls."""
        return self._draining

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
            call = read()
            return BoundCall(call, entrypoint.signature.bind(call.args, call.kwargs))

        if size <= _QUICKLY_READ_BYTES and not entrypoint.signature.runs_foreign_code:
            return bind()
        return await self._threads.run(bind)

    async def bind(self, call: Call, *, streaming: bool, size: int = 0) -> BoundCall:
        """Binds the arguments of a call that has been read already, as `read` does. Raises as `open` does."""
        entrypoint = self.entrypoint(call.agent_id, call.entrypoint_tag, streaming=streaming)
        return await self.read(entrypoint, lambda: call, size=size)

    def open(self, call: Call | BoundCall, *, streaming: bool) -> Reader:
        """Starts an invocation, and returns the caller's hold on it, which the caller must leave (it is a `with`).

        Raises, before any code of the author's runs, NotFoundError for an unknown agent or tag, InvalidRequestError
        for the wrong mode or arguments that do not fit, ResourceExhaustedError when the engine is full, and
        UnavailableError when it is draining.
        """
        call, bound = call if isinstance(call, BoundCall) else (call, None)
        entrypoint = self.entrypoint(call.agent_id, call.entrypoint_tag, streaming=streaming)
        bound = bound or entrypoint.signature.bind(call.args, call.kwargs)
        if self._draining:
            raise UnavailableError("The server is shutting down.", reason=Reason.SHUTTING_DOWN, retry_after=1.0)
        if len(self._active) >= self.settings.max_invocations:
            raise ResourceExhaustedError(
                f"The server runs {self.settings.max_invocations:,} invocations already.", retry_after=1.0
            )
        execution = self._start(call)
        self._recorder.started(execution.invocation, call)
        work = Work(
            function=entrypoint.function, args=bound.args, kwargs=bound.kwargs, is_cancelled=execution.is_settled
        )
        context = contextvars.copy_context()
        context.run(entered_invocation.set, _current(execution, call))
        execution.task = asyncio.create_task(self._drive(execution, work, streaming=streaming), context=context)
        # Not the task's own `finally`: a task that is cancelled before it begins never gets there.
        execution.task.add_done_callback(lambda _: self._active.discard(execution))
        return Reader(execution)

    def cancel(self, invocation_id: str, *, owner: str = "") -> Invocation:
        """Cancels an invocation unless it has ended, and returns its record; its `finally` may still run.

        Raises NotFoundError for an id that is unknown, or that is another owner's.
        """
        invocation = self.find(invocation_id, owner=owner)
        execution = self._live.get(invocation_id)
        if execution is not None:
            execution.cancel("The invocation was cancelled.")
        return invocation

    def find(self, invocation_id: str, *, owner: str = "") -> Invocation:
        """Returns the record of an invocation that runs or ended lately.

        Raises NotFoundError for an id that is unknown, or that is another owner's.
        """
        execution = self._live.get(invocation_id)
        invocation = execution.invocation if execution else self._ended.get(invocation_id)
        if invocation is None or invocation.owner != owner:
            raise NotFoundError("Invocation not found", reason=Reason.INVOCATION_NOT_FOUND)
        return invocation

    async def drain(self, grace: float) -> None:
        """Takes no more calls, waits up to `grace` seconds for those that run, and cancels the rest."""
        self._draining = True
        await _ended((execution.task for execution in self._live.values()), grace)
        for execution in list(self._live.values()):
            execution.cancel("The server is shutting down.")
        # Enough for `finally` blocks; code that ignores its cancellation is left behind.
        await _ended((execution.task for execution in self._active), _CLEAN_UP_SECONDS)

    def _start(self, call: Call) -> Execution:
        settings = self.settings
        invocation = Invocation(
            invocation_id=self._new_id(),
            agent_id=self.agent.agent_id,
            entrypoint_tag=call.entrypoint_tag,
            owner=call.owner,
            start_time=self._now(),
        )
        invocation.move(InvocationState.RUNNING)
        execution = Execution(
            invocation,
            window_chunks=settings.window_chunks,
            window_bytes=settings.window_bytes,
            heartbeat_interval=settings.heartbeat_interval,
            run_timeout=_run_timeout(call, settings),
            on_settled=self._settled,
        )
        self._active.add(execution)
        self._live[invocation.invocation_id] = execution
        return execution

    async def _drive(self, execution: Execution, work: Work, *, streaming: bool) -> None:
        """Runs the work, and settles the outcome unless it is settled already."""
        try:
            if streaming:
                await self._runner.stream(work, execution.chunks)
                execution.settle(InvocationState.COMPLETED)
            else:
                execution.settle(InvocationState.COMPLETED, result=await self._runner.run(work))
        except OutputRefusedError as refusal:
            execution.settle(InvocationState.FAILED, error=refusal.error)
        # Everything, for sys.exit() and a stray CancelledError of the author's must not end more than their own work.
        except BaseException as raised:
            error = raised.__cause__ or raised if isinstance(raised, StoppedIterationError) else raised
            if execution.is_settled():
                if not isinstance(error, asyncio.CancelledError):
                    _logger.warning("An entrypoint raised while it was stopped.", exc_info=_of_the_author(error))
            else:
                # The caller's answer first: a logging filter of the author's may raise, too.
                execution.settle(InvocationState.FAILED, error=ExecutionFailedError(_text_of(error)))
                _logger.warning(
                    "An entrypoint raised.",
                    exc_info=_of_the_author(error),
                    extra={"invocation_id": execution.invocation.invocation_id},
                )
            # Its traceback refers to this frame, which must not refer to it in turn.
            del error

    def _settled(self, execution: Execution) -> None:
        invocation = execution.invocation
        invocation.end_time = self._now()
        del self._live[invocation.invocation_id]
        self._ended[invocation.invocation_id] = invocation
        if len(self._ended) > self.settings.remembered_invocations:
            self._ended.popitem(last=False)
        first, last = execution.chunks.sample()
        output = Output(elapsed=execution.elapsed, result=execution.result, first_chunks=first, last_chunks=last)
        self._recorder.ended(invocation, output)


_CLEAN_UP_SECONDS = 2.0

_QUICKLY_READ_BYTES = 64 * 1024
"""How large a call may be to be read on the event loop: less than a millisecond's work."""


async def _ended(tasks: Iterable[asyncio.Task[None] | None], seconds: float) -> None:
    """Waits until the tasks have ended, but no longer than `seconds`."""
    waiting = [task for task in tasks if task is not None]
    if waiting:
        await asyncio.wait(waiting, timeout=seconds)


def _run_timeout(call: Call, settings: EngineSettings) -> float | None:
    """Returns how long the run may take: what the caller says, else as long as the caller waits, within the cap."""
    waits = None if call.on_disconnect is OnDisconnect.DETACH else call.deadline
    asked = waits if call.run_timeout is None else call.run_timeout
    bounds = [bound for bound in (asked, settings.max_run_timeout) if bound is not None]
    return min(bounds, default=None)


def _current(execution: Execution, call: Call) -> CurrentInvocation:
    invocation = execution.invocation
    return CurrentInvocation(
        invocation_id=invocation.invocation_id,
        agent_id=invocation.agent_id,
        entrypoint_tag=invocation.entrypoint_tag,
        user_id=call.user_id,
        persistent_memory=call.persistent_memory,
        is_cancelled=execution.is_settled,
        seconds_remaining=execution.seconds_remaining,
    )


def _text_of(error: BaseException) -> str:
    """Returns the exception's text, or its type's name where it has none or cannot say it."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - the author's __str__ may raise anything, a SystemExit that ends us too
        text = ""
    return text or type(error).__name__


def _of_the_author(error: BaseException) -> BaseException:
    """Drops our own frames from the top of a traceback, so that it begins in the author's code."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("runagent_grpc."):
        frames = frames.tb_next
    return error.with_traceback(frames) if frames is not None else error
