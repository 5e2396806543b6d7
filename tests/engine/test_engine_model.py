"""Every order in which things may happen to invocations: no chunk is lost or told twice, each has one end, and nothing
is left over."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from runagent_grpc.agents import AgentCatalogue
from runagent_grpc.core.call import Call, OnDisconnect
from runagent_grpc.core.invocation import InvocationState
from runagent_grpc.engine import Engine, EngineSettings
from runagent_grpc.errors import Reason, RunAgentError
from runagent_grpc.values.payload import encode
from tests.engine.agent_source import AgentSource
from tests.engine.fake_clock import Clockwork, passes, turns, until
from tests.engine.fake_journal import Shelf
from tests.engine.gated_generators import Tap, TapStream
from tests.engine.model import Ledger, Life, Reading
from tests.engine.probe_entrypoints import entrypoint_threads
from tests.engine.running import result_of, served

T = TypeVar("T")

SLOTS, QUEUE, RING, WINDOW = 2, 2, 5, 3
KEPT = 60.0

ENDED_BY = {
    InvocationState.COMPLETED: None,
    InvocationState.FAILED: Reason.EXECUTION_FAILED,
    InvocationState.CANCELLED: Reason.CANCELLED,
    InvocationState.TIMED_OUT: Reason.TIMEOUT,
    InvocationState.LOST: Reason.INVOCATION_LOST,
}
"""What a reader hears in the end."""


PADDING = 30_000


def later(path: str, names: list[str]) -> AsyncIterator[Any]:
    return TapStream.of(path, names, padding=PADDING).later()


def sync(path: str, names: list[str]) -> Iterator[Any]:
    return TapStream.of(path, names, padding=PADDING).sync()


class Lives(RuleBasedStateMachine):
    """Starts invocations of streams and does to them whatever can be done."""

    asynchronous = True

    @initialize(page=st.sampled_from([0, 0, 3, 50]), tight=st.booleans())
    def begin(self, page: int, tight: bool) -> None:
        """`page` is how many chunks the journal gives at once; 0: there is none."""
        self.loop = Clockwork()
        self.journal = Shelf(page=page) if page else None
        self.tight = tight
        self.ledger = Ledger()
        self.lives: list[Life] = []
        self.draining: asyncio.Task[None] | None = None
        self.drained_at = float("inf")
        self.steps = 0
        limits = EngineSettings(
            max_invocations=SLOTS,
            max_queued=QUEUE,
            window_chunks=WINDOW,
            ring_chunks=RING,
            ring_seconds=KEPT,
            heartbeat_interval=7.0,
            kept_bytes=200_000 if tight else 200_000_000,
            max_payload_bytes=100_000,
        )
        self.served = AsyncExitStack()
        source = AgentSource(
            functions={"tap_stream": later if self.asynchronous else sync, "threads": entrypoint_threads},
            idle_seconds=0,
            max_payload_bytes=limits.max_payload_bytes,
        )
        agent = self.run(self.served.enter_async_context(served(source)))
        self.engine = Engine(
            AgentCatalogue(agent),
            settings=limits,
            recorder=self.ledger,
            store=self.journal,
            journal=self.journal,
            clock=self.loop.time,
        )
        self.agent = agent
        self.tasks_before = asyncio.all_tasks(self.loop)
        self.threads_before = self.run(self.threads())

    async def threads(self) -> set[int]:
        """The threads of entrypoints where these run, as an engine says that is never drained."""
        return {*await result_of(Engine(AgentCatalogue(self.agent)), "threads")}

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def life(self, choice: float) -> Life:
        """One of them, and rather one that has not ended."""
        running = [life for life in self.lives if not life.invocation.state.ended]
        among = running if running and choice < 0.8 else self.lives
        return among[int(choice * 1000) % len(among)]

    # What may happen.

    @rule(
        policy=st.sampled_from(OnDisconnect),
        request_id=st.sampled_from(["", "", "r1", "r2", "r3"]),
        run_timeout=st.sampled_from([None, None, 25.0]),
        first=st.integers(0, 8),
    )
    def call(self, policy: OnDisconnect, request_id: str, run_timeout: float | None, first: int) -> None:
        known = [life for life in self.lives if request_id and life.call.request_id == request_id]
        if known:
            self.repeat(known[-1])
            return
        tap = Tap(padding=PADDING)
        tap.open(first)
        path, names = tap.stream.handle
        call = Call(
            entrypoint_tag="tap_stream",
            kwargs={"path": path, "names": encode(names)},
            request_id=request_id,
            on_disconnect=policy,
            run_timeout=run_timeout,
        )
        waiting = sum(life.invocation.state is InvocationState.QUEUED for life in self.lives)
        refusal = None
        if self.draining is not None:
            refusal = Reason.SHUTTING_DOWN
        elif self.engine.active == SLOTS and waiting == QUEUE:
            refusal = Reason.OVERLOADED

        async def open_it() -> None:
            reader = await self.engine.start(call, streaming=True)
            life = Life(tap, call, reader, self.loop.time())
            self.lives.append(life)
            life.readings.append(Reading(reader, 0))

        assert self.reason_of(open_it()) is refusal

    def repeat(self, life: Life) -> None:
        async def ask() -> None:
            reader = await self.engine.start(life.call, streaming=True)
            assert reader.invocation_id == life.invocation.invocation_id
            self.take_over(life, Reading(reader, 0))

        if self.was_dropped(life):
            assert self.reason_of(ask()) is Reason.SHUTTING_DOWN
        else:
            self.expect_replay(life, 0, self.reason_of(ask()))

    @precondition(lambda self: self.lives)
    @rule(choice=st.floats(0, 1, exclude_max=True), count=st.integers(1, 12))
    def produce(self, choice: float, count: int) -> None:
        life = self.life(choice)
        if life.ends is None:
            life.tap.open(count)

    @precondition(lambda self: self.lives)
    @rule(choice=st.floats(0, 1, exclude_max=True), fails=st.booleans())
    def end(self, choice: float, fails: bool) -> None:
        life = self.life(choice)
        if life.ends is None:
            life.ends = "failed" if fails else "completed"
            life.tap.end("no good" if fails else "")

    @precondition(lambda self: self.lives)
    @rule(choice=st.floats(0, 1, exclude_max=True), for_good=st.booleans(), which=st.sampled_from([-1, -1, -1, 0]))
    def leave(self, choice: float, for_good: bool, which: int) -> None:
        life = self.life(choice)
        self.let_go(life, life.readings[which], for_good=for_good)

    def let_go(self, life: Life, reading: Reading, *, for_good: bool) -> None:
        was_alone = life.is_alone
        policy = life.call.on_disconnect
        self.run(reading.follower.stop(for_good=for_good))
        reading.left = True
        if reading is life.current and not was_alone:
            life.alone_since = self.loop.time()
            if policy is OnDisconnect.CANCEL or (for_good and policy is OnDisconnect.LINGER):
                life.abandoned_for_good = True

    @precondition(lambda self: self.lives)
    @rule(choice=st.floats(0, 1, exclude_max=True))
    def pause(self, choice: float) -> None:
        """Makes a reader a slow one, or one again that is not."""
        follower = self.life(choice).current.follower
        if follower.pause is None:
            follower.pause = asyncio.Event()
        else:
            follower.pause.set()
            follower.pause = None

    @precondition(lambda self: self.lives)
    @rule(choice=st.floats(0, 1, exclude_max=True), where=st.floats(0, 1.2), cut=st.booleans(), slow=st.booleans())
    def resume(self, choice: float, where: float, cut: bool, slow: bool) -> None:
        """Comes back, behind whoever was cut off, or in the place of whoever hangs on a connection that is dead."""
        life = self.life(choice)
        if cut:
            self.let_go(life, life.current, for_good=False)
        count = self.count_of(life)
        after = min(round(where * count), count + 1) if where < 1.1 else count + 1

        async def ask() -> None:
            reader = await self.engine.resume(life.invocation.invocation_id, after)
            assert reader.invocation_id == life.invocation.invocation_id
            self.take_over(life, Reading(reader, after))
            if slow:
                life.current.follower.pause = asyncio.Event()

        reason = self.reason_of(ask())
        if self.was_dropped(life):
            assert reason is Reason.INVOCATION_NOT_FOUND
        elif after > count:
            assert reason is Reason.INVALID_CURSOR
        else:
            self.expect_replay(life, after, reason)

    @precondition(lambda self: self.lives)
    @rule(choice=st.floats(0, 1, exclude_max=True))
    def cancel(self, choice: float) -> None:
        life = self.life(choice)

        async def ask() -> None:
            assert self.engine.cancel(life.invocation.invocation_id) == life.invocation
            life.asked_to_cancel = True

        was_dropped = self.was_dropped(life)
        assert self.reason_of(ask()) is (Reason.INVOCATION_NOT_FOUND if was_dropped else None)
        assert life.invocation.state.ended

    @rule(seconds=st.sampled_from([0.5, 4.0, 10.5, 26.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.run(passes(seconds))

    @precondition(lambda self: self.draining is None and self.steps > 20)
    @rule(grace=st.sampled_from([0.0, 5.0, 20.0]))
    def drain(self, grace: float) -> None:
        self.drained_at = self.loop.time() + grace
        self.draining = self.loop.create_task(self.engine.drain(grace))
        self.run(turns())

    # What a test makes of it.

    def take_over(self, life: Life, reading: Reading) -> None:
        life.readings.append(reading)
        if not life.invocation.state.ended:
            life.alone_since = None

    def reason_of(self, asking: Coroutine[Any, Any, None]) -> Reason | None:
        try:
            self.run(asking)
        except RunAgentError as error:
            return error.reason
        return None

    def count_of(self, life: Life) -> int:
        """How many chunks it has produced."""
        execution = self.engine._cache.get(life.invocation.invocation_id)
        return 0 if execution is None or execution.chunks is None else execution.chunks.count

    def was_dropped(self, life: Life) -> bool:
        """Whether it ended in the queue of a server that was going away: then it never was."""
        was_told = self.ledger.told["started", life.invocation.invocation_id]
        dropped = life.invocation.state.ended and not was_told
        assert not dropped or (self.draining is not None and life.tap.runs == 0)
        return dropped

    def expect_replay(self, life: Life, after: int, reason: Reason | None) -> None:
        """Chunks may be gone, but neither too soon nor where somebody else has them."""
        if reason is None:
            return
        assert reason is Reason.REPLAY_EXPIRED
        assert not (self.journal and life.resumable)
        count = self.count_of(life)
        assert after < count
        if life.resumable and not self.tight and (self.draining is None or not self.draining.done()):
            kept_long_enough = life.ended_at is not None and self.loop.time() - life.ended_at >= KEPT
            assert kept_long_enough or after < count - RING

    def complaints(self) -> list[str]:
        """What has to happen yet."""
        found = []
        states = Counter(life.invocation.state for life in self.lives)
        if self.engine.active != states[InvocationState.RUNNING]:
            found.append("A slot is not free again.")
        if states[InvocationState.QUEUED] and self.engine.active < SLOTS:
            found.append("A call waits for a slot that is free.")
        for life in self.lives:
            state, current = life.invocation.state, life.current
            if state is InvocationState.RUNNING:
                if current.reads and current.seen != life.tap.opened:
                    found.append("A reader has not read what there is.")
                if life.is_alone and life.tap.produced != life.tap.opened:
                    found.append("A producer that nobody reads has not run on.")
                if life.tap.produced != self.count_of(life):
                    found.append("A chunk is on its way.")
                if life.ends is not None and (life.is_alone or current.reads):
                    found.append("A stream that was told to end has not ended.")
            elif state.ended:
                if life.tap.runs != life.tap.closed:
                    found.append("A `finally` has not run.")
                if current.reads:
                    found.append("A reader has not heard of the end.")
            found += ["A reader has not heard that it was replaced." for reading in life.readings[:-1] if reading.reads]
        return found

    @invariant()
    def everything_that_has_to_happen_happens(self) -> None:
        self.steps += 1
        self.run(turns())
        try:
            self.run(until(lambda: not self.complaints(), seconds=3))
        except AssertionError:
            raise AssertionError(self.complaints()) from None

    @invariant()
    def nothing_is_lost_or_told_twice(self) -> None:
        now = self.loop.time()
        for life in self.lives:
            invocation = life.invocation
            assert life.tap.runs <= 1
            for reading in life.readings:
                numbers = [number for number, _ in reading.follower.chunks]
                assert numbers == [*range(reading.after + 1, reading.seen + 1)]
                assert numbers == [*map(int, reading.follower.values)]
                if reading.follower.over and not reading.left:
                    self.check_end(life, reading)
            told = [self.ledger.told[what, invocation.invocation_id] for what in ("started", "ended")]
            if invocation.state.ended:
                self.check_outcome(life, now)
                assert told == ([0, 0] if self.was_dropped(life) else [1, 1])
                life.ended_at = life.ended_at or now
            else:
                assert told == [int(invocation.state is InvocationState.RUNNING), 0]
                assert not life.may_be_cancelled(now)
                assert not life.may_be_timed_out(now - 0.02)
                assert now < self.drained_at
        assert self.engine.running == sum(not life.invocation.state.ended for life in self.lives)
        assert self.engine.active <= SLOTS
        assert self.engine._limiter.waiting == len(self.engine._queued) <= QUEUE

    def check_end(self, life: Life, reading: Reading) -> None:
        """A reader that is over knows why, and has all that it should."""
        follower, invocation = reading.follower, life.invocation
        reason = None if follower.error is None else follower.error.reason
        if reason is Reason.READER_REPLACED:
            assert reading is not life.current
            return
        assert invocation.state.ended
        if self.was_dropped(life) and reason is Reason.SHUTTING_DOWN:
            assert self.loop.time() >= self.drained_at
        else:
            assert reason is ENDED_BY[invocation.state]
        assert reading.seen == invocation.chunk_count
        if reason is None:
            assert follower.completed is not None
            assert follower.completed.chunk_count == invocation.chunk_count
        started = follower.started
        assert started is not None
        assert (started.invocation_id, started.start_time) == (invocation.invocation_id, invocation.start_time)

    def check_outcome(self, life: Life, now: float) -> None:
        """An invocation ended in a way that something gave a reason for."""
        match life.invocation.state:
            case InvocationState.COMPLETED:
                assert life.ends == "completed"
                assert life.invocation.chunk_count == life.tap.opened
            case InvocationState.FAILED:
                assert life.ends == "failed"
                assert life.invocation.chunk_count == life.tap.opened
            case InvocationState.CANCELLED:
                assert life.may_be_cancelled(now) or (self.was_dropped(life) and now >= self.drained_at)
            case InvocationState.TIMED_OUT:
                assert life.may_be_timed_out(now)
            case InvocationState.LOST:
                assert now >= self.drained_at

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        try:
            self.run(self.wind_up())
        finally:
            self.loop.close()

    async def wind_up(self) -> None:
        engine = self.engine
        if self.draining is None:
            self.drained_at = self.loop.time()
            self.draining = asyncio.create_task(engine.drain(0))
        await turns()
        self.loop.advance(max(0.0, self.drained_at - self.loop.time()))
        for life in self.lives:
            for reading in life.readings:
                await reading.follower.stop()
        await until(self.draining.done)
        await self.draining
        assert (engine.running, engine.active, engine._limiter.waiting) == (0, 0, 0)
        assert engine._budget.used == 0
        assert asyncio.all_tasks() == {*self.tasks_before, asyncio.current_task()}
        assert all(life.tap.runs == life.tap.closed for life in self.lives)
        assert [timer for timer in self.loop._scheduled if not timer.cancelled()] == []  # type: ignore[attr-defined]
        deadline = time.monotonic() + 10
        while await self.threads() - self.threads_before:
            assert time.monotonic() < deadline, "A thread is left over."
        await self.served.aclose()


class LivesOnThreads(Lives):
    asynchronous = False


def test_whatever_happens_to_streams_on_the_loop_nothing_is_lost_and_nothing_left() -> None:
    run_state_machine_as_test(Lives, settings=settings(max_examples=100, stateful_step_count=40, deadline=None))


def test_whatever_happens_to_streams_on_threads_nothing_is_lost_and_nothing_left() -> None:
    run_state_machine_as_test(LivesOnThreads, settings=settings(max_examples=25, stateful_step_count=30, deadline=None))
