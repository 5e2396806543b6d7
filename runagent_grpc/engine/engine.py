"""Takes calls, admits them, runs them, and knows what runs. Every transport speaks to this one class.

Knows no gRPC, no HTTP, no SQL and no object of an author's: calls and outcomes are payloads, agents are manifests
(docs/design.md, engine). All of it runs on one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial

from runagent_grpc.agents import AgentCatalogue
from runagent_grpc.core.call import Call, OnDisconnect
from runagent_grpc.core.event_loop import post
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.manifest import EntrypointManifest
from runagent_grpc.core.recorder import Journal, NullRecorder, Recorder
from runagent_grpc.core.runner import Runner
from runagent_grpc.core.store import InvocationStore, NullInvocationStore, RequestKey
from runagent_grpc.engine.active import ActiveInvocation, Identity, RunOptions
from runagent_grpc.engine.admission import ConcurrencyLimiter, RateLimit
from runagent_grpc.engine.cache import InvocationCache
from runagent_grpc.engine.chunks import ChunkBuffer
from runagent_grpc.engine.ids import new_invocation_id
from runagent_grpc.engine.lookup import InvocationLookup
from runagent_grpc.engine.reader import Reader
from runagent_grpc.engine.requests import RequestClaims, fingerprint_of, key_of
from runagent_grpc.engine.ring import ByteBudget, RingLimits
from runagent_grpc.errors import AbortedError, Reason, RunAgentError, UnavailableError
from runagent_grpc.settings import EngineSettings

__all__ = ["Engine"]


class Engine:
    """Runs the entrypoints of the agents in a catalogue."""

    def __init__(
        self,
        agents: AgentCatalogue,
        *,
        settings: EngineSettings | None = None,
        recorder: Recorder | None = None,
        store: InvocationStore | None = None,
        journal: Journal | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
        new_id: Callable[[], str] = new_invocation_id,
    ) -> None:
        """Takes no calls yet: the first comes on the event loop that all others have to come on.

        Args:
            agents: What is run, and by which runners.
            settings: How much of it.
            recorder: Hears of what happens.
            store: Answers for what the engine does not remember.
            journal: Keeps the chunks of streams that can be resumed. None: nobody does.
            now: The time of day.
            clock: The monotonic clock, in seconds.
            new_id: Names invocations.
        """
        self.agents = agents
        self.settings = settings = settings or EngineSettings()
        self._recorder = recorder or NullRecorder()
        self._store = store or NullInvocationStore()
        self._journal = journal
        self._now = now
        self._new_id = new_id
        self._budget = ByteBudget(settings.kept_bytes)
        self._cache = InvocationCache(
            most=settings.remembered_invocations,
            most_requests=settings.remembered_requests,
            chunk_seconds=settings.ring_seconds,
            result_seconds=settings.result_seconds,
            budget=self._budget,
            clock=clock,
        )
        self._lookup = InvocationLookup(
            self._cache,
            self._store,
            journaled=journal is not None,
            heartbeat_interval=settings.heartbeat_interval,
        )
        self._claims = RequestClaims()
        self._limiter: ConcurrencyLimiter[ActiveInvocation] = ConcurrencyLimiter(
            most=settings.max_invocations, most_waiting=settings.max_queued
        )
        self._queued: dict[ActiveInvocation, tuple[Runner, contextvars.Context]] = {}
        self._binding: set[asyncio.Task[None]] = set()
        """The tasks that bind calls which have waited."""
        self._rate = RateLimit(settings.rate_limit, clock=clock)
        self._draining = False

    @property
    def running(self) -> int:
        """How many invocations have no outcome yet."""
        return self._cache.live_count

    @property
    def active(self) -> int:
        """How many invocations hold a slot: those that run, and those that ended but whose code runs on."""
        return self._limiter.running

    @property
    def draining(self) -> bool:
        """Whether the engine takes no more calls."""
        return self._draining

    async def start(self, call: Call, *, streaming: bool) -> Reader:
        """Starts an invocation, or joins the one that the same request has started, and returns the caller's hold on
        it, which the caller must leave (it is a `with`).

        Returns when the arguments are bound; where the call has to wait for a slot, at once, and arguments that do not
        fit are then the outcome. Nothing of an invocation that was refused is kept.

        Raises NotFoundError for an unknown agent or tag, InvalidRequestError for the wrong mode or arguments that do
        not fit, ConflictError where the request_id belongs to another call, ResourceExhaustedError when the engine is
        full or the caller too fast, and UnavailableError when it is draining.
        """
        entrypoint = self.agents.entrypoint(call.agent_id, call.entrypoint_tag, streaming=streaming)
        served = self.agents.find(call.agent_id)
        agent_id = served.manifest.agent_id
        key = key_of(call, agent_id)
        if key is None:
            return await self._begin(call, self._identity(call, agent_id, ""), entrypoint, served.runner, None)
        identity = self._identity(call, agent_id, await fingerprint_of(call))
        async with self._claims.of(key):
            known = self._lookup.to_cached(key, identity.fingerprint)
            if known is None:
                claim = _unstarted(identity)
                patience = _run_timeout(call, entrypoint, self.settings)
                known = await self._lookup.to_claimed(claim, key, patience=patience)
                if known is None:
                    try:
                        return await self._begin(call, identity, entrypoint, served.runner, key)
                    except BaseException:
                        self._store.release(claim)
                        raise
            return known

    async def resume(self, invocation_id: str, after: int, *, owner: str = "") -> Reader:
        """Continues a stream after chunk number `after`, in the place of its present reader.

        Raises NotFoundError for an id that is unknown, another owner's or another agent's, InvalidRequestError for an
        invocation that does not stream and (INVALID_CURSOR) for a number beyond the last chunk, and ReplayExpiredError
        where the next chunk is gone.
        """
        agent_ids = (self.agents.manifest.agent_id,)
        return await self._lookup.to_stream(invocation_id, after, owner, agent_ids=agent_ids)

    def cancel(self, invocation_id: str, *, owner: str = "") -> InvocationRecord:
        """Cancels an invocation unless it has ended, and returns its record; its `finally` may still run.

        Raises NotFoundError for an id that is unknown, or that is another owner's.
        """
        active = self._lookup.active(invocation_id, owner)
        active.cancel("The invocation was cancelled.")
        return active.record()

    def cancel_request(self, request_id: str, *, owner: str = "") -> InvocationRecord:
        """Cancels the invocation that a call with this request_id has started, as `cancel` does."""
        active = self._lookup.active_of(RequestKey(owner, self.agents.manifest.agent_id, request_id))
        return self.cancel(active.invocation_id, owner=owner)

    def fail(self, invocation_id: str, make_error: Callable[[], RunAgentError]) -> bool:
        """Ends an invocation with what its own code has raised outside of its task: in a callback, in another task.

        The error is made only where it is needed. Returns whether the invocation ran; one that has ended, or that is
        unknown, stays as it is.
        """
        active = self._cache.get(invocation_id)
        if active is None or active.is_settled():
            return False
        active.fail(make_error())
        return True

    def find(self, invocation_id: str, *, owner: str = "") -> InvocationRecord:
        """Returns the record of an invocation that runs or ended lately.

        Raises NotFoundError for an id that is unknown, or that is another owner's.
        """
        return self._lookup.active(invocation_id, owner).record()

    async def drain(self, grace: float) -> None:
        """Takes no more calls, waits up to `grace` seconds for those that it has taken, and gives up the rest."""
        self._draining = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._cache.all_ended.wait()
        for active in self._cache.live:
            self._give_up(active)
        # Enough for `finally` blocks; code that ignores its cancellation is left behind.
        await _ended((active.task for active in self._limiter.holders()), _CLEAN_UP_SECONDS)
        self._cache.close()

    def _identity(self, call: Call, agent_id: str, fingerprint: str) -> Identity:
        return Identity(
            invocation_id=self._new_id(),
            agent_id=agent_id,
            entrypoint_tag=call.entrypoint_tag,
            owner=call.principal.subject,
            request_id=call.request_id,
            fingerprint=fingerprint,
            user_id=call.user_id,
            transport=call.transport,
            start_time=self._now(),
        )

    async def _begin(
        self,
        call: Call,
        identity: Identity,
        entrypoint: EntrypointManifest,
        runner: Runner,
        key: RequestKey | None,
    ) -> Reader:
        """Starts an invocation, or puts it into the queue."""
        if self._draining:
            raise _shutting_down()
        self._rate.take(identity.owner)
        tag, most = entrypoint.tag, entrypoint.max_concurrent
        self._limiter.check(tag, most=most)
        resumable = key is not None or call.on_disconnect is not OnDisconnect.CANCEL
        active = ActiveInvocation(
            identity,
            call,
            options=RunOptions(
                heartbeat_interval=self.settings.heartbeat_interval,
                run_timeout=_run_timeout(call, entrypoint, self.settings),
                resumable=resumable,
            ),
            chunks=self._buffer(identity.invocation_id, resumable) if entrypoint.streaming else None,
            now=self._now,
            on_settled=self._settled,
        )
        self._cache.add(active, key)
        if not self._limiter.take(active, tag, most=most):
            self._queued[active] = runner, contextvars.copy_context()
            return self._lookup.attend(active)
        await self._bind_and_run(active, runner)
        return self._lookup.attend(active)

    async def _bind_and_run(self, active: ActiveInvocation, runner: Runner) -> None:
        """Binds a call that has a slot, and runs it. Raises what the runner raises; it is then as if it never was."""
        try:
            work = await active.bind(runner)
        except BaseException:
            active.withdraw()
            self._cache.drop(active)
            self._release(active)
            raise
        if work is None or active.is_settled():
            # It was cancelled, or ran out of time, while its arguments were bound.
            if work is not None:
                work.discard()
            self._release(active)
            return
        call = active.take_call()
        active.start(work, on_ended=partial(self._release, active))
        self._recorder.started(active.record(), call)

    async def _bind_queued(self, active: ActiveInvocation, runner: Runner) -> None:
        """Binds a call that has waited. Its caller reads already: arguments that do not fit are its outcome."""
        try:
            await self._bind_and_run(active, runner)
        except RunAgentError as error:
            self._store.release(active.record())
            active.fail(error.with_traceback(None))

    def _buffer(self, invocation_id: str, resumable: bool) -> ChunkBuffer:
        settings, loop = self.settings, asyncio.get_running_loop()
        self._budget.on_exceeded = partial(post, loop, self._cache.relieve)
        journals = resumable and self._journal is not None
        return ChunkBuffer(
            loop,
            window_chunks=settings.window_chunks,
            window_bytes=settings.window_bytes,
            ring=RingLimits(chunks=settings.ring_chunks, bytes=settings.ring_bytes) if resumable else None,
            budget=self._budget,
            on_chunk=partial(self._journal.produced, invocation_id) if journals and self._journal else None,
        )

    def _release(self, active: ActiveInvocation) -> None:
        for admitted in self._limiter.release(active):
            runner, context = self._queued.pop(admitted)
            loop = asyncio.get_running_loop()
            task = loop.create_task(self._bind_queued(admitted, runner), context=context)
            self._binding.add(task)
            task.add_done_callback(self._binding.discard)

    def _settled(self, active: ActiveInvocation) -> None:
        if self._queued.pop(active, None) is not None:
            self._release(active)
        if not active.has_started:
            if self._draining:
                # It never ran, and may be asked for again, of the server that comes next.
                self._cache.drop(active)
                self._store.release(active.record())
                return
            self._recorder.started(active.record(), active.take_call())
        record = active.record(with_output=True)
        # The cache may let go of the result at once.
        streams = active.chunks is not None
        self._cache.end(
            active,
            keeps_chunks=streams and active.options.resumable,
            keeps_result=not streams and bool(record.request_id),
        )
        self._recorder.ended(record)

    def _give_up(self, active: ActiveInvocation) -> None:
        """Ends what has not ended in time."""
        if active.state is InvocationState.QUEUED:
            active.settle(InvocationState.CANCELLED, error=_shutting_down())
        else:
            error = AbortedError("The server shut down before the invocation ended.")
            active.settle(InvocationState.LOST, error=error)


_CLEAN_UP_SECONDS = 1.0


async def _ended(tasks: Iterable[asyncio.Task[None] | None], seconds: float) -> None:
    """Waits until the tasks have ended, but no longer than `seconds`."""
    waiting = [task for task in tasks if task is not None]
    if waiting:
        await asyncio.wait(waiting, timeout=seconds)


def _unstarted(identity: Identity) -> InvocationRecord:
    """Returns the record of an invocation that is about to start."""
    return InvocationRecord(
        invocation_id=identity.invocation_id,
        agent_id=identity.agent_id,
        entrypoint_tag=identity.entrypoint_tag,
        owner=identity.owner,
        start_time=identity.start_time,
        request_id=identity.request_id,
        fingerprint=identity.fingerprint,
        user_id=identity.user_id,
        transport=identity.transport,
    )


def _run_timeout(call: Call, entrypoint: EntrypointManifest, settings: EngineSettings) -> float | None:
    """Returns how long the run may take: what the caller says, else as long as the caller waits, else what the
    entrypoint's own default is, within both caps."""
    waits = None if call.on_disconnect is OnDisconnect.DETACH else call.deadline
    asked = next((each for each in (call.run_timeout, waits, entrypoint.timeout_seconds) if each is not None), None)
    bounds = (asked, entrypoint.max_timeout_seconds, settings.max_run_timeout)
    return min((bound for bound in bounds if bound is not None), default=None)


def _shutting_down() -> UnavailableError:
    return UnavailableError("The server is shutting down.", reason=Reason.SHUTTING_DOWN, retry_after=1.0)
