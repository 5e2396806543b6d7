"""Where errors leave the process over gRPC: a known one as its status, any other scrubbed."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

import grpc
from grpc_status import rpc_status

from runagent_grpc.contract.messages import status_to
from runagent_grpc.errors import InternalError, RunAgentError

__all__ = ["Context", "abort", "failures_become_status"]

_logger = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


def failures_become_status(context: Context) -> AbstractAsyncContextManager[None, None]:
    """Ends the call with the status of what is raised inside.

    An exception that escapes a grpc.aio handler would send its text to the caller.
    """
    return _Boundary(context)


class _Boundary(AbstractAsyncContextManager[None, None]):
    """A class, for it is on every call's path: half the cost of a generator."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __aenter__(self) -> None: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, RunAgentError):
            await abort(self._context, error)
        elif isinstance(error, grpc.aio.InternalError):
            raise _caller_gone() from None
        elif isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
            _logger.error("A call failed inside the server.", exc_info=error)
            await abort(self._context, InternalError("Internal error."))


async def abort(context: Context, error: RunAgentError) -> None:
    """Ends the call with the status of `error`. Always raises, as grpc.aio wants it."""
    try:
        await context.abort_with_status(rpc_status.to_status(status_to(error)))
    except grpc.aio.InternalError:
        raise _caller_gone() from None


def _caller_gone() -> asyncio.CancelledError:
    # Sending to a caller that has just left fails with an InternalError ("Failed execute_batch") where the
    # cancellation of the handler has not been delivered yet. It is no more than that.
    return asyncio.CancelledError()
