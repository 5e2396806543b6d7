"""The port to what is kept longer than the engine's cache, and longer than its process lives."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.values.payload import Payload

__all__ = ["InvocationStore", "NullInvocationStore", "RequestKey"]


class RequestKey(NamedTuple):
    """What makes two calls the same request: who calls, the agent, and the caller's own id for the call."""

    owner: str
    agent_id: str
    request_id: str


class InvocationStore(Protocol):
    """Answers for invocations that the engine does not know, or knows no longer.

    The records that it returns have a `result` only where that is whole and unmasked, and are LOST where the process
    that ran them has died.
    """

    async def claim(self, record: InvocationRecord, *, patience: float | None = None) -> InvocationRecord | None:
        """Claims the request_id of an invocation that is about to start. Returns None where this call has it now, and
        otherwise the invocation that an equal request started, here or on another server of the store. While another
        server has the request and has not started, this waits: `patience` seconds, or as long as it takes.

        Raises TimeoutError where that is not enough, and UnavailableError where a claim cannot be made, so that nothing
        runs twice.
        """

    def release(self, record: InvocationRecord) -> None:
        """Gives up the claim of an invocation that never started, if it has one, so that the request may be made
        again. Returns at once and never raises."""

    async def find(self, invocation_id: str, *, owner: str, agent_ids: Collection[str]) -> InvocationRecord | None:
        """Returns an invocation, or None for an id that is unknown, another owner's, or that of another agent than
        these: servers of several agents may share a store."""

    async def ended(self, record: InvocationRecord) -> InvocationRecord | None:
        """Waits until an invocation that another server of the store runs has ended, and returns it as `claim` does.
        Returns None where nothing is kept of it any more."""

    async def chunks(self, invocation_id: str, after: int) -> Sequence[Payload]:
        """Returns the journaled chunks after number `after`, consecutive, some of them or all. None are left when it
        returns nothing. Asked only for what runs in the engine, or what `find` returned."""


class NullInvocationStore:
    """Keeps nothing."""

    async def claim(self, record: InvocationRecord, *, patience: float | None = None) -> InvocationRecord | None:
        return None

    def release(self, record: InvocationRecord) -> None: ...

    async def find(self, invocation_id: str, *, owner: str, agent_ids: Collection[str]) -> InvocationRecord | None:
        return None

    async def ended(self, record: InvocationRecord) -> InvocationRecord | None:
        return None

    async def chunks(self, invocation_id: str, after: int) -> Sequence[Payload]:
        return ()
