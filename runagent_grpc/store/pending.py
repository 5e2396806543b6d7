"""The requests that are not in the file yet, or not as they stand now: claimed in memory, or told to the writer."""

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
        self._claimed: dict[RequestKey, InvocationRecord] = {}
        """Those whose invocations have not begun."""
        self._shared = False
        self._was_shared = False

    def add(self, event: Started | Ended) -> None:
        """Takes note of what the writer is about to be told."""
        record = event.record
        if record.request_id:
            key = _key_of(record)
            with self._lock:
                self._latest[key] = event
                self._claimed.pop(key, None)

    def written(self, events: Iterable[Event]) -> None:
        """Forgets what is in the file."""
        with self._lock:
            for event in events:
                if isinstance(event, Started | Ended) and event.record.request_id:
                    key = _key_of(event.record)
                    # Unless more was told of it since.
                    if self._latest.get(key) is event:
                        del self._latest[key]

    def claim(self, key: RequestKey, record: InvocationRecord) -> bool:
        """Claims a request in memory. Returns False where other servers would not know of it."""
        with self._lock:
            if not self._shared:
                self._claimed[key] = record
            return not self._shared

    def release(self, key: RequestKey) -> bool:
        """Gives a claim up. Returns whether it may be in the store, too."""
        with self._lock:
            self._claimed.pop(key, None)
            return self._was_shared

    def share(self) -> list[InvocationRecord]:
        """Takes no more claims in memory. Returns the invocations that other servers cannot find in the file."""
        with self._lock:
            self._shared = self._was_shared = True
            return [*self._claimed.values(), *(event.record for event in self._latest.values())]

    def unshare(self) -> None:
        """Takes claims in memory again: no other server serves the agent."""
        with self._lock:
            self._shared = False

    def find(self, key: RequestKey) -> InvocationRecord | None:
        """Returns the invocation that a request started, where it waits to be written."""
        event = self._latest.get(key)
        return None if event is None else event.record


def _key_of(record: InvocationRecord) -> RequestKey:
    return RequestKey(record.owner, record.agent_id, record.request_id)
