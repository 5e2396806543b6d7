"""This server among those of a history: its lease, the others of its agent, and the claims that they make of requests.

One thread with a connection of its own, so that neither the event loop nor the thread that writes history waits for a
lock that another server holds. A server that has its agent to itself claims requests in memory (`store/pending.py`);
the thread then only renews the lease, and looks whether another server has come.

Servers of one agent share it: each claims its requests in the store. A claim is granted only where every other server
of the agent that lives has said in its row that it claims there, too. It says so in the transaction that writes down
what it had claimed in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from runagent_grpc.core.event_loop import post
from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.store import RequestKey
from runagent_grpc.errors import Reason, UnavailableError
from runagent_grpc.local.sqlite_file import transaction
from runagent_grpc.store.claims import insert_claim, insert_claims, remove_claim
from runagent_grpc.store.invocations import find_invocation, find_request
from runagent_grpc.store.leases import (
    LEASE_SECONDS,
    RENEWAL_SECONDS,
    Lease,
    Neighbour,
    is_alive,
    running_servers,
    settle,
)
from runagent_grpc.store.pending import PendingRequests
from runagent_grpc.store.processes import Life
from runagent_grpc.store.schema import connect, number_of_time

__all__ = ["Membership"]

_logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
"""How often a server looks who has come and gone. One query of a few rows."""

_WAIT_SECONDS = 0.02
"""How often it looks whether others have written while callers wait for that."""

_BUSY_MILLISECONDS = 2000
"""How long callers wait for a file that somebody else holds before they are told to come back."""

_JOIN_SECONDS = 3 * LEASE_SECONDS

_REST_FACTOR = 10
"""How many times as long as it worked it rests, where many callers wait."""


@dataclass(slots=True, eq=False)
class _Wish:
    """What a caller on an event loop waits for."""

    record: InvocationRecord
    future: asyncio.Future[InvocationRecord | None]
    loop: asyncio.AbstractEventLoop
    claims: bool
    """Whether the request is to be claimed. Otherwise the invocation is to end."""


_Answer = InvocationRecord | UnavailableError | None


@dataclass(frozen=True, slots=True)
class _Release:
    record: InvocationRecord


class Membership:
    """Holds a lease from here to `close`."""

    def __init__(
        self,
        path: Path,
        *,
        agent_id: str,
        pending: PendingRequests,
        now: Callable[[], datetime],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Joins the servers of the file. Raises sqlite3.Error and InternalError where it cannot be used."""
        self._agent_id = agent_id
        self._pending = pending
        self._now = now
        self._clock = clock
        self._jobs: queue.SimpleQueue[_Wish | _Release | None] = queue.SimpleQueue()
        self._waiting: list[_Wish] = []
        self._suspects: dict[str, float] = {}
        """The servers whose lease has passed, and since when this one sees it so."""
        self._troubled = False
        self._version = -1
        """What SQLite called the state of the file when the callers' wishes were last looked for. -1: look again."""
        self._resume_at = 0.0
        self._accepted = threading.Event()
        self._connection = connect(path)
        try:
            self._connection.row_factory = sqlite3.Row
            self._join()
            self._connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        except BaseException:
            self._connection.close()
            raise
        self._thread = threading.Thread(target=self._work, name="runagent-lease", daemon=True)
        self._thread.start()

    @property
    def lease(self) -> Lease:
        """The present one."""
        return self._lease

    @property
    def lease_has_passed(self) -> bool:
        """Whether another server may have taken it away meanwhile."""
        return self._clock() > self._renewed + LEASE_SECONDS

    def wait_until_accepted(self) -> None:
        """Waits until every other server of the agent that lives claims its requests in the store.

        Raises TimeoutError where that takes longer than any lease, because the file is held by somebody else.
        """
        if not self._accepted.wait(_JOIN_SECONDS):
            raise TimeoutError(f"No other server of the agent has answered within {_JOIN_SECONDS:g} s.")

    async def claim(self, record: InvocationRecord) -> InvocationRecord | None:
        """Claims a request in the store. Returns None where that is done, otherwise the invocation that it started.

        While another server has claimed it and has not begun, this waits. Raises UnavailableError where no claim can be
        made.
        """
        return await self._ask(record, claims=True)

    async def ended(self, record: InvocationRecord) -> InvocationRecord | None:
        """Waits until an invocation that another server runs has ended. Returns None where it is gone from the file."""
        return await self._ask(record, claims=False)

    def release(self, record: InvocationRecord) -> None:
        """Gives a claim back, some time soon."""
        self._jobs.put(_Release(record))

    def close(self) -> None:
        """Says that this server has ended in order: what still ran is lost."""
        self._jobs.put(None)
        self._thread.join()

    async def _ask(self, record: InvocationRecord, *, claims: bool) -> InvocationRecord | None:
        loop = asyncio.get_running_loop()
        wish = _Wish(record, loop.create_future(), loop, claims)
        self._jobs.put(wish)
        return await wish.future

    def _answer(self, answered: Sequence[tuple[_Wish, _Answer]]) -> None:
        # All at once: the threads would take turns after each.
        for loop in {wish.loop for wish, _ in answered}:
            post(loop, self._settle_wishes, [each for each in answered if each[0].loop is loop])

    def _settle_wishes(self, answered: Sequence[tuple[_Wish, _Answer]]) -> None:
        for wish, answer in answered:
            self._settle_wish(wish, answer)

    def _settle_wish(self, wish: _Wish, answer: _Answer) -> None:
        if not wish.future.done():
            if isinstance(answer, UnavailableError):
                wish.future.set_exception(answer)
            else:
                wish.future.set_result(answer)
        elif wish.claims and answer is None:
            # The caller has left. Its claim must not stay.
            self.release(wish.record)

    def _work(self) -> None:
        look_at = self._clock()
        while not self._take_jobs(look_at):
            try:
                if self._clock() >= look_at or self.lease_has_passed:
                    self._look()
                    look_at = self._clock() + _LOOK_SECONDS
                self._serve()
                self._troubled = False
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the file, nobody may wait for this thread in vain
                self._fail(error)
                look_at = self._clock() + _LOOK_SECONDS
        self._answer([(wish, _unavailable()) for wish in self._waiting])
        with contextlib.closing(self._connection), contextlib.suppress(sqlite3.Error), transaction(self._connection):
            settle(self._connection, self._lease.instance, stopped_at=number_of_time(self._now()))

    def _take_jobs(self, look_at: float) -> bool:
        """Waits for something to do, and takes all there is. Returns whether this is the end."""
        patience = look_at - self._clock()
        if self._waiting:
            patience = min(patience, max(_WAIT_SECONDS, self._resume_at - self._clock()))
        try:
            job = self._jobs.get(timeout=max(0.0, patience))
            while True:
                if job is None:
                    return True
                self._take(job)
                job = self._jobs.get_nowait()
        except queue.Empty:
            return False

    def _take(self, job: _Wish | _Release) -> None:
        if isinstance(job, _Wish):
            self._waiting.append(job)
            # It has not been looked for yet.
            self._version = -1
            return
        try:
            with transaction(self._connection):
                remove_claim(self._connection, job.record)
        except sqlite3.Error as error:
            # Held until this server ends: a repeated call waits, and runs on no other one.
            _logger.warning("A claim cannot be given back: %s", error)

    def _join(self) -> None:
        """Writes this server's row, and settles the servers whose processes have ended."""
        connection, now = self._connection, number_of_time(self._now())
        self._renewed = self._clock()
        with transaction(connection):
            others = running_servers(connection)
            gone = [name for name, other in others.items() if other.life() is Life.ENDED]
            for name in gone:
                settle(connection, name, stopped_at=now)
            shared = any(self._shares(other) for name, other in others.items() if name not in gone)
            lease = Lease.acquire(connection, self._agent_id, shared=shared, started_at=now)
            if shared:
                insert_claims(connection, self._pending.share(), lease.instance)
        self._lease, self._shared = lease, shared
        if not shared:
            self._pending.unshare()
            self._accepted.set()

    def _look(self) -> None:
        """Renews the lease where that is due, and takes note of who has come and gone."""
        others = running_servers(self._connection)
        held = others.pop(self._lease.instance, None) is not None
        gone, shared = self._judge(others)
        due = self._clock() - self._renewed >= RENEWAL_SECONDS
        if held and not (due or gone or shared != self._shared):
            self._accept(others)
            return
        began = self._clock()
        with transaction(self._connection):
            others = running_servers(self._connection)
            others.pop(self._lease.instance, None)
            gone, shared = self._judge(others)
            # First: who holds no lease judges nobody, and claims nothing.
            held = self._lease.renew(self._connection, shared=shared)
            if held:
                for name in gone:
                    settle(self._connection, name, stopped_at=number_of_time(self._now()))
                    del others[name]
                if shared and not self._shared:
                    insert_claims(self._connection, self._pending.share(), self._lease.instance)
        self._version = -1
        if not held:
            _logger.warning(
                "This server did not renew its lease in time, and another one has written down that its calls are lost."
            )
            self._join()
            return
        self._renewed, self._shared = began, shared
        if not shared:
            self._pending.unshare()
        self._accept(others)

    def _judge(self, others: dict[str, Neighbour]) -> tuple[list[str], bool]:
        """Returns the names of those that are gone, and whether any of the rest serves the same agent.

        A lease that has passed is not enough while its server may only wait for a lock, as this one perhaps did: it is
        given twice the time in which it would renew it.
        """
        now = self._clock()
        if now - self._renewed >= 2 * RENEWAL_SECONDS:
            self._suspects.clear()
        passed = {name for name, other in others.items() if self._may_judge(other) and other.lease_has_passed()}
        self._suspects = {name: self._suspects.get(name, now) for name in passed}
        gone = [
            name
            for name, other in others.items()
            if other.life() is Life.ENDED or now - self._suspects.get(name, now) >= 2 * RENEWAL_SECONDS
        ]
        return gone, any(self._shares(other) for name, other in others.items() if name not in gone)

    def _may_judge(self, other: Neighbour) -> bool:
        """Whether its lease alone decides: another agent's server that lives is in nobody's way."""
        return other.agent_id == self._agent_id or other.life() is Life.UNKNOWN

    def _shares(self, other: Neighbour) -> bool:
        return other.agent_id == self._agent_id and other.lease_until is not None

    def _are_agreed(self, others: dict[str, Neighbour]) -> bool:
        return all(other.shared for other in others.values() if self._shares(other))

    def _accept(self, others: dict[str, Neighbour]) -> None:
        if not self._accepted.is_set() and self._are_agreed(others):
            self._accepted.set()

    def _serve(self) -> None:
        """Looks for what callers wait for, unless nothing was written since the last time."""
        self._waiting = [wish for wish in self._waiting if not wish.future.done()]
        if not self._waiting or self._clock() < self._resume_at:
            return
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        began = self._clock()
        self._finish(self._claimed([wish for wish in self._waiting if wish.claims]))
        self._finish(self._ended([wish for wish in self._waiting if not wish.claims]))
        self._version = version
        self._resume_at = self._clock() + _REST_FACTOR * (self._clock() - began) if self._waiting else 0.0

    def _finish(self, answered: dict[_Wish, _Answer]) -> None:
        self._waiting = [wish for wish in self._waiting if wish not in answered]
        self._answer([*answered.items()])

    def _ended(self, wishes: list[_Wish]) -> dict[_Wish, _Answer]:
        """Returns those whose invocations have ended, or are gone, with what is known of them."""
        answered: dict[_Wish, _Answer] = {}
        for wish in wishes:
            record = wish.record
            found = find_invocation(
                self._connection, record.invocation_id, record.owner, (record.agent_id,), self._runs_elsewhere
            )
            if found is None or found.state.ended:
                answered[wish] = found
        return answered

    def _claimed(self, wishes: list[_Wish]) -> dict[_Wish, _Answer]:
        """Claims what can be claimed, in one transaction. Returns what need not wait: with None where it is claimed."""
        answered: dict[_Wish, _Answer] = {}
        if not wishes:
            return answered
        connection = self._connection
        with transaction(connection):
            others = running_servers(connection)
            others.pop(self._lease.instance, None)
            if not self._lease.is_held(connection):
                # The next look joins again.
                return answered
            agreed = self._are_agreed(others)
            for wish in wishes:
                record = wish.record
                key = RequestKey(record.owner, record.agent_id, record.request_id)
                found = find_request(connection, key, self._runs_elsewhere)
                if found is not None or (agreed and insert_claim(connection, record, self._lease.instance)):
                    answered[wish] = found
        return answered

    def _runs_elsewhere(self, instance: str) -> bool:
        return instance == self._lease.instance or is_alive(self._connection, instance)

    def _fail(self, error: Exception) -> None:
        """Answers those who wait for a claim that none can be made. Alone on the agent, it is not needed."""
        if not self._troubled:
            self._troubled = True
            _logger.warning("The servers that share the history cannot be looked up: %s", error)
        refused = [wish for wish in self._waiting if wish.claims]
        self._waiting = [wish for wish in self._waiting if not wish.claims]
        self._answer([(wish, _unavailable() if self._shared else None) for wish in refused])


def _unavailable() -> UnavailableError:
    return UnavailableError(
        "The request cannot be claimed: the history is in use by another process.",
        reason=Reason.SHUTTING_DOWN,
        retry_after=1.0,
    )
