"""The port to what is kept of the past: invocations, how they fared, and what they printed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from runagent_grpc.core.invocation import InvocationRecord, InvocationState

__all__ = [
    "DEFAULT_PAGE_SIZE",
    "MAX_PAGE_SIZE",
    "InvocationHistory",
    "InvocationPage",
    "InvocationStats",
    "LogPage",
    "RecordedLine",
]

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000


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


class InvocationHistory(Protocol):
    """Answers for what was recorded, of this server and of every other that records in the same place.

    Where an `owner` is given, only what was started with their key is there. A `limit` of 0 stands for
    DEFAULT_PAGE_SIZE, and none is above MAX_PAGE_SIZE. Every method raises InternalError where the history cannot be
    read.
    """

    def of_agents(self, agent_ids: Collection[str]) -> InvocationHistory:
        """Returns the part of this history that belongs to these agents. It never holds more than this one does."""

    async def get(self, invocation_id: str, *, owner: str | None = None) -> InvocationRecord:
        """Returns one invocation with its input and output. Raises NotFoundError where there is none of that id."""

    async def page(
        self,
        *,
        agent_id: str = "",
        states: Collection[InvocationState] = (),
        limit: int = DEFAULT_PAGE_SIZE,
        token: str = "",
        owner: str | None = None,
        payloads: bool = False,
    ) -> InvocationPage:
        """Returns invocations, the newest first: of one agent or of all, in some states or in any.

        Input and output are there only where `payloads` asks for them. Raises InvalidRequestError for a token that no
        page gave.
        """

    async def stats(self, *, agent_id: str = "", owner: str | None = None) -> InvocationStats:
        """Counts invocations, of one agent or of all."""

    async def logs(
        self,
        *,
        agent_id: str = "",
        invocation_id: str = "",
        limit: int = DEFAULT_PAGE_SIZE,
        token: str = "",
        owner: str | None = None,
    ) -> LogPage:
        """Returns the lines after a token's, the oldest first: of one agent or invocation, or of all.

        Raises InvalidRequestError for a token that no page gave.
        """
