"""The history of one server: what the engine tells goes in, what has happened comes out."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.recorder import OutputLine
from runagent_grpc.settings import RecordingSettings
from runagent_grpc.store.history import History
from runagent_grpc.store.inputs import RecordedInput
from runagent_grpc.store.journal import ChunkJournal
from runagent_grpc.store.lookup import SqliteInvocationStore
from runagent_grpc.store.membership import Membership
from runagent_grpc.store.pending import PendingRequests
from runagent_grpc.store.pruning import Pruner
from runagent_grpc.store.schema import connect, make_tables, translate_errors
from runagent_grpc.store.served_history import ReadingThreads, ServedHistory
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

    Opening it settles what servers that died have left running: those invocations are lost. It waits for a moment until
    other servers of the agent claim requests in the file, as this one does then. Raises InternalError for a file that
    cannot be used.
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
        self._dropped_lines = 0
        self._inbox: WriteQueue[Event] = WriteQueue(most=_MOST_WAITING, heaviest=_HEAVIEST_WAITING)
        with translate_errors(), contextlib.ExitStack() as stack:
            self._connection = connect(path, create=True)
            stack.callback(self._connection.close)
            make_tables(self._connection)
            self._pending = PendingRequests()
            self._membership = Membership(path, agent_id=agent_id, pending=self._pending, now=now)
            stack.callback(self._membership.close)
            self._threads = ReadingThreads()
            self.invocations = SqliteInvocationStore(
                path, membership=self._membership, pending=self._pending, threads=self._threads, flush=self.flush
            )
            """What the engine may ask about what it remembers no more, and what ran before it."""
            stack.pop_all()
        self.journal = ChunkJournal(self._inbox)
        """Keeps the chunks of streams that are to outlive the process."""
        self._writer = Writer(
            self._connection,
            self._inbox,
            lease=lambda: self._membership.lease,
            settings=self._settings,
            parameter_names=parameter_names or {},
            pruner=Pruner(self._settings.journal_seconds, now=now),
            on_written=self._pending.written,
        )
        self.history = History(path, flush=self.flush)
        """What has happened, this server's latest included."""
        self.served_history = ServedHistory(self.history, self._threads)
        """The same, for event loops."""
        try:
            # TimeoutError is an OSError.
            with translate_errors():
                self._membership.wait_until_accepted()
        except BaseException:
            self.close()
            raise

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

    def logged(self, line: OutputLine) -> None:
        """Takes note of a line, unless more lines come than can be written; those are counted."""
        if self._inbox.is_full:
            self._dropped_lines += 1
            return
        if len(line.text) > _LONGEST_LINE:
            text = f"{line.text[:_LONGEST_LINE]}... ({len(line.text):,} characters)"
            line = OutputLine(invocation_id=line.invocation_id, time=line.time, level=line.level, text=text)
        self._inbox.put(Logged(line), weight=len(line.text))

    def flush(self) -> None:
        """Waits until everything that was told so far is in the file."""
        mark = FlushMarker()
        self._inbox.put(mark, urgent=True)
        mark.passed.wait()

    def close(self) -> None:
        """Writes what is left, and says that this server has ended in order."""
        # Before the writer: whoever reads waits for it.
        self._threads.close()
        self._inbox.put(FlushMarker(last=True), urgent=True)
        self._writer.join()
        self.invocations.close()
        if self._dropped_lines:
            _logger.warning("Lines of output came too fast to be kept: %d are missing.", self._dropped_lines)
        self._connection.close()
        self._membership.close()

    def __enter__(self) -> HistoryStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _weight(record: InvocationRecord) -> int:
    """Returns about how many bytes an outcome holds on to."""
    kept = (record.result, *record.first_chunks, *record.last_chunks)
    return sum(len(each.beginning if isinstance(each, TruncatedPayload) else each) for each in kept if each is not None)
