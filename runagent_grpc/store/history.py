"""Reads history. Works beside any number of servers, and without one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from runagent_grpc.core.history import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    InvocationPage,
    InvocationStats,
    LogPage,
    RecordedLine,
)
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.errors import InvalidRequestError, NotFoundError, Reason, Violation
from runagent_grpc.store.columns import BEGINNING, OUTCOME, names_of, record_of
from runagent_grpc.store.leases import running_servers
from runagent_grpc.store.schema import reading, same_id, time_of_number

__all__ = ["History"]

# What runs on a server that is gone is lost, although nobody has written that down yet. A server that has come since
# the servers were looked at is not among those that were found gone, but has a row.
_STATE = """
    CASE WHEN state = 'RUNNING' AND (
        runagent_gone(instance) OR NOT EXISTS (
            SELECT 1 FROM runagent_grpc_servers AS servers
            WHERE servers.instance = invocations.instance AND stopped_at IS NULL
        )
    ) THEN 'LOST' ELSE state END
"""
# What every version's file has.
_READABLE = [column for column in (*BEGINNING, *OUTCOME) if not column.is_added]
_COLUMNS = ", ".join(
    [
        "number",
        *names_of(column for column in _READABLE if not column.is_payload and column.name != "state"),
        f"{_STATE} AS state",
    ]
)
_PAYLOADS = ", ".join(names_of(column for column in _READABLE if column.is_payload))
_FROM = "FROM runagent_grpc_invocations AS invocations"
_LINES_FROM = (
    "FROM runagent_grpc_logs AS logs JOIN runagent_grpc_invocations AS invocations "
    f"ON {same_id('invocations.invocation_id', 'logs.invocation_id')}"
)


class History:
    """The history in the file at `path`, as far as there is one: nothing is made.

    Where an `owner` is given, only what was started with their key is there. Methods block, and threads may share the
    object. They raise InternalError for a file that cannot be read.
    """

    def __init__(
        self, path: Path, *, agent_ids: Collection[str] | None = None, flush: Callable[[], None] = lambda: None
    ) -> None:
        """Reads the file at `path`; `flush` sees to it that what has happened by now is in it.

        `agent_ids` names the agents whose invocations every method is limited to. None reads those of all agents, as
        the file's owner may.
        """
        self._path = path
        self._agent_ids = None if agent_ids is None else frozenset(agent_ids)
        self._flush = flush

    def of_agents(self, agent_ids: Collection[str]) -> History:
        """Returns the part of this history that belongs to these agents. It never holds more than this one does."""
        narrowed = frozenset(agent_ids) if self._agent_ids is None else self._agent_ids.intersection(agent_ids)
        return History(self._path, agent_ids=narrowed, flush=self._flush)

    def get(self, invocation_id: str, *, owner: str | None = None) -> InvocationRecord:
        """Returns one invocation with its input and output. Raises NotFoundError where there is none of that id."""
        chosen = self._chosen().of_invocation("invocation_id", invocation_id).owned_by(owner)
        with self._reading() as connection:
            rows = [] if connection is None else chosen.select(connection, f"SELECT {_COLUMNS}, {_PAYLOADS} {_FROM}")
        for row in rows:
            return _invocation_of(row)
        raise NotFoundError("Invocation not found", reason=Reason.INVOCATION_NOT_FOUND)

    def ids_starting_with(self, prefix: str, *, limit: int = 10) -> list[str]:
        """Returns the ids that a prefix may stand for, at most `limit`."""
        # Not LIKE, to which case and some characters mean other things.
        chosen = self._chosen().where("substr(invocation_id, 1, ?) = ?", len(prefix), prefix)
        with self._reading() as connection:
            if connection is None:
                return []
            rows = chosen.select(connection, f"SELECT invocation_id {_FROM}", "ORDER BY number DESC LIMIT ?", limit)
            return [row["invocation_id"] for row in rows]

    def page(
        self,
        *,
        agent_id: str = "",
        states: Collection[InvocationState] = (),
        limit: int = DEFAULT_PAGE_SIZE,
        token: str = "",
        owner: str | None = None,
        payloads: bool = False,
    ) -> InvocationPage:
        """Returns invocations, the newest first: of one agent or of all, in some states or in any.

        Input and output are there only where `payloads` asks for them. Raises InvalidRequestError for a token that no
        page gave.
        """
        columns = f"{_COLUMNS}, {_PAYLOADS}" if payloads else _COLUMNS
        chosen = self._chosen().of_agent(agent_id).owned_by(owner).in_states(states)
        if token:
            chosen.where("number < ?", _number(token))
        limit = _bounded(limit)
        with self._reading() as connection:
            if connection is None:
                return InvocationPage(invocations=(), next_token="")
            rows = chosen.select(connection, f"SELECT {columns} {_FROM}", "ORDER BY number DESC LIMIT ?", limit + 1)
        invocations = tuple(map(_invocation_of, rows[:limit]))
        more = len(rows) > limit
        return InvocationPage(invocations=invocations, next_token=str(rows[limit - 1]["number"]) if more else "")

    def stats(self, *, agent_id: str = "", owner: str | None = None) -> InvocationStats:
        """Counts invocations, of one agent or of all."""
        chosen = self._chosen().of_agent(agent_id).owned_by(owner)
        question = (
            f"SELECT {_STATE} AS state, count(*) AS count, avg(elapsed) AS average, max(start_time) AS last {_FROM}"
        )
        with self._reading() as connection:
            rows = [] if connection is None else chosen.select(connection, question, "GROUP BY 1")
        by_state = {InvocationState[row["state"]]: row for row in rows}
        completed = by_state.get(InvocationState.COMPLETED)
        return InvocationStats(
            total=sum(row["count"] for row in rows),
            states={state: row["count"] for state, row in by_state.items()},
            average_seconds=None if completed is None else completed["average"],
            last_start=max((time_of_number(row["last"]) for row in rows), default=None),
        )

    def logs(
        self,
        *,
        agent_id: str = "",
        invocation_id: str = "",
        limit: int = DEFAULT_PAGE_SIZE,
        token: str = "",
        owner: str | None = None,
    ) -> LogPage:
        """Returns the lines behind a token's, the oldest first: of one agent or invocation, or of all.

        Raises InvalidRequestError for a token that no page gave.
        """
        chosen = self._lines_of(agent_id, invocation_id, owner)
        if token:
            chosen.where("logs.number > ?", _number(token))
        lines = self._lines(chosen, "ORDER BY logs.number", limit)
        return LogPage(lines=lines, next_token=str(lines[-1].number) if lines else token)

    def latest_logs(
        self,
        *,
        agent_id: str = "",
        invocation_id: str = "",
        limit: int = DEFAULT_PAGE_SIZE,
        owner: str | None = None,
    ) -> LogPage:
        """Returns the last lines, the oldest of them first. The token leads to lines that are yet to come."""
        lines = self._lines(self._lines_of(agent_id, invocation_id, owner), "ORDER BY logs.number DESC", limit)[::-1]
        return LogPage(lines=lines, next_token=str(lines[-1].number) if lines else "")

    def _lines_of(self, agent_id: str, invocation_id: str, owner: str | None) -> _Choice:
        chosen = self._chosen().of_agent(agent_id).owned_by(owner)
        return chosen.of_invocation("logs.invocation_id", invocation_id) if invocation_id else chosen

    def _lines(self, chosen: _Choice, order: str, limit: int) -> tuple[RecordedLine, ...]:
        question = f"SELECT logs.number, logs.invocation_id, agent_id, time, level, text {_LINES_FROM}"
        with self._reading() as connection:
            if connection is None:
                return ()
            return tuple(map(_line_of, chosen.select(connection, question, f"{order} LIMIT ?", _bounded(limit))))

    def _chosen(self) -> _Choice:
        return _Choice() if self._agent_ids is None else _Choice().of_agents(self._agent_ids)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        self._flush()
        with reading(self._path) as connection:
            if connection is not None:
                connection.row_factory = sqlite3.Row
                # Before the rows: one that is gone writes nothing any more, so what they say of it stays true.
                gone = {name for name, server in running_servers(connection).items() if not server.is_alive()}
                connection.create_function("runagent_gone", 1, gone.__contains__)
            yield connection


@dataclass(slots=True)
class _Choice:
    """Which rows are asked for. The conditions are our own, and values never become part of them."""

    conditions: list[str] = field(default_factory=lambda: ["1"])
    values: list[str | int] = field(default_factory=list)

    def where(self, condition: str, *values: str | int) -> _Choice:
        self.conditions.append(condition)
        self.values += values
        return self

    def of_invocation(self, column: str, invocation_id: str) -> _Choice:
        return self.where(same_id(column, "?"), invocation_id, invocation_id)

    def of_agent(self, agent_id: str) -> _Choice:
        return self.where("invocations.agent_id = ?", agent_id) if agent_id else self

    def of_agents(self, agent_ids: Collection[str]) -> _Choice:
        return self.where(f"invocations.agent_id IN ({', '.join('?' * len(agent_ids))})", *sorted(agent_ids))

    def owned_by(self, owner: str | None) -> _Choice:
        return self if owner is None else self.where("owner = ?", owner)

    def in_states(self, states: Collection[InvocationState]) -> _Choice:
        if not states:
            return self
        return self.where(f"{_STATE} IN ({', '.join('?' * len(states))})", *(state.name for state in states))

    def select(
        self, connection: sqlite3.Connection, question: str, rest: str = "", *values: str | int
    ) -> list[sqlite3.Row]:
        statement = f"{question} WHERE {' AND '.join(self.conditions)} {rest}"
        return connection.execute(statement, [*self.values, *values]).fetchall()


def _number(token: str) -> int:
    # int() alone would take more: spaces, digits of other scripts, and numbers that SQLite cannot hold.
    if token.isascii() and token.isdecimal() and len(token) < 19:
        return int(token)
    description = "It is not a token that a page came with. Leave it out to start anew."
    raise InvalidRequestError(
        f"`page_token`: {description}", violations=(Violation(field="page_token", description=description),)
    )


def _bounded(limit: int) -> int:
    return min(limit, MAX_PAGE_SIZE) if limit > 0 else DEFAULT_PAGE_SIZE


def _invocation_of(row: sqlite3.Row) -> InvocationRecord:
    return record_of(dict(row))


def _line_of(row: sqlite3.Row) -> RecordedLine:
    return RecordedLine(**{**dict(row), "time": time_of_number(row["time"])})
