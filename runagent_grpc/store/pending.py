"""The requests that the writer was told of and that are not in the file yet, or not as they stand now."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.store import RequestKey
from runagent_grpc.store.writer import Ended, Event, Started

__all__ = ["PendingRequests"]


class PendingRequests:
    """Each with the latest that is known of it. Holds on to nothing that does not wait for the writer anyway."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[RequestKey, Started | Ended] = {}

    def add(self, event: Started | Ended) -> None:
        """Takes note of what the writer is about to be told."""
        record = event.record
        if record.request_id:
            with self._lock:
                self._latest[_key_of(record)] = event

    def written(self, events: Iterable[Event]) -> None:
        """Forgets what is in the file."""
        with self._lock:
            for event in events:
                if isinstance(event, Started | Ended) and event.record.request_id:
                    key = _key_of(event.record)
                    # Unless more was told of it since.
                    if self._latest.get(key) is event:
                        del self._latest[key]

    def find(self, key: RequestKey) -> InvocationRecord | None:
        """Returns the invocation that a request started, where it waits to be written."""
        event = self._latest.get(key)
        return None if event is None else event.record


def _key_of(record: InvocationRecord) -> RequestKey:
    return RequestKey(record.owner, record.agent_id, record.request_id)
