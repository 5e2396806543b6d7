"""The one thread that writes history: it collects for a moment, and commits what it has as one transaction."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runagent_grpc.engine.invocation import Invocation, InvocationState
from runagent_grpc.engine.recorder import LogLine, Output
from runagent_grpc.payload import size_of
from runagent_grpc.store.inbox import Inbox
from runagent_grpc.store.inputs import InputCopy, input_text
from runagent_grpc.store.schema import text_of_time, transaction
from runagent_grpc.store.settings import RecordingSettings
from runagent_grpc.store.values import pack, pack_all

__all__ = ["Ended", "Event", "Logged", "Mark", "Started", "Writer"]

_logger = logging.getLogger(__name__)

_LINGER_SECONDS = 0.02
_RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    invocation: Invocation
    """Only what never changes is read of it: it may have ended meanwhile."""
    user_id: str
    request_id: str
    transport: str
    input: InputCopy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    invocation: Invocation
    output: Output


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    line: LogLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Passed once everything before it is written, or could not be."""

    passed: threading.Event = field(default_factory=threading.Event)
    last: bool = False
    """Whether the thread ends here."""


Event = Started | Ended | Logged | Mark

_INSERT = """
    INSERT OR REPLACE INTO runagent_grpc_invocations (
        invocation_id, agent_id, entrypoint_tag, owner, user_id, request_id, transport, instance,
        state, cause, reason, message, start_time, end_time, elapsed,
        input, result, result_size, chunk_count, first_chunks, last_chunks
    ) VALUES (
        :invocation_id, :agent_id, :entrypoint_tag, :owner, :user_id, :request_id, :transport, :instance,
        :state, :cause, :reason, :message, :start_time, :end_time, :elapsed,
        :input, :result, :result_size, :chunk_count, :first_chunks, :last_chunks
    )
"""

_UPDATE = """
    UPDATE runagent_grpc_invocations SET
        state = :state, cause = :cause, reason = :reason, message = :message, end_time = :end_time,
        elapsed = :elapsed, result = :result, result_size = :result_size, chunk_count = :chunk_count,
        first_chunks = :first_chunks, last_chunks = :last_chunks
    WHERE invocation_id = :invocation_id
"""

_INSERT_LINE = "INSERT INTO runagent_grpc_logs (invocation_id, time, level, text) VALUES (?, ?, ?, ?)"

_RUNNING = dict.fromkeys(
    ("reason", "message", "end_time", "elapsed", "result", "result_size", "first_chunks", "last_chunks")
)

Row = dict[str, Any]


@dataclass(slots=True)
class _Batch:
    """What one transaction writes. An invocation that started and ended within is one row."""

    started: dict[str, Row] = field(default_factory=dict)
    ended: list[Row] = field(default_factory=list)
    lines: list[tuple[str, str, str, str]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.started or self.ended or self.lines)

    def pass_marks(self) -> None:
        for mark in self.marks:
            mark.passed.set()


class Writer:
    """Writes what comes into the inbox, on a thread of its own, until a last mark."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        inbox: Inbox[Event],
        *,
        instance: str,
        settings: RecordingSettings,
        parameter_names: Mapping[str, Sequence[str]],
    ) -> None:
        self._connection = connection
        self._inbox = inbox
        self._instance = instance
        self._settings = settings
        self._parameter_names = parameter_names
        self._troubled = False
        self._thread = threading.Thread(target=self._work, name="runagent-history", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Waits until the thread has ended."""
        self._thread.join()

    def _work(self) -> None:
        last = False
        while not last:
            batch = self._batch(self._inbox.take(_LINGER_SECONDS))
            last = any(mark.last for mark in batch.marks)
            while batch and not self._try_to_commit(batch):
                # Nobody is kept waiting for a file that is not to be had, but what is to be written is kept.
                batch.pass_marks()
                if last:
                    break
                time.sleep(_RETRY_SECONDS)
            batch.pass_marks()

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
            case Started():
                row = self._row_of_start(event)
                batch.started[row["invocation_id"]] = row
            case Ended():
                row = self._row_of_end(event)
                started = batch.started.get(row["invocation_id"])
                if started is None:
                    batch.ended.append(row)
                else:
                    started.update(row)
            case Logged(line=line):
                batch.lines.append((line.invocation_id, text_of_time(line.time), _text(line.level), _text(line.text)))
            case Mark():
                batch.marks.append(event)

    def _row_of_start(self, event: Started) -> Row:
        invocation = event.invocation
        return {
            **_RUNNING,
            "invocation_id": invocation.invocation_id,
            "agent_id": _text(invocation.agent_id),
            "entrypoint_tag": _text(invocation.entrypoint_tag),
            "owner": invocation.owner,
            "user_id": _text(event.user_id),
            "request_id": _text(event.request_id),
            "transport": event.transport,
            "instance": self._instance,
            "state": InvocationState.RUNNING.name,
            "cause": "",
            "start_time": text_of_time(invocation.start_time),
            "input": self._input(event),
            "chunk_count": 0,
        }

    def _input(self, event: Started) -> str | None:
        if event.input is None:
            return None
        names = self._parameter_names.get(event.invocation.entrypoint_tag, ())
        return input_text(event.input, names=names, limit=self._settings.max_recorded_bytes)

    def _row_of_end(self, event: Ended) -> Row:
        invocation, output = event.invocation, event.output
        error, end_time, result = invocation.error, invocation.end_time, output.result
        # Half of the room is for each end of a stream.
        limit, half = self._settings.max_recorded_bytes, self._settings.max_recorded_bytes // 2
        return {
            "invocation_id": invocation.invocation_id,
            "state": invocation.state.name,
            "cause": _text(invocation.cause),
            "reason": None if error is None else error.reason.value,
            "message": None if error is None else _text(error.message),
            "end_time": None if end_time is None else text_of_time(end_time),
            "elapsed": output.elapsed,
            "result": None if result is None else pack(result, limit=limit),
            "result_size": None if result is None else size_of(result),
            "chunk_count": invocation.chunk_count,
            "first_chunks": pack_all(output.first_chunks, limit=half),
            "last_chunks": pack_all(output.last_chunks, limit=half),
        }

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
        with transaction(self._connection):
            self._connection.executemany(_INSERT, list(batch.started.values()))
            self._connection.executemany(_UPDATE, batch.ended)
            self._connection.executemany(_INSERT_LINE, batch.lines)

    def _complain(self, error: Exception) -> None:
        if not self._troubled:
            self._troubled = True
            _logger.warning("The history cannot be written: %s", error)


def _text(text: str) -> str:
    """Returns a text that UTF-8, and so SQLite, can hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
