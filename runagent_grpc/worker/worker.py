"""A worker: one loaded agent, and the calls of it. The same in the server's process and in a process of its own.

It alone touches the author's objects: it binds arguments, calls functions, extracts and encodes what they give, and
captures what they print.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from runagent_grpc.core.manifest import AgentManifest
from runagent_grpc.core.runner import ChunkSink, Work
from runagent_grpc.current import CurrentInvocation, entered_invocation
from runagent_grpc.errors import (
    DeadlineExceededError,
    ExecutionFailedError,
    InvalidRequestError,
    NotFoundError,
    Reason,
    RunAgentError,
)
from runagent_grpc.values.payload import Payload, argument_value
from runagent_grpc.worker.agent import Agent
from runagent_grpc.worker.calling import BoundFunction, FunctionCaller, OutputRefusedError
from runagent_grpc.worker.entrypoint import Entrypoint
from runagent_grpc.worker.failure_text import failure_text
from runagent_grpc.worker.output import OutputCapture
from runagent_grpc.worker.threads import StoppedIterationError, Threads
from runagent_grpc.worker.webhook.errors import WebhookError, WebhookTimeoutError

__all__ = ["BoundWork", "Worker", "failure_of"]

T = TypeVar("T")

_logger = logging.getLogger(__name__)

_QUICKLY_BOUND_LENGTH = 64 * 1024
"""How long arguments may be to be bound on the event loop: less than a millisecond's work."""


class Worker:
    """Runs the calls of one agent on the event loop that they come on."""

    def __init__(
        self,
        agent: Agent,
        *,
        max_payload_bytes: int,
        threads: Threads | None = None,
        output: OutputCapture | None = None,
    ) -> None:
        """`max_payload_bytes` bounds a result or a chunk. `output` hears what entrypoints print and log."""
        self.manifest: AgentManifest = agent.manifest
        self._entrypoints = agent.entrypoints
        self._threads = threads or Threads()
        self._caller = FunctionCaller(max_payload_bytes=max_payload_bytes, threads=self._threads)
        self._output = output

    async def bind(self, work: Work) -> BoundWork:
        """Reads and binds the arguments of a call, off the event loop where that may take long.

        Raises InvalidRequestError for arguments that do not fit, and NotFoundError for an unknown entrypoint. Nothing
        of the entrypoint has run by then; validators of the author's may have.
        """
        entrypoint = self._entrypoints.get(work.entrypoint_tag)
        if entrypoint is None:
            raise NotFoundError(f"Entrypoint {work.entrypoint_tag} not found", reason=Reason.ENTRYPOINT_NOT_FOUND)
        if not entrypoint.signature.runs_foreign_code and _length_of(work) <= _QUICKLY_BOUND_LENGTH:
            function = _bound(work, entrypoint)
        else:
            bound = await self._threads.run(lambda: _bound_or_refused(work, entrypoint))
            if isinstance(bound, RunAgentError):
                raise bound
            function = bound
        return BoundWork(work, function, caller=self._caller, output=self._output)


class BoundWork:
    """A call whose arguments fit. Runs once; raises RunAgentError for whatever goes wrong."""

    def __init__(
        self, work: Work, function: BoundFunction, *, caller: FunctionCaller, output: OutputCapture | None
    ) -> None:
        self._work = work
        self._function = function
        self._caller = caller
        self._output = output

    async def result(self) -> Payload:
        """Returns the payload of what the function returns."""
        return await self._run(self._caller.run(self._function))

    async def stream(self, sink: ChunkSink) -> None:
        """Puts the payloads of what the function yields into `sink`."""
        await self._run(self._caller.stream(self._function, sink))

    def discard(self) -> None:
        """Gives the call up, which holds nothing yet."""

    async def _run(self, calling: Coroutine[Any, Any, T]) -> T:
        work = self._work
        entered_invocation.set(_current(work))
        if self._output is not None:
            self._output.begin(work.invocation_id)
        try:
            return await calling
        except OutputRefusedError as refusal:
            failure: RunAgentError = copy.copy(refusal.error)
        except WebhookError as failed:
            failure = _webhook_failure(failed, work)
        # Everything, for sys.exit() and a stray CancelledError of the author's must not end more than their own work.
        except BaseException as raised:
            if isinstance(raised, asyncio.CancelledError) and work.is_cancelled():
                raise
            failure = failure_of(raised, work.invocation_id, stopped=work.is_cancelled())
        finally:
            if self._output is not None:
                self._output.end(work.invocation_id)
        # Outside of the handlers: its context would keep the author's frames alive for as long as it is remembered.
        raise failure


def _webhook_failure(failed: WebhookError, work: Work) -> RunAgentError:
    # No code of the author's raised, so that no traceback says more.
    _logger.warning("A webhook failed: %s", failed, extra={"invocation_id": work.invocation_id})
    if isinstance(failed, WebhookTimeoutError):
        return DeadlineExceededError(str(failed))
    return ExecutionFailedError(str(failed))


def failure_of(raised: BaseException, invocation_id: str, *, stopped: bool = False) -> RunAgentError:
    """Returns the error of what the author's code raised, with its type as details, and logs its traceback.

    `stopped` says that the invocation had its outcome by then.
    """
    error = raised.__cause__ or raised if isinstance(raised, StoppedIterationError) else raised
    failure = ExecutionFailedError(failure_text(error), details=type(error).__name__)
    if stopped and isinstance(error, SystemExit | KeyboardInterrupt):
        # It has been logged where it was raised, and arrives here where that task was awaited.
        return failure
    text = "An entrypoint raised while it was stopped." if stopped else "An entrypoint raised."
    # A logging filter of the author's may raise anything.
    with contextlib.suppress(BaseException):
        _logger.warning(text, exc_info=_of_the_author(error), extra={"invocation_id": invocation_id})
    return failure


def _bound(work: Work, entrypoint: Entrypoint) -> BoundFunction:
    signature = entrypoint.signature
    arguments = signature.bind(
        [argument_value(payload, f"args[{index}]") for index, payload in enumerate(work.args)],
        {name: argument_value(payload, name) for name, payload in work.kwargs.items()},
    )
    return BoundFunction(
        function=entrypoint.function,
        args=arguments.args,
        kwargs=arguments.kwargs,
        is_cancelled=work.is_cancelled,
        returns_handle=signature.returns_handle,
        extractor=entrypoint.extractor,
    )


def _bound_or_refused(work: Work, entrypoint: Entrypoint) -> BoundFunction | RunAgentError:
    """Is `_bound` for a thread. Returns what that raises, which would take the place of a cancellation there."""
    try:
        return _bound(work, entrypoint)
    except RunAgentError as error:
        return error
    except BaseException as raised:  # noqa: BLE001 - a sys.exit() in a validator of the author's must not end us
        return InvalidRequestError(f"The validation of the arguments failed: {type(raised).__name__}.")


def _length_of(work: Work) -> int:
    return sum(map(len, work.args)) + sum(map(len, work.kwargs.values()))


def _current(work: Work) -> CurrentInvocation:
    return CurrentInvocation(
        invocation_id=work.invocation_id,
        agent_id=work.agent_id,
        entrypoint_tag=work.entrypoint_tag,
        user_id=work.user_id,
        persistent_memory=work.persistent_memory,
        is_cancelled=work.is_cancelled,
        seconds_remaining=work.seconds_remaining,
    )


def _of_the_author(error: BaseException) -> BaseException:
    """Drops our own frames from the top of a traceback, so that it begins in the author's code."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("runagent_grpc."):
        frames = frames.tb_next
    return error.with_traceback(frames) if frames is not None else error
