"""The one thread that writes history: it collects for a moment, and commits what it has as one transaction."""

from __future__ import annotations

import itertools
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.recorder import OutputLine
from runagent_grpc.local.sqlite_file import transaction
from runagent_grpc.settings import RecordingSettings
from runagent_grpc.store.chunk_batch import ChunkBatch, JournalRow
from runagent_grpc.store.columns import (
    BEGINNING,
    INSTANCE,
    OUTCOME,
    RUNNING,
    PackedOutput,
    Row,
    RowWriter,
    SqlValue,
    names_of,
)
from runagent_grpc.store.inputs import RecordedInput
from runagent_grpc.store.leases import Lease
from runagent_grpc.store.pruning import Pruner
from runagent_grpc.store.schema import ID_KEY, number_of_time
from runagent_grpc.store.text import storable
from runagent_grpc.store.write_queue import WriteQueue

__all__ = ["Ended", "Event", "FlushMarker", "Logged", "Started", "Writer"]

_logger = logging.getLogger(__name__)

_LINGER_SECONDS = 0.025
_RETRY_SECONDS = 0.5


# Not frozen, for two are made on the event loop for every call, and frozen ones cost three times as much.
@dataclass(slots=True)
class Started:
    record: InvocationRecord
    input: RecordedInput | None
    """None where no input is recorded."""


@dataclass(slots=True)
class Ended:
    record: InvocationRecord


@dataclass(slots=True)
class Logged:
    line: OutputLine


@dataclass(slots=True)
class FlushMarker:
    """Passed once everything before it is written, or could not be."""

    passed: threading.Event = field(default_factory=threading.Event)
    last: bool = False
    """Whether the thread ends here."""


Event = Started | Ended | Logged | ChunkBatch | FlushMarker

# One statement for many rows: the interpreter lock changes hands with each, and may be long in coming back.
_BEGINNING, _OUTCOME = RowWriter(BEGINNING), RowWriter(OUTCOME)

# What another server has written off since stays lost: its row has the name of a lease that is no longer held.
_UPSERT = (
    f"INSERT INTO runagent_grpc_invocations ({', '.join([*names_of(BEGINNING), INSTANCE, *names_of(OUTCOME)])}) VALUES "  # noqa: S608 - our own names
    f"{{rows}} ON CONFLICT ({ID_KEY}) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in names_of(OUTCOME))
    + f" WHERE {INSTANCE} = excluded.{INSTANCE}"
)
_INSERT_LINES = "INSERT INTO runagent_grpc_logs (invocation_id, time, level, text) VALUES {rows}"
_INSERT_CHUNKS = "INSERT OR REPLACE INTO runagent_grpc_journal (invocation_id, sequence, count, payloads) VALUES {rows}"

_MOST_VALUES = 900
"""How many values a statement may have, everywhere."""

_Line = tuple[str, int, str, str]


@dataclass(slots=True)
class _Batch:
    """What one transaction writes. An invocation that started and ended within is one row."""

    beginnings: dict[str, list[SqlValue]] = field(default_factory=dict)
    outcomes: dict[str, list[SqlValue]] = field(default_factory=dict)
    lines: list[_Line] = field(default_factory=list)
    chunks: list[JournalRow] = field(default_factory=list)
    marks: list[FlushMarker] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.beginnings or self.lines or self.chunks)

    def pass_marks(self) -> None:
        for mark in self.marks:
            mark.passed.set()


class Writer:
    """Writes what comes into the inbox, on a thread of its own, until a last mark."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        inbox: WriteQueue[Event],
        *,
        lease: Callable[[], Lease],
        settings: RecordingSettings,
        parameter_names: Mapping[str, Sequence[str]],
        pruner: Pruner,
        on_written: Callable[[Sequence[Event]], None],
    ) -> None:
        """`lease` returns the one that this server holds, without which nothing is written. `on_written` is told what
        the file now holds, on the writer's thread."""
        self._connection = connection
        self._inbox = inbox
        self._lease = lease
        self._settings = settings
        self._parameter_names = parameter_names
        self._pruner = pruner
        self._on_written = on_written
        self._troubled = False
        self._thread = threading.Thread(target=self._work, name="runagent-history", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Waits until the thread has ended."""
        self._thread.join()

    def _work(self) -> None:
        last = False
        while not last:
            events = self._inbox.take(_LINGER_SECONDS, self._pruner.pause)
            batch = self._batch(events)
            last = any(mark.last for mark in batch.marks)
            while batch and not self._try_to_commit(batch):
                # Nobody is kept waiting for a file that is not to be had, but what is to be written is kept.
                batch.pass_marks()
                if last:
                    break
                time.sleep(_RETRY_SECONDS)
            self._on_written(events)
            batch.pass_marks()
            # They may be large, and the next ones long in coming.
            del events, batch
            self._pruner.work(self._connection)

    def _batch(self, events: list[Event]) -> _Batch:
        batch = _Batch()
        for event in events:
            try:
                self._add(batch, event)
            except Exception:
                _logger.exception("Something cannot be recorded, and is missing in the history.")
        return batch

    def _add(self, batch: _Batch, event: Event) -> None:
        match event:
            case Started(record, recorded_input):
                batch.beginnings[record.invocation_id] = self._beginning(record, recorded_input)
            case Ended(record):
                invocation_id = record.invocation_id
                batch.outcomes[invocation_id] = self._outcome(record)
                if invocation_id not in batch.beginnings:
                    # It is in the file. If it is not, because too much came at once, this much is known of it.
                    batch.beginnings[invocation_id] = self._beginning(record, None)
            case Logged(line):
                row = (line.invocation_id, number_of_time(line.time), storable(line.level), storable(line.text))
                batch.lines.append(row)
            case ChunkBatch():
                batch.chunks += event.rows()
            case FlushMarker():
                batch.marks.append(event)

    def _beginning(self, record: InvocationRecord, recorded_input: RecordedInput | None) -> list[SqlValue]:
        return _BEGINNING.values(Row(record, self._input(record, recorded_input) if recorded_input else None))

    def _input(self, record: InvocationRecord, recorded_input: RecordedInput) -> str:
        names = self._parameter_names.get(record.entrypoint_tag, ())
        return recorded_input.text(names=names, limit=self._settings.max_recorded_bytes)

    def _outcome(self, record: InvocationRecord) -> list[SqlValue]:
        return _OUTCOME.values(Row(record, output=PackedOutput.of(record, limit=self._settings.max_recorded_bytes)))

    def _try_to_commit(self, batch: _Batch) -> bool:
        """Writes a batch, and returns whether that is settled.

        It is not while the file is locked, its disk full, or this server's lease taken away.
        """
        try:
            if not self._write(batch):
                return False
        except sqlite3.OperationalError as error:
            self._complain(error)
            return False
        except Exception as error:  # noqa: BLE001 - something that SQLite cannot hold, whatever that is
            self._complain(error)
        else:
            self._troubled = False
        return True

    def _write(self, batch: _Batch) -> bool:
        outcomes, lease = batch.outcomes, self._lease()
        rows = [
            [*beginning, lease.instance, *outcomes.get(name, RUNNING)] for name, beginning in batch.beginnings.items()
        ]
        with transaction(self._connection):
            if not lease.is_held(self._connection):
                return False
            self._write_rows(_UPSERT, rows)
            self._write_rows(_INSERT_LINES, batch.lines)
            self._write_rows(_INSERT_CHUNKS, batch.chunks)
        return True

    def _write_rows(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        start = 0
        while start < len(rows):
            # A power of two, so that there are few statements, and each is prepared once.
            most = min(len(rows) - start, _MOST_VALUES // len(rows[0]))
            count = 1 << most.bit_length() - 1
            marks = f"({', '.join('?' * len(rows[0]))})"
            values = list(itertools.chain.from_iterable(rows[start : start + count]))
            self._connection.execute(statement.format(rows=", ".join([marks] * count)), values)
            start += count

    def _complain(self, error: Exception) -> None:
        if not self._troubled:
            self._troubled = True
            _logger.warning("The history cannot be written: %s", error)
