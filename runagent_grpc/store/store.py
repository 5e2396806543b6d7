"""The history of one server: what the engine tells goes in, what has happened comes out."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.recorder import LogLine
from runagent_grpc.settings import RecordingSettings
from runagent_grpc.store.history import History
from runagent_grpc.store.inputs import RecordedInput
from runagent_grpc.store.instances import Instance, forget, is_alive
from runagent_grpc.store.journal import ChunkJournal
from runagent_grpc.store.lookup import SqliteInvocationStore
from runagent_grpc.store.pending import PendingRequests
from runagent_grpc.store.pruning import Pruner
from runagent_grpc.store.schema import connect, make_tables, number_of_time, transaction, translate_errors
from runagent_grpc.store.write_queue import WriteQueue
from runagent_grpc.store.writer import Ended, Event, FlushMarker, Logged, Started, Writer
from runagent_grpc.values.payload import TruncatedPayload

__all__ = ["HistoryStore"]

_logger = logging.getLogger(__name__)

_MOST_WAITING = 20_000
_HEAVIEST_WAITING = 32 * 1024 * 1024
_LONGEST_LINE = 16 * 1024


class HistoryStore:
    """A recorder that keeps what it hears in the file at `path`, until `close`; it is a `with`, too.

    Opening it settles what servers that died have left running: those invocations are lost. Raises InternalError for
    a file that cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        agent_id: str,
        settings: RecordingSettings | None = None,
        parameter_names: Mapping[str, Sequence[str]] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Opens the file, and makes it where it is missing.

        Args:
            path: The file; that of the local registry.
            agent_id: The agent that the server serves.
            settings: What is recorded.
            parameter_names: The names of an entrypoint's positional parameters by its tag, by which secrets among
                them are known.
            now: The clock.
        """
        self._path = path
        self._settings = settings or RecordingSettings()
        self._now = now
        self._dropped_lines = 0
        self._inbox: WriteQueue[Event] = WriteQueue(most=_MOST_WAITING, heaviest=_HEAVIEST_WAITING)
        with translate_errors(), contextlib.ExitStack() as stack:
            self._connection = connect(path, create=True)
            stack.callback(self._connection.close)
            make_tables(self._connection)
            self._instance = Instance(path)
            stack.callback(self._instance.close)
            with transaction(self._connection):
                self._settle_lost()
                self._connection.execute(
                    "INSERT INTO runagent_grpc_servers (instance, agent_id, pid, started_at) VALUES (?, ?, ?, ?)",
                    (self._instance.name, agent_id, os.getpid(), number_of_time(now())),
                )
            self._pending = PendingRequests()
            self.invocations = SqliteInvocationStore(
                path, instance=self._instance.name, pending=self._pending, flush=self.flush
            )
            """What the engine may ask about what it remembers no more, and what ran before it."""
            stack.pop_all()
        self.journal = ChunkJournal(self._inbox)
        """Keeps the chunks of streams that are to outlive the process."""
        self._writer = Writer(
            self._connection,
            self._inbox,
            instance=self._instance.name,
            settings=self._settings,
            parameter_names=parameter_names or {},
            pruner=Pruner(self._settings.journal_seconds, now=now),
            on_written=self._pending.written,
        )
        self.history = History(path, flush=self.flush)
        """What has happened, this server's latest included."""

    def started(self, record: InvocationRecord, call: Call) -> None:
        """Takes note of an invocation that runs, with its input."""
        if self._inbox.is_overfull:
            return
        keeps_input = self._settings.record_payloads and not self._inbox.is_full
        event = Started(record, RecordedInput.of(call, bound=not record.state.ended) if keeps_input else None)
        self._pending.add(event)
        self._inbox.put(event, weight=event.input.weight if event.input else 0)

    def ended(self, record: InvocationRecord) -> None:
        """Takes note of an outcome."""
        self.journal.ended(record.invocation_id)
        if self._inbox.is_overfull:
            return
        if not self._settings.record_payloads or self._inbox.is_full:
            record = replace(record, result=None, first_chunks=(), last_chunks=())
        event = Ended(record)
        self._pending.add(event)
        self._inbox.put(event, weight=_weight(record))

    def logged(self, line: LogLine) -> None:
        """Takes note of a line, unless more lines come than can be written; those are counted."""
        if self._inbox.is_full:
            self._dropped_lines += 1
            return
        if len(line.text) > _LONGEST_LINE:
            text = f"{line.text[:_LONGEST_LINE]}... ({len(line.text):,} characters)"
            line = LogLine(invocation_id=line.invocation_id, time=line.time, level=line.level, text=text)
        self._inbox.put(Logged(line), weight=len(line.text))

    def flush(self) -> None:
        """Waits until everything that was told so far is in the file."""
        mark = FlushMarker()
        self._inbox.put(mark, urgent=True)
        mark.passed.wait()

    def close(self) -> None:
        """Writes what is left, and says that this server has ended in order."""
        self._inbox.put(FlushMarker(last=True), urgent=True)
        self._writer.join()
        self.invocations.close()
        if self._dropped_lines:
            _logger.warning("Lines of output came too fast to be kept: %d are missing.", self._dropped_lines)
        with contextlib.closing(self._connection), contextlib.suppress(sqlite3.Error), transaction(self._connection):
            self._settle(self._instance.name)
        self._instance.close()

    def __enter__(self) -> HistoryStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _settle_lost(self) -> None:
        servers = self._connection.execute("SELECT instance FROM runagent_grpc_servers WHERE stopped_at IS NULL")
        for (name,) in servers.fetchall():
            if not is_alive(self._path, name):
                self._settle(name)
                forget(self._path, name)

    def _settle(self, instance: str) -> None:
        """Writes down that a server has ended, and that what still ran there is lost."""
        self._connection.execute(
            "UPDATE runagent_grpc_invocations SET state = 'LOST' WHERE state = 'RUNNING' AND instance = ?", (instance,)
        )
        self._connection.execute(
            "UPDATE runagent_grpc_servers SET stopped_at = ? WHERE instance = ?",
            (number_of_time(self._now()), instance),
        )


def _weight(record: InvocationRecord) -> int:
    """Returns about how many bytes an outcome holds on to."""
    kept = (record.result, *record.first_chunks, *record.last_chunks)
    return sum(len(each.beginning if isinstance(each, TruncatedPayload) else each) for each in kept if each is not None)
