"""One column of a table: what its cells are, and what is remembered of them.

The memory is bounded whatever the length of the column: a value that is new after the first thousand different ones
is not counted by name.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from .quantities import Located, NumberFindings, NumberSummary
from .text import bar, block, plural, share, shown

__all__ = ["ColumnFindings", "ColumnSummary", "kind_of"]

MISSING = frozenset({"", "-", "na", "n/a", "nan", "null", "none"})
# A leading zero makes a code, not a number: postcodes and the like keep theirs.
NUMBER = re.compile(r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?", re.ASCII)
YES_NO = frozenset({"true", "false", "yes", "no"})

DIFFERENT_VALUES_KEPT = 1_000
LONGEST_VALUE_KEPT = 60
NEARLY_ALL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSummary:
    name: str
    type: str
    """number, date, yes/no or text; mixed where no type fits nine values in ten."""
    present: int
    missing: int
    distinct: int | None
    """None beyond a thousand."""
    top: list[tuple[str, int]]
    numbers: NumberSummary | None
    first_date: str | None
    last_date: str | None
    misfits: int
    """The values of another type than the column's."""
    misfit: Located | None
    """The first of them."""

    @property
    def is_key(self) -> bool:
        """Whether the values name the rows: all different, or so nearly that a repetition is a mistake."""
        return (
            self.type == "text"
            and self.present > 20
            and self.distinct is not None
            and self.distinct > 0.98 * self.present
        )

    def paragraph(self) -> str:
        lines = [self._first_line()]
        if self.numbers is not None:
            lines += self.numbers.lines()
        elif self.first_date is not None:
            lines.append(f"from {self.first_date} to {self.last_date}")
        elif self.is_key:
            lines.append(f"a key, such as {shown(self.top[0][0])}")
        elif self.distinct is None and self.top[0][1] * 100 < self.present:
            lines.append(f"none of them frequent, such as {shown(self.top[0][0])}")
        else:
            width = max((len(shown(value)) for value, _ in self.top), default=0)
            lines += [
                f"{shown(value):<{width}}  {share(count, self.present):>4}  {bar(count, self.present)}"
                for value, count in self.top
            ]
        return block(self.name, lines)

    def notes(self) -> list[str]:
        rows = self.present + self.missing
        name = shown(self.name)
        notes = []
        if self.missing * 20 >= rows > 0:
            notes.append(f"{name}: {share(self.missing, rows)} missing")
        if self.misfit is not None:
            notes.append(f"{name}: {shown(self.misfit.value, 12)!r} is no {self.type} (line {self.misfit.line:,})")
        if self.numbers is not None and self.numbers.outliers:
            farthest = self.numbers.outliers[0]
            count = plural(len(self.numbers.outliers), "outlier")
            notes.append(f"{name}: {count}, {shown(farthest.value, 12)} in line {farthest.line:,}")
        if self.is_key and self.top[0][1] > 1:
            notes.append(f"{name}: {shown(self.top[0][0], 16)} occurs {self.top[0][1]} times")
        return notes

    def _first_line(self) -> str:
        parts = [self.type]
        if self.numbers is None and self.first_date is None:
            parts.append("over 1,000 different values" if self.distinct is None else f"{self.distinct:,} different")
        if self.missing:
            parts.append(f"{self.missing:,} missing ({share(self.missing, self.present + self.missing)})")
        if self.misfits:
            parts.append(f"{self.misfits:,} of another type")
        return ", ".join(parts)


class ColumnFindings:
    """Takes a column's cells one by one."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._missing = 0
        self._kinds: Counter[str] = Counter()
        self._first_of: dict[str, Located] = {}
        self._values: Counter[str] = Counter()
        self._values_overflow = False
        self._numbers = NumberFindings()
        self._first_date = datetime.max
        self._last_date = datetime.min

    def add(self, cell: str, line: int) -> None:
        cell = cell.strip()
        if cell.lower() in MISSING:
            self._missing += 1
            return
        kind, value = kind_of(cell)
        self._kinds[kind] += 1
        kept = cell[:LONGEST_VALUE_KEPT]
        if kind not in self._first_of:
            self._first_of[kind] = Located(value=kept, line=line)
        if isinstance(value, float):
            self._numbers.add(value, kept, line)
        elif isinstance(value, datetime):
            self._first_date = min(self._first_date, value)
            self._last_date = max(self._last_date, value)
        if kept in self._values or len(self._values) < DIFFERENT_VALUES_KEPT:
            self._values[kept] += 1
        else:
            self._values_overflow = True

    def summary(self) -> ColumnSummary:
        present = self._kinds.total()
        kind, count = max(self._kinds.items(), key=lambda item: item[1], default=("empty", 0))
        if count < NEARLY_ALL * present:
            kind, count = "mixed", present
        misfits = [self._first_of[other] for other in self._kinds if kind not in (other, "mixed", "text")]
        dated = kind == "date"
        return ColumnSummary(
            name=self._name,
            type=kind,
            present=present,
            missing=self._missing,
            distinct=None if self._values_overflow else len(self._values),
            top=self._values.most_common(4),
            numbers=self._numbers.summary() if kind == "number" else None,
            first_date=self._first_date.isoformat(" ", "minutes") if dated else None,
            last_date=self._last_date.isoformat(" ", "minutes") if dated else None,
            misfits=present - count if misfits else 0,
            misfit=min(misfits, key=lambda misfit: misfit.line, default=None),
        )


def kind_of(cell: str) -> tuple[str, float | datetime | None]:
    """Returns the type of a cell that is not missing, and what it means where the type has an order."""
    if NUMBER.fullmatch(cell):
        value = float(cell)
        if math.isfinite(value):
            return "number", value
    elif DATE.fullmatch(cell):
        # OverflowError: an offset may carry a time out of the years that there are.
        with contextlib.suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(cell)
            return "date", moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return ("yes/no" if cell.lower() in YES_NO else "text"), None
