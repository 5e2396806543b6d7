"""What the test of lives knows of invocations, of who reads them, and of what the recorder is told."""

from __future__ import annotations

from collections import Counter

from runagent_grpc.core.call import Call, OnDisconnect
from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.recorder import OutputLine
from runagent_grpc.engine import Reader
from tests.engine.gated_generators import Follower, Tap

__all__ = ["LINGERING", "Ledger", "Life", "Reading"]

LINGERING = 10.0
"""How many seconds an invocation goes on without a reader."""


class Reading:
    """A reader, and where it began."""

    def __init__(self, reader: Reader, after: int) -> None:
        self.follower = Follower(reader)
        self.after = after
        self.left = False

    @property
    def seen(self) -> int:
        """The number of the last chunk that it has."""
        return self.after + len(self.follower.chunks)

    @property
    def reads(self) -> bool:
        return not (self.follower.over or self.left or self.follower.pause)


class Life:
    """What a test knows of an invocation: what was done to it, and so what may have become of it."""

    def __init__(self, tap: Tap, call: Call, reader: Reader, began: float) -> None:
        self.tap = tap
        self.call = call
        self._reader = reader
        self.began = began
        self.readings: list[Reading] = []
        self.ends: str | None = None
        self.asked_to_cancel = False
        self.abandoned_for_good = False
        self.alone_since: float | None = None
        self.ended_at: float | None = None

    @property
    def invocation(self) -> InvocationRecord:
        """What is known of it now."""
        return self._reader.invocation

    @property
    def current(self) -> Reading:
        return self.readings[-1]

    @property
    def is_alone(self) -> bool:
        return self.current.left or self.current.follower.over

    @property
    def resumable(self) -> bool:
        return bool(self.call.request_id) or self.call.on_disconnect is not OnDisconnect.CANCEL

    def may_be_cancelled(self, now: float) -> bool:
        lapsed = self.alone_since is not None and now - self.alone_since >= LINGERING
        lingered = self.call.on_disconnect is OnDisconnect.LINGER and lapsed
        return self.asked_to_cancel or self.abandoned_for_good or lingered

    def may_be_timed_out(self, now: float) -> bool:
        return self.call.run_timeout is not None and now - self.began >= self.call.run_timeout - 0.01


class Ledger:
    """Counts what the recorder is told."""

    def __init__(self) -> None:
        self.told: Counter[tuple[str, str]] = Counter()

    def started(self, record: InvocationRecord, call: Call) -> None:
        self.told["started", record.invocation_id] += 1

    def ended(self, record: InvocationRecord) -> None:
        assert record.state.ended
        self.told["ended", record.invocation_id] += 1

    def logged(self, line: OutputLine) -> None: ...
