"""A CSV file as a table: its delimiter, its header, its rows."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .columns import ColumnFindings, ColumnSummary, kind_of
from .text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .source import Source

__all__ = ["TableFindings", "TableSummary", "guess_delimiter"]

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LINES_TO_GUESS_FROM = 50
MOST_COLUMNS = 200
ROWS_REMEMBERED = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSummary:
    kind: str
    delimiter: str
    count: int
    """The rows, without the header."""
    duplicate_rows: int
    uneven_rows: int
    """The rows with more or fewer cells than the first."""
    columns: list[ColumnSummary]
    notes: list[str]

    def paragraphs(self) -> Iterator[str]:
        return (column.paragraph() for column in self.columns)


class TableFindings:
    """Reads a table row by row, each cell into its column."""

    unit = "rows"

    def __init__(self, source: Source, delimiter: str) -> None:
        self._source = source
        self._delimiter = delimiter
        first = next(csv.reader(io.StringIO(source.head, newline=""), delimiter=delimiter), [])
        self._has_header = _is_header(first)
        names = first if self._has_header else [f"column {position}" for position, _ in enumerate(first, start=1)]
        self._width = len(first)
        self._columns = [ColumnFindings(name.strip()) for name in names[:MOST_COLUMNS]]
        self._rows = 0
        self._seen: set[int] = set()
        self._duplicates = _Lines()
        self._uneven = _Lines()

    def headline(self) -> str:
        header = "" if self._has_header else ", no header"
        return f"{plural(self._width, 'column')} separated by {DELIMITERS[self._delimiter]}{header}"

    def read(self) -> Iterator[int]:
        """Reads the file and yields, after each row, how many there have been."""
        rows = csv.reader(self._source.lines(), delimiter=self._delimiter)
        try:
            if self._has_header:
                next(rows, None)
            for row in rows:
                if row:
                    self._add(row, rows.line_num)
                    yield self._rows
        except csv.Error as error:
            raise ValueError(
                f"Line {rows.line_num:,} cannot be read ({error}); look for a quote that is never closed."
            ) from None

    def summary(self) -> TableSummary:
        columns = [column.summary() for column in self._columns]
        notes = [note for column in columns for note in column.notes()]
        if self._duplicates.count:
            notes.append(f"{plural(self._duplicates.count, 'row')} given twice, see line {self._duplicates.first:,}")
        if self._uneven.count:
            notes.append(f"{plural(self._uneven.count, 'row')} of another length, see line {self._uneven.first:,}")
        if self._width > MOST_COLUMNS:
            notes.append(f"only the first {MOST_COLUMNS} of {self._width:,} columns were looked at")
        return TableSummary(
            kind="table",
            delimiter=self._delimiter,
            count=self._rows,
            duplicate_rows=self._duplicates.count,
            uneven_rows=self._uneven.count,
            columns=columns,
            notes=notes,
        )

    def _add(self, row: list[str], line: int) -> None:
        self._rows += 1
        if len(row) != self._width:
            self._uneven.add(line)
            row = row + [""] * (self._width - len(row))
        # Only a hash is kept, and only of so many rows: enough for a warning, and bounded.
        mark = hash(tuple(row))
        if mark in self._seen:
            self._duplicates.add(line)
        elif len(self._seen) < ROWS_REMEMBERED:
            self._seen.add(mark)
        for column, cell in zip(self._columns, row, strict=False):
            column.add(cell, line)


class _Lines:
    """How many lines are odd in some way, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first = 0

    def add(self, line: int) -> None:
        self.count += 1
        self.first = self.first or line


def guess_delimiter(head: str) -> str | None:
    """Returns the delimiter that cuts the first lines into equally many cells; None where none does."""
    lines = list(itertools.islice(io.StringIO(head, newline=""), LINES_TO_GUESS_FROM))
    best: tuple[float, int, str] | None = None
    for delimiter in DELIMITERS:
        try:
            widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        except csv.Error:
            continue
        if not widths:
            continue
        width, count = widths.most_common(1)[0]
        fit = count / widths.total()
        if width > 1 and fit >= 0.8 and (best is None or (fit, width) > best[:2]):
            best = (fit, width, delimiter)
    return best[2] if best else None


def _is_header(cells: list[str]) -> bool:
    names = [cell.strip() for cell in cells]
    return all(names) and len(set(names)) == len(names) and all(kind_of(name)[0] == "text" for name in names)
