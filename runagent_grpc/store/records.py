"""What history tells about the past."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.errors import Reason, RunAgentError, error_of

__all__ = ["LOST_CAUSE", "InvocationPage", "InvocationStats", "LogPage", "RecordedLine", "error_of_columns"]


LOST_CAUSE = "The server's process ended before the invocation did."
"""Why an invocation is lost that nobody has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationPage:
    """Invocations, the newest first."""

    invocations: tuple[InvocationRecord, ...]
    next_token: str
    """Where the next page starts. Empty: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationStats:
    """How many invocations there are, and how they fared."""

    total: int
    states: Mapping[InvocationState, int]
    """How many are in each state that any is in."""
    average_seconds: float | None
    """How long those that completed ran, on average."""
    last_start: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedLine:
    """A line that an entrypoint printed or logged."""

    number: int
    invocation_id: str
    agent_id: str
    time: datetime
    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Lines, the oldest first."""

    lines: tuple[RecordedLine, ...]
    next_token: str
    """Where the next page starts, also for lines that are yet to come. Empty: nothing is kept."""


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
