"""An archive and a journal that keep things in memory, as a store does on a disk."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.store import RequestKey
from runagent_grpc.values.payload import Payload

__all__ = ["Shelf", "record_of"]


class Shelf:
    """Both an archive and a journal. What is not put there by the engine, a test puts there."""

    def __init__(self, *, page: int = 3) -> None:
        self._page = page
        self.journaled: dict[str, list[Payload]] = defaultdict(list)
        self.kept: dict[str, InvocationRecord] = {}
        self.asked: list[RequestKey] = []
        self.released: list[str] = []
        self.changed = asyncio.Event()

    def produced(self, invocation_id: str, sequence: int, payload: Payload) -> None:
        chunks = self.journaled[invocation_id]
        assert sequence == len(chunks) + 1, "Chunks come in order."
        chunks.append(payload)

    def keep(self, record: InvocationRecord, *, result: Payload | None = None, elapsed: float = 1.5) -> None:
        self.kept[record.invocation_id] = replace(record, result=result, elapsed=elapsed)
        self.changed.set()

    async def claim(self, record: InvocationRecord, *, patience: float | None = None) -> InvocationRecord | None:
        key = RequestKey(record.owner, record.agent_id, record.request_id)
        self.asked.append(key)
        for kept in self.kept.values():
            if (kept.owner, kept.agent_id, kept.request_id) == key:
                return kept
        return None

    def release(self, record: InvocationRecord) -> None:
        self.released.append(record.request_id)

    async def find(self, invocation_id: str, *, owner: str, agent_ids: Collection[str]) -> InvocationRecord | None:
        kept = self.kept.get(invocation_id)
        return kept if kept is not None and kept.owner == owner and kept.agent_id in agent_ids else None

    async def ended(self, record: InvocationRecord) -> InvocationRecord | None:
        while (kept := self.kept.get(record.invocation_id)) is not None and not kept.state.ended:
            self.changed.clear()
            await self.changed.wait()
        return kept

    async def chunks(self, invocation_id: str, after: int) -> Sequence[Payload]:
        return self.journaled[invocation_id][after : after + self._page]


def record_of(state: InvocationState, *, tag: str = "async_stream", **fields: Any) -> InvocationRecord:
    """The record of an invocation of an earlier process."""
    values = {"invocation_id": "an-id", "agent_id": "test-agent", "owner": "", "entrypoint_tag": tag} | fields
    return InvocationRecord(start_time=datetime(2024, 1, 1, tzinfo=UTC), state=state, **values)
