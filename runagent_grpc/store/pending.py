"""The requests that the writer was told of and that are not in the file yet, or not as they stand now."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from runagent_grpc.core.invocation import Invocation
from runagent_grpc.core.store import Archived, RequestKey
from runagent_grpc.store.writer import Ended, Event, Started

__all__ = ["PendingRequests"]


class PendingRequests:
    """Each with the latest that is known of it. Holds on to nothing that does not wait for the writer anyway."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: dict[RequestKey, Started | Ended] = {}

    def add(self, event: Started | Ended) -> None:
        """Takes note of what the writer is about to be told."""
        invocation = event.invocation
        if invocation.request_id:
            with self._lock:
                self._latest[_key_of(invocation)] = event

    def written(self, events: Iterable[Event]) -> None:
        """Forgets what is in the file."""
        with self._lock:
            for event in events:
                if isinstance(event, Started | Ended) and event.invocation.request_id:
                    key = _key_of(event.invocation)
                    # Unless more was told of it since.
                    if self._latest.get(key) is event:
                        del self._latest[key]

    def find(self, key: RequestKey) -> Archived | None:
        """Returns the invocation that a request started, where it waits to be written."""
        event = self._latest.get(key)
        match event:
            case Ended(invocation, output):
                return Archived(invocation=invocation, elapsed=output.elapsed, result=output.result)
            case Started(invocation):
                return Archived(invocation=invocation)
        return None


def _key_of(invocation: Invocation) -> RequestKey:
    return RequestKey(invocation.owner, invocation.agent_id, invocation.request_id)
