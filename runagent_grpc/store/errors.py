"""The error that a row says its invocation ended with."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.errors import Reason, RunAgentError, error_of

__all__ = ["LOST_CAUSE", "error_of_columns"]


LOST_CAUSE = "The server's process ended before the invocation did."
"""Why an invocation is lost that nobody has ended."""


def error_of_columns(columns: Mapping[str, Any], state: InvocationState) -> RunAgentError | None:
    """Returns the error that a row says its invocation ended with: columns `invocation_id`, `reason`, `message` and
    `cause`."""
    if state in (InvocationState.QUEUED, InvocationState.RUNNING, InvocationState.COMPLETED):
        return None
    if state is InvocationState.LOST and columns["reason"] is None:
        # A server that ends in order says itself what is lost, and why.
        reason, message = Reason.INVOCATION_LOST, LOST_CAUSE
    else:
        reason = Reason.INTERNAL_ERROR
        # This version has no word for a later version's reason.
        with contextlib.suppress(ValueError):
            reason = Reason(columns["reason"])
        message = columns["message"] or columns["cause"]
    return error_of(reason, message, invocation_id=columns["invocation_id"])
