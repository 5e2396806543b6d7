"""What the engine remembers of invocations: those that run, and for a while those that ended."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator

from runagent_grpc.core.store import RequestKey
from runagent_grpc.engine.active import ActiveInvocation
from runagent_grpc.engine.ring import ByteBudget
from runagent_grpc.values.payload import size_of

__all__ = ["InvocationCache"]


class InvocationCache:
    """Executions by their id, and by their callers' own.

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

    def add(self, execution: ActiveInvocation, key: RequestKey | None) -> None:
        """Remembers one that begins."""
        self._live[execution.invocation.invocation_id] = execution
        self.all_ended.clear()
        if key is not None:
            self._requests[key] = execution

    def drop(self, execution: ActiveInvocation) -> None:
        """Forgets one that never ran, so that it may be asked for anew."""
        self._leave_live(execution)
        self._forget_request(execution)

    def end(self, execution: ActiveInvocation, *, keeps_chunks: bool, keeps_result: bool) -> None:
        """Remembers that one has ended, and as much of it as somebody may ask for again."""
        self._leave_live(execution)
        execution.keeps_result = keeps_result
        if keeps_chunks:
            self._chunks.put(execution, self._clock())
        else:
            execution.forget_chunks()
        if keeps_result:
            self._budget.account(_size_of_result(execution))
            self._results.put(execution, self._clock())
            self.relieve()
        else:
            execution.tidy()
        ended = self._ended_requests if execution.invocation.request_id else self._ended
        for oldest in ended.put(execution):
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

    def _leave_live(self, execution: ActiveInvocation) -> None:
        self._live.pop(execution.invocation.invocation_id, None)
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

    def _forget_result(self, execution: ActiveInvocation) -> None:
        self._budget.account(-_size_of_result(execution))
        execution.forget_result()

    def _forget_request(self, execution: ActiveInvocation) -> None:
        invocation = execution.invocation
        key = RequestKey(invocation.owner, invocation.agent_id, invocation.request_id)
        if self._requests.get(key) is execution:
            del self._requests[key]


class _Ended(OrderedDict[str, ActiveInvocation]):
    """Executions by their id, in the order in which they ended, up to a number."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, execution: ActiveInvocation) -> Iterator[ActiveInvocation]:
        """Adds one, and yields those that there are too many of, the oldest first."""
        self[execution.invocation.invocation_id] = execution
        while len(self) > self._most:
            yield self.popitem(last=False)[1]


class TtlCache:
    """Executions of which something is kept for a time, in the order in which they came."""

    def __init__(self, seconds: float, forget: Callable[[ActiveInvocation], None]) -> None:
        self._seconds = seconds
        self._forget = forget
        self._due: OrderedDict[ActiveInvocation, float] = OrderedDict()

    def put(self, execution: ActiveInvocation, now: float) -> None:
        self._due[execution] = now + self._seconds

    def take(self, execution: ActiveInvocation) -> None:
        if self._due.pop(execution, None) is not None:
            self._forget(execution)

    def drop_oldest(self) -> bool:
        """Returns whether there was one to drop."""
        if not self._due:
            return False
        execution, _ = self._due.popitem(last=False)
        self._forget(execution)
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


def _size_of_result(execution: ActiveInvocation) -> int:
    return 0 if execution.result is None else size_of(execution.result)
