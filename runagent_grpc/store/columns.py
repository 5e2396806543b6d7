"""The columns of an invocation's row: what each is called, what is written there, and what a record takes from it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self

from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.store.errors import LOST_CAUSE, error_of_columns
from runagent_grpc.store.schema import number_of_time, time_of_number
from runagent_grpc.store.text import storable
from runagent_grpc.store.values import pack, pack_all, unpack, unpack_all
from runagent_grpc.values.payload import TruncatedPayload, size_of

__all__ = [
    "BEGINNING",
    "INSTANCE",
    "OUTCOME",
    "RUNNING",
    "Column",
    "PackedOutput",
    "Row",
    "RowWriter",
    "SqlValue",
    "names_of",
    "record_of",
]

SqlValue = str | int | float | None

INSTANCE = "instance"
"""The column with the name of the server that an invocation runs on. Whoever writes the row knows it."""


class PackedOutput(NamedTuple):
    """What an invocation gave, as a row holds it."""

    result: str | None = None
    result_size: int | None = None
    result_whole: bool = False
    first_chunks: str | None = None
    last_chunks: str | None = None

    @classmethod
    def of(cls, record: InvocationRecord, *, limit: int) -> Self:
        """Packs what the record has, within `limit` bytes: half of them are for each end of a stream."""
        result, size, whole = None, None, False
        given = record.result
        if given is not None and not isinstance(given, TruncatedPayload):
            result, whole = pack(given, limit=limit)
            size = size_of(given)
        half = limit // 2
        return cls(
            result, size, whole, pack_all(record.first_chunks, limit=half), pack_all(record.last_chunks, limit=half)
        )


class Row(NamedTuple):
    """What the values of a row are taken from."""

    record: InvocationRecord
    input: str | None = None
    output: PackedOutput = PackedOutput()


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an invocation's row."""

    name: str
    """Its name, and that of the record's field."""
    source: str
    """Where in a `Row` its value is."""
    written: Callable[[Any], SqlValue] | None = None
    """Makes what SQLite holds of it. None: it is held as it is."""
    read: Callable[[Any], Any] | None = _as_it_is
    """Makes the record's field of it. None: the record has none of its own."""
    is_payload: bool = False
    """Whether it may be large, so that lists leave it out."""
    is_added: bool = False
    """Whether files of earlier versions lack it until a server opens them."""


def _number_or_none(time: datetime | None) -> int | None:
    return None if time is None else number_of_time(time)


def _time_or_none(number: int | None) -> datetime | None:
    return None if number is None else time_of_number(number)


def _storable_or_none(text: str | None) -> str | None:
    return None if text is None else storable(text)


BEGINNING = (
    Column("invocation_id", "record.invocation_id"),
    Column("agent_id", "record.agent_id", storable),
    Column("entrypoint_tag", "record.entrypoint_tag", storable),
    Column("owner", "record.owner"),
    Column("user_id", "record.user_id", storable),
    Column("request_id", "record.request_id", storable),
    Column("fingerprint", "record.fingerprint", is_added=True),
    Column("transport", "record.transport"),
    Column("start_time", "record.start_time", number_of_time, time_of_number),
    Column("input", "input", is_payload=True),
)
"""What is known when an invocation starts."""

OUTCOME = (
    Column("state", "record.state.name", None, InvocationState.__getitem__),
    Column("cause", "record.cause", storable),
    Column("reason", "record.reason", None, None),
    Column("message", "record.message", _storable_or_none, None),
    Column("end_time", "record.end_time", _number_or_none, _time_or_none),
    Column("elapsed", "record.elapsed"),
    Column("result", "output.result", None, unpack, is_payload=True),
    Column("result_size", "output.result_size"),
    Column("result_whole", "output.result_whole", None, None, is_added=True),
    Column("chunk_count", "record.chunk_count"),
    Column("first_chunks", "output.first_chunks", None, unpack_all, is_payload=True),
    Column("last_chunks", "output.last_chunks", None, unpack_all, is_payload=True),
)
"""What is known when it has ended."""

_READ = tuple((column.name, column.read) for column in (*BEGINNING, *OUTCOME) if column.read is not None)

_NOTHING_YET: Mapping[str, SqlValue] = {
    "state": InvocationState.RUNNING.name,
    "cause": "",
    "chunk_count": 0,
    "result_whole": False,
}
RUNNING: tuple[SqlValue, ...] = tuple(_NOTHING_YET.get(column.name) for column in OUTCOME)
"""The values of OUTCOME for an invocation that runs."""


def names_of(columns: Iterable[Column]) -> list[str]:
    """Returns the columns' names, in order."""
    return [column.name for column in columns]


class RowWriter:
    """Takes the values of some columns from a row: all in one go of C, because every call pays for it twice."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._take = operator.attrgetter(*(column.source for column in columns))
        self._changes = [(number, each.written) for number, each in enumerate(columns) if each.written is not None]

    def values(self, row: Row) -> list[SqlValue]:
        """Returns the columns' values, in order."""
        values: list[SqlValue] = [*self._take(row)]
        for number, written in self._changes:
            values[number] = written(values[number])
        return values


def record_of(columns: Mapping[str, Any], **changes: Any) -> InvocationRecord:
    """Returns the record that a row tells, by the names of its columns, with some fields changed.

    The row needs the columns of errors (`error_of_columns`), and those of the fields that a record must have.
    """
    fields = {name: read(columns[name]) for name, read in _READ if name in columns} | changes
    state = fields["state"]
    if state is InvocationState.LOST:
        fields["cause"] = fields["cause"] or LOST_CAUSE
    return InvocationRecord(**fields, error=error_of_columns(columns, state))
