"""Notices streams on which nothing comes any more, for threads that block in a read cannot."""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

__all__ = ["SilenceWatch", "Watched"]


class Watched(Protocol):
    """A stream that can fall silent."""

    @property
    def silent_after(self) -> float | None:
        """The moment, on the watch's clock, from which on the stream counts as silent. None: not to be watched now."""

    def on_silence(self) -> None:
        """Ends the stream. Called on the watch's thread, once."""


class SilenceWatch:
    """One thread for all streams of a client; it runs while there are any."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, interval: float = 1.0) -> None:
        self.clock = clock
        self._interval = interval
        # Reentrant: what is done under it may collect garbage, and so end a dropped stream, which removes itself.
        self._lock = threading.RLock()
        self._streams: weakref.WeakSet[Watched] = weakref.WeakSet()
        self._watching = False

    def add(self, stream: Watched) -> None:
        """Watches a stream until it is removed, or dropped."""
        with self._lock:
            self._streams.add(stream)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="runagent-silence", daemon=True).start()

    def remove(self, stream: Watched) -> None:
        """Watches a stream no more."""
        with self._lock:
            self._streams.discard(stream)

    def _watch(self) -> None:
        while True:
            time.sleep(self._interval)
            with self._lock:
                if not self._streams:
                    self._watching = False
                    return
                streams = list(self._streams)
            now = self.clock()
            for stream in streams:
                limit = stream.silent_after
                if limit is not None and now >= limit:
                    self.remove(stream)
                    with contextlib.suppress(Exception):
                        # One that cannot be ended must not keep the others from it.
                        stream.on_silence()
            # What is held here would not be dropped by its caller's letting go.
            del streams
            stream = None  # type: ignore[assignment] # the loop's variable holds one, too
