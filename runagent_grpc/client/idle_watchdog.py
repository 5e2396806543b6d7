"""Does for streams what their own threads cannot: notices that nothing comes any more, and takes leave when dropped."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.client.transport_sync import Events

__all__ = ["IdleWatchdog", "Watched"]


class Watched(Protocol):
    """A stream that can fall silent."""

    @property
    def silent_after(self) -> float | None:
        """When the stream counts as silent, on the watchdog's clock. None: it is not to be watched now."""

    def on_silence(self) -> None:
        """Wakes whoever waits for the stream. Called on the watchdog's thread; from then on `silent_after` is None."""

    def on_client_closed(self) -> None:
        """Ends the stream together with its client."""


class IdleWatchdog:
    """One thread for all streams of a client; it runs while there are any."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, interval: float = 1.0) -> None:
        self.clock = clock
        self._interval = interval
        # Reentrant: a signal's handler may close a stream while its thread is just here.
        self._lock = threading.RLock()
        self._streams: weakref.WeakSet[Watched] = weakref.WeakSet()
        self._count = 0
        """Of those that were added, and not removed or left since: garbage is in no set, and has still to be left."""
        self._watching = False
        # The one thing that may be done to it while garbage is collected is to put something in.
        self._dropped: queue.SimpleQueue[tuple[Events, pb.CancelInvocationRequest | None]] = queue.SimpleQueue()

    def add(self, stream: Watched) -> None:
        """Watches a stream until it is removed, or left."""
        with self._lock:
            self._streams.add(stream)
            self._count += 1
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="runagent-silence", daemon=True).start()

    def remove(self, stream: Watched) -> None:
        """Watches a stream no more."""
        with self._lock:
            if stream in self._streams:
                self._streams.discard(stream)
                self._count -= 1

    def streams(self) -> list[Watched]:
        """Returns those that are watched."""
        with self._lock:
            return list(self._streams)

    def drop(self, events: Events, cancel_request: pb.CancelInvocationRequest | None) -> None:
        """Drops a stream that is being collected, soon, and on the watchdog's thread. Takes no lock."""
        self._dropped.put((events, cancel_request))

    def _watch(self) -> None:
        while self._goes_on():
            self._drop_collected()
            now = self.clock()
            streams = self.streams()
            for stream in streams:
                limit = stream.silent_after
                if limit is not None and now >= limit:
                    with contextlib.suppress(Exception):
                        # One that cannot be woken must not keep the others from it.
                        stream.on_silence()
            # What is held here would not be dropped by its caller's letting go.
            del streams
            stream = None  # type: ignore[assignment] # the loop's variable holds one, too

    def _goes_on(self) -> bool:
        with self._lock:
            self._watching = self._count > 0
            return self._watching

    def _drop_collected(self) -> None:
        """Waits for an interval, or for the first stream that is collected, and drops those that were."""
        with contextlib.suppress(queue.Empty):
            timeout = self._interval
            while True:
                events, cancel_request = self._dropped.get(timeout=timeout)
                with self._lock:
                    self._count -= 1
                with contextlib.suppress(Exception):
                    events.drop(cancel_request)
                timeout = 0.0
