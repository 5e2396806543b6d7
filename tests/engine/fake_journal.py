"""An archive and a journal that keep things in memory, as a store does on a disk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from runagent_grpc.core.invocation import Invocation, InvocationState
from runagent_grpc.core.store import Archived, RequestKey
from runagent_grpc.values.payload import Payload

__all__ = ["Shelf", "record_of"]


class Shelf:
    """Both an archive and a journal. What is not put there by the engine, a test puts there."""

    def __init__(self, *, page: int = 3) -> None:
        self._page = page
        self.journaled: dict[str, list[Payload]] = defaultdict(list)
        self.kept: dict[str, Archived] = {}
        self.asked: list[RequestKey] = []

    def produced(self, invocation_id: str, sequence: int, payload: Payload) -> None:
        chunks = self.journaled[invocation_id]
        assert sequence == len(chunks) + 1, "Chunks come in order."
        chunks.append(payload)

    def keep(self, invocation: Invocation, *, result: Payload | None = None, elapsed: float = 1.5) -> None:
        self.kept[invocation.invocation_id] = Archived(invocation=invocation, result=result, elapsed=elapsed)

    def find_request(self, key: RequestKey) -> Archived | None:
        self.asked.append(key)
        for archived in self.kept.values():
            invocation = archived.invocation
            if (invocation.owner, invocation.agent_id, invocation.request_id) == key:
                return archived
        return None

    async def find(self, invocation_id: str, *, owner: str, agent_ids: Collection[str]) -> Archived | None:
        archived = self.kept.get(invocation_id)
        if archived is None or archived.invocation.owner != owner or archived.invocation.agent_id not in agent_ids:
            return None
        return archived

    async def chunks(self, invocation_id: str, after: int) -> Sequence[Payload]:
        return self.journaled[invocation_id][after : after + self._page]


def record_of(state: InvocationState, *, tag: str = "async_stream", **fields: Any) -> Invocation:
    """The record of an invocation of an earlier process."""
    values = {"invocation_id": "an-id", "agent_id": "test-agent", "owner": "", "entrypoint_tag": tag} | fields
    return Invocation(start_time=datetime(2024, 1, 1, tzinfo=UTC), state=state, **values)
