"""What the engine remembers of invocations: those that run, and for a while those that ended."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator

from runagent_grpc.core.store import RequestKey
from runagent_grpc.engine.active import ActiveInvocation
from runagent_grpc.engine.ring import ByteBudget

__all__ = ["InvocationCache"]


class InvocationCache:
    """Invocations by their id, and by their callers' own.

    Of one that ended, the chunks are kept for one time and the result for another, as long as the budget allows; the
    record stays until there are too many. All of it is used on the event loop alone.
    """

    def __init__(
        self,
        *,
        most: int,
        most_requests: int,
        chunk_seconds: float,
        result_seconds: float,
        budget: ByteBudget,
        clock: Callable[[], float],
    ) -> None:
        """`most` bounds the records of calls that had no request_id, `most_requests` those of calls that had one."""
        self._budget = budget
        self._clock = clock
        self._live: dict[str, ActiveInvocation] = {}
        self.all_ended = asyncio.Event()
        """Set while there are none without an outcome."""
        self.all_ended.set()
        # Apart, so that those whom nobody will ask for again push out none that somebody may repeat.
        self._ended = _Ended(most)
        self._ended_requests = _Ended(most_requests)
        self._requests: dict[RequestKey, ActiveInvocation] = {}
        self._chunks = TtlCache(chunk_seconds, ActiveInvocation.forget_chunks)
        self._results = TtlCache(result_seconds, self._forget_result)
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def live(self) -> list[ActiveInvocation]:
        """Those without an outcome."""
        return [*self._live.values()]

    @property
    def live_count(self) -> int:
        return len(self._live)

    def get(self, invocation_id: str) -> ActiveInvocation | None:
        ended = self._ended.get(invocation_id) or self._ended_requests.get(invocation_id)
        return ended or self._live.get(invocation_id)

    def of_request(self, key: RequestKey) -> ActiveInvocation | None:
        return self._requests.get(key)

    def add(self, active: ActiveInvocation, key: RequestKey | None) -> None:
        """Remembers one that begins."""
        self._live[active.invocation_id] = active
        self.all_ended.clear()
        if key is not None:
            self._requests[key] = active

    def drop(self, active: ActiveInvocation) -> None:
        """Forgets one that never ran, so that it may be asked for again."""
        self._leave_live(active)
        self._forget_request(active)

    def end(self, active: ActiveInvocation, *, keeps_chunks: bool, keeps_result: bool) -> None:
        """Remembers that one has ended, and as much of it as somebody may ask for again."""
        self._leave_live(active)
        if keeps_chunks:
            self._chunks.put(active, self._clock())
        else:
            active.forget_chunks()
        if keeps_result:
            active.keep_result()
            self._budget.account(active.result_size)
            self._results.put(active, self._clock())
            self.relieve()
        else:
            active.tidy()
        ended = self._ended_requests if active.identity.request_id else self._ended
        for oldest in ended.put(active):
            self._chunks.take(oldest)
            self._results.take(oldest)
            self._forget_request(oldest)
        if keeps_chunks or keeps_result:
            self._tidy()

    def relieve(self) -> None:
        """Drops the oldest of what is kept, until the budget holds."""
        while self._budget.exceeded and (self._chunks.drop_oldest() or self._results.drop_oldest()):
            pass

    def close(self) -> None:
        """Drops everything that is kept."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        while self._chunks.drop_oldest() or self._results.drop_oldest():
            pass

    def _leave_live(self, active: ActiveInvocation) -> None:
        self._live.pop(active.invocation_id, None)
        if not self._live:
            self.all_ended.set()

    def _tidy(self) -> None:
        """Drops what has been kept long enough, and comes back for the rest."""
        now = self._clock()
        dues = [due for due in (self._chunks.expire(now), self._results.expire(now)) if due is not None]
        if not dues:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + max(_SWEEP_SECONDS, min(dues) - now)
        if self._sweep is not None and when < self._sweep.when() - _SWEEP_SECONDS:
            self._sweep.cancel()
            self._sweep = None
        if self._sweep is None:
            self._sweep = loop.call_at(when, self._come_back)

    def _come_back(self) -> None:
        self._sweep = None
        self._tidy()

    def _forget_result(self, active: ActiveInvocation) -> None:
        self._budget.account(-active.result_size)
        active.forget_result()

    def _forget_request(self, active: ActiveInvocation) -> None:
        identity = active.identity
        key = RequestKey(identity.owner, identity.agent_id, identity.request_id)
        if self._requests.get(key) is active:
            del self._requests[key]


class _Ended(OrderedDict[str, ActiveInvocation]):
    """Invocations by their id, in the order in which they ended, up to a number."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, active: ActiveInvocation) -> Iterator[ActiveInvocation]:
        """Adds one, and yields those that there are too many of, the oldest first."""
        self[active.invocation_id] = active
        while len(self) > self._most:
            yield self.popitem(last=False)[1]


class TtlCache:
    """Invocations of which something is kept for a time, in the order in which they came."""

    def __init__(self, seconds: float, forget: Callable[[ActiveInvocation], None]) -> None:
        self._seconds = seconds
        self._forget = forget
        self._due: OrderedDict[ActiveInvocation, float] = OrderedDict()

    def put(self, active: ActiveInvocation, now: float) -> None:
        self._due[active] = now + self._seconds

    def take(self, active: ActiveInvocation) -> None:
        if self._due.pop(active, None) is not None:
            self._forget(active)

    def drop_oldest(self) -> bool:
        """Returns whether there was one to drop."""
        if not self._due:
            return False
        active, _ = self._due.popitem(last=False)
        self._forget(active)
        return True

    def expire(self, now: float) -> float | None:
        """Drops those whose time has come, and returns when that of the next will have."""
        while self._due:
            due = next(iter(self._due.values()))
            if due > now:
                return due
            self.drop_oldest()
        return None


_SWEEP_SECONDS = 1.0
