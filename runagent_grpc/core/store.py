"""What the engine asks of whoever keeps things longer than its memory does, and longer than its process lives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from runagent_grpc.core.invocation import Invocation
from runagent_grpc.values.payload import Payload

__all__ = ["Archived", "InvocationStore", "Journal", "NullInvocationStore", "RequestKey"]


class RequestKey(NamedTuple):
    """What makes two calls the same request: whoever's key it is, the agent, and the caller's own id for it."""

    owner: str
    agent_id: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """An invocation that this process does not know, or knows no more."""

    invocation: Invocation
    """Its record, with the error that it ended with; LOST where its process died."""
    elapsed: float = 0.0
    """How many seconds it ran."""
    result: Payload | None = None
    """What it returned, whole and unmasked. None where that is not kept."""


class InvocationStore(Protocol):
    """Answers for what is kept on a disk."""

    def find_request(self, key: RequestKey) -> Archived | None:
        """Returns the invocation that a request started. Asked on the event loop for every call with a request_id:
        one look into an index."""

    async def find(self, invocation_id: str, *, owner: str, agent_ids: Collection[str]) -> Archived | None:
        """Returns an invocation, or None for an id that is unknown, another owner's, or that of another agent than
        these: servers of several agents may share an archive."""

    async def chunks(self, invocation_id: str, after: int) -> Sequence[Payload]:
        """Returns the journaled chunks behind number `after`, consecutive, some of them or all. None are left when it
        returns nothing. Asked only for what runs in the engine, or what `find` returned."""


class Journal(Protocol):
    """Keeps the chunks of streams that can be resumed."""

    def produced(self, invocation_id: str, sequence: int, payload: Payload) -> None:
        """Takes note of a chunk. Called on any thread, in order; returns at once and never raises."""


class NullInvocationStore:
    """Keeps nothing."""

    def find_request(self, key: RequestKey) -> Archived | None:
        return None

    async def find(self, invocation_id: str, *, owner: str, agent_ids: Collection[str]) -> Archived | None:
        return None

    async def chunks(self, invocation_id: str, after: int) -> Sequence[Payload]:
        return ()
