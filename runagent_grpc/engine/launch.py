"""How an invocation's work is driven to its outcome, once there is a slot for it."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from dataclasses import dataclass

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.current import CurrentInvocation, entered_invocation
from runagent_grpc.engine.active import ActiveInvocation
from runagent_grpc.errors import DeadlineExceededError, ExecutionFailedError
from runagent_grpc.runners.in_process import OutputRefusedError, Runner, Work
from runagent_grpc.worker.threads import StoppedIterationError
from runagent_grpc.worker.webhook.errors import WebhookError, WebhookTimeoutError

__all__ = ["Launch", "fail"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """An invocation that is ready to run, in the context of its call."""

    execution: ActiveInvocation
    call: Call
    work: Work
    context: contextvars.Context

    def start(self, runner: Runner) -> asyncio.Task[None]:
        """Runs the work in a task, which settles the outcome unless it is settled already."""
        self.context.run(entered_invocation.set, _current(self.execution, self.call))
        self.execution.start()
        task = asyncio.get_running_loop().create_task(_drive(self.execution, self.work, runner), context=self.context)
        self.execution.task = task
        return task


async def _drive(execution: ActiveInvocation, work: Work, runner: Runner) -> None:
    try:
        if execution.chunks is not None:
            await runner.stream(work, execution.chunks)
            execution.settle(InvocationState.COMPLETED)
        else:
            execution.settle(InvocationState.COMPLETED, result=await runner.run(work))
    except OutputRefusedError as refusal:
        execution.settle(InvocationState.FAILED, error=refusal.error)
    except WebhookError as failure:
        _settle_webhook(execution, failure)
    # Everything, for sys.exit() and a stray CancelledError of the author's must not end more than their own work.
    except BaseException as raised:
        error = raised.__cause__ or raised if isinstance(raised, StoppedIterationError) else raised
        if execution.is_settled():
            # One that failed by an exit has been logged by then; here it arrives where its task was awaited.
            exits = (SystemExit, KeyboardInterrupt) if execution.invocation.state is InvocationState.FAILED else ()
            if not isinstance(error, (asyncio.CancelledError, *exits)):
                _logger.warning("An entrypoint raised while it was stopped.", exc_info=_of_the_author(error))
        else:
            fail(execution, error)
        # Its traceback refers to this frame, which must not refer to it in turn.
        del error


def fail(execution: ActiveInvocation, error: BaseException) -> None:
    """Ends an invocation, which has no outcome yet, with what the author's code has raised."""
    # The caller's answer first: a logging filter of the author's may raise, too.
    execution.settle(InvocationState.FAILED, error=ExecutionFailedError(_text_of(error)))
    _logger.warning(
        "An entrypoint raised.",
        exc_info=_of_the_author(error),
        extra={"invocation_id": execution.invocation.invocation_id},
    )


def _settle_webhook(execution: ActiveInvocation, failure: WebhookError) -> None:
    """Ends what a webhook's target has failed. No code of the author's raised, so that no traceback tells more."""
    text = str(failure)
    if isinstance(failure, WebhookTimeoutError):
        execution.settle(InvocationState.TIMED_OUT, error=DeadlineExceededError(text))
    else:
        execution.settle(InvocationState.FAILED, error=ExecutionFailedError(text))
    _logger.warning("A webhook failed: %s", text, extra={"invocation_id": execution.invocation.invocation_id})


def _current(execution: ActiveInvocation, call: Call) -> CurrentInvocation:
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
    """Returns the exception's text, or its type's name where it has none or cannot say it.

    The text of a SystemExit is often a bare number, so that it says what was called.
    """
    try:
        text = _exit_text_of(error) if type(error) is SystemExit else str(error)
    except BaseException:  # noqa: BLE001 - the author's __str__ may raise anything, a SystemExit that ends us too
        text = ""
    return text or type(error).__name__


def _exit_text_of(error: SystemExit) -> str:
    match error.code:
        case None:
            argument = ""
        case str():
            argument = json.dumps(error.code, ensure_ascii=False)
        case _:
            argument = str(error.code)
    return f"The entrypoint called sys.exit({argument})."


def _of_the_author(error: BaseException) -> BaseException:
    """Drops our own frames from the top of a traceback, so that it begins in the author's code."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith("runagent_grpc."):
        frames = frames.tb_next
    return error.with_traceback(frames) if frames is not None else error
