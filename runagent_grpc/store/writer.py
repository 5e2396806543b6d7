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

from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.recorder import LogLine
from runagent_grpc.settings import RecordingSettings
from runagent_grpc.store.chunk_batch import ChunkBatch, JournalRow
from runagent_grpc.store.inputs import RecordedInput
from runagent_grpc.store.pruning import Pruner
from runagent_grpc.store.schema import ID_KEY, number_of_time, transaction
from runagent_grpc.store.values import pack, pack_all
from runagent_grpc.store.write_queue import WriteQueue
from runagent_grpc.values.payload import TruncatedPayload, size_of

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
    line: LogLine


@dataclass(slots=True)
class FlushMarker:
    """Passed once everything before it is written, or could not be."""

    passed: threading.Event = field(default_factory=threading.Event)
    last: bool = False
    """Whether the thread ends here."""


Event = Started | Ended | Logged | ChunkBatch | FlushMarker

_Beginning = tuple[str, str, str, str, str, str, str, str, str, int, str | None]
_BEGINNING = (
    "invocation_id, agent_id, entrypoint_tag, owner, user_id, request_id, fingerprint, transport, instance, "
    "start_time, input"
)

_Outcome = tuple[
    str,
    str,
    str | None,
    str | None,
    int | None,
    float | None,
    str | None,
    int | None,
    bool,
    int,
    str | None,
    str | None,
]
_OUTCOME = (
    "state, cause, reason, message, end_time, elapsed, result, result_size, result_whole, chunk_count, first_chunks, "
    "last_chunks"
)

_RUNNING: _Outcome = (InvocationState.RUNNING.name, "", None, None, None, None, None, None, False, 0, None, None)

# One statement for many rows: the interpreter lock changes hands with each, and may be long in coming back.
_UPSERT = (
    f"INSERT INTO runagent_grpc_invocations ({_BEGINNING}, {_OUTCOME}) VALUES "  # noqa: S608 - our own names
    f"{{rows}} ON CONFLICT ({ID_KEY}) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _OUTCOME.split(", "))
)
_INSERT_LINES = "INSERT INTO runagent_grpc_logs (invocation_id, time, level, text) VALUES {rows}"
_INSERT_CHUNKS = "INSERT OR REPLACE INTO runagent_grpc_journal (invocation_id, sequence, count, payloads) VALUES {rows}"

_MOST_VALUES = 900
"""How many values a statement may have, everywhere."""

_Line = tuple[str, int, str, str]


@dataclass(slots=True)
class _Batch:
    """What one transaction writes. An invocation that started and ended within is one row."""

    beginnings: dict[str, _Beginning] = field(default_factory=dict)
    outcomes: dict[str, _Outcome] = field(default_factory=dict)
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
        instance: str,
        settings: RecordingSettings,
        parameter_names: Mapping[str, Sequence[str]],
        pruner: Pruner,
        on_written: Callable[[Sequence[Event]], None],
    ) -> None:
        """`on_written` is told what the file now holds, on the writer's thread."""
        self._connection = connection
        self._inbox = inbox
        self._instance = instance
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
                row = (line.invocation_id, number_of_time(line.time), _text(line.level), _text(line.text))
                batch.lines.append(row)
            case ChunkBatch():
                batch.chunks += event.rows()
            case FlushMarker():
                batch.marks.append(event)

    def _beginning(self, record: InvocationRecord, recorded_input: RecordedInput | None) -> _Beginning:
        return (
            record.invocation_id,
            _text(record.agent_id),
            _text(record.entrypoint_tag),
            record.owner,
            _text(record.user_id),
            _text(record.request_id),
            _text(record.fingerprint),
            record.transport,
            self._instance,
            number_of_time(record.start_time),
            self._input(record, recorded_input) if recorded_input else None,
        )

    def _input(self, record: InvocationRecord, recorded_input: RecordedInput) -> str:
        names = self._parameter_names.get(record.entrypoint_tag, ())
        return recorded_input.text(names=names, limit=self._settings.max_recorded_bytes)

    def _outcome(self, record: InvocationRecord) -> _Outcome:
        # Half of the room is for each end of a stream.
        limit, half = self._settings.max_recorded_bytes, self._settings.max_recorded_bytes // 2
        given = record.result
        result = None if given is None or isinstance(given, TruncatedPayload) else pack(given, limit=limit)
        return (
            record.state.name,
            _text(record.cause),
            record.reason,
            None if record.message is None else _text(record.message),
            None if record.end_time is None else number_of_time(record.end_time),
            record.elapsed,
            None if result is None else result.text,
            None if given is None or isinstance(given, TruncatedPayload) else size_of(given),
            result is not None and result.whole,
            record.chunk_count,
            pack_all(record.first_chunks, limit=half),
            pack_all(record.last_chunks, limit=half),
        )

    def _try_to_commit(self, batch: _Batch) -> bool:
        """Writes a batch, and returns whether that is settled. It is not while the file is locked, or its disk full."""
        try:
            self._write(batch)
        except sqlite3.OperationalError as error:
            self._complain(error)
            return False
        except Exception as error:  # noqa: BLE001 - something that SQLite cannot hold, whatever that is
            self._complain(error)
        else:
            self._troubled = False
        return True

    def _write(self, batch: _Batch) -> None:
        outcomes = batch.outcomes
        rows = [beginning + outcomes.get(name, _RUNNING) for name, beginning in batch.beginnings.items()]
        with transaction(self._connection):
            self._write_rows(_UPSERT, rows)
            self._write_rows(_INSERT_LINES, batch.lines)
            self._write_rows(_INSERT_CHUNKS, batch.chunks)

    def _write_rows(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
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


def _text(text: str) -> str:
    """Returns a text that UTF-8, and so SQLite, can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
