"""A log file: its levels, the time it spans, its most frequent messages and its bursts of errors."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from .text import bar, block, plural, share, shown, sparkline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .source import Source

__all__ = ["LogFindings", "LogSummary"]

ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,6})?(?: ?(?:Z|[-+]\d\d:?\d\d))?", re.ASCII)
WEB_TIME = re.compile(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [-+]\d{4}", re.ASCII)
LEVEL = re.compile(r"\b(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b")
LEVEL_FIELD = re.compile(r"\blevel[\"']?\s*[=:]\s*[\"']?([A-Za-z]+)")
ERRORS = frozenset({"ERROR", "CRITICAL", "FATAL"})
# What differs between two messages that say the same: identifiers in hexadecimal, numbers, quoted words.
VARIABLE = re.compile(r"\"[^\"]*\"|'[^']*'|\b(?=[0-9a-f-]*\d)[0-9a-f]{8}[0-9a-f-]*\b|\d+(?:[.:]\d+)*", re.ASCII)

LONGEST_LOOKED_AT = 1_000
DIFFERENT_MESSAGES_KEPT = 2_000
MOST_BUCKETS = 1_024
FEWEST_ERRORS_IN_A_BURST = 3
BURST_FACTOR = 5
TIMELINE_WIDTH = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    start: str
    end: str
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSummary:
    kind: str
    count: int
    """The lines."""
    entries: int
    """The lines that are no continuation of the one before, such as a stack trace's."""
    levels: dict[str, int]
    first_time: str | None
    last_time: str | None
    timeline: list[int]
    """The entries in each sixtieth of that time."""
    error_timeline: list[int]
    messages: list[tuple[str, int]]
    """The most frequent ones, what varies in them replaced by #."""
    error_messages: list[tuple[str, int]]
    bursts: list[Burst]
    notes: list[str]

    def paragraphs(self) -> Iterator[str]:
        width = max((len(level) for level in self.levels), default=0)
        lines = [
            f"{level:<{width}}  {count:>7,}  {share(count, self.entries):>4}  {bar(count, self.entries)}"
            for level, count in self.levels.items()
        ]
        yield block("levels", lines or ["none found"])
        if self.first_time is not None:
            yield block("time", [f"from {self.first_time} to {self.last_time}"])
            if any(self.timeline):
                yield block("all entries", [sparkline(self.timeline)])
            if any(self.error_timeline):
                yield block("errors", [sparkline(self.error_timeline)])
        yield block("top messages", [f"{count:>5,} x {shown(text, 56)}" for text, count in self.messages])
        if self.error_messages:
            yield block("top errors", [f"{count:>5,} x {shown(text, 56)}" for text, count in self.error_messages])


class LogFindings:
    """Reads a log line by line."""

    unit = "lines"

    def __init__(self, source: Source) -> None:
        self._source = source
        self._lines = 0
        self._entries = 0
        self._levels: Counter[str] = Counter()
        self._messages: Counter[str] = Counter()
        self._error_messages: Counter[str] = Counter()
        self._times = _Buckets()
        self._error_times = _Buckets()

    def headline(self) -> str:
        return "read as a log"

    def read(self) -> Iterator[int]:
        """Reads the file and yields, after each line, how many there have been."""
        for line in self._source.lines():
            self._lines += 1
            if line.strip():
                self._add(line[:LONGEST_LOOKED_AT].strip())
            yield self._lines

    def summary(self) -> LogSummary:
        start, end = self._times.first, self._times.last
        bursts = self._bursts()
        notes = [f"{plural(burst.errors, 'error')} between {burst.start} and {burst.end}" for burst in bursts]
        if self._error_messages:
            text, count = self._error_messages.most_common(1)[0]
            notes.append(f"{share(count, self._error_messages.total())} of the errors: {shown(text, 48)}")
        if self._lines and start is None:
            notes.append("no times found, so nothing can be said about when")
        return LogSummary(
            kind="log",
            count=self._lines,
            entries=self._entries,
            levels=dict(self._levels.most_common()),
            first_time=start.isoformat(" ", "seconds") if start else None,
            last_time=end.isoformat(" ", "seconds") if end else None,
            timeline=self._times.spread(start, end),
            error_timeline=self._error_times.spread(start, end),
            messages=self._messages.most_common(5),
            error_messages=self._error_messages.most_common(3),
            bursts=bursts,
            notes=notes,
        )

    def _add(self, line: str) -> None:
        rest, moment = _without_time(line)
        level = _level_of(rest)
        if moment is None and level is None and self._times.first is not None:
            return
        self._entries += 1
        if level is not None:
            self._levels[level] += 1
        if moment is not None:
            self._times.add(moment)
        message = VARIABLE.sub("#", LEVEL.sub("", rest, count=1)).strip(" \t-:|[]")[:120]
        _count(self._messages, message)
        if level in ERRORS:
            _count(self._error_messages, message)
            if moment is not None:
                self._error_times.add(moment)

    def _bursts(self) -> list[Burst]:
        """Returns the times with many more errors than usual, the worst three, in order."""
        start, end = self._times.first, self._times.last
        if start is None or end is None:
            return []
        buckets = self._error_times
        usual = buckets.counts.total() / ((end - start) / buckets.width + 1)
        crowded = sorted(
            bucket
            for bucket, count in buckets.counts.items()
            if count >= max(FEWEST_ERRORS_IN_A_BURST, BURST_FACTOR * usual)
        )
        runs: list[list[int]] = []
        for bucket in crowded:
            # One quieter bucket between two crowded ones does not make them two bursts.
            if runs and bucket - runs[-1][-1] <= 2:
                runs[-1].append(bucket)
            else:
                runs.append([bucket])
        bursts = [
            Burst(
                start=buckets.start_of(run[0]).isoformat(" ", "minutes"),
                end=buckets.start_of(run[-1] + 1).isoformat(" ", "minutes"),
                errors=sum(buckets.counts[bucket] for bucket in range(run[0], run[-1] + 1)),
            )
            for run in runs
        ]
        worst = sorted(bursts, key=lambda burst: burst.errors, reverse=True)[:3]
        return sorted(worst, key=lambda burst: burst.start)


class _Buckets:
    """How many things happened in each minute; in each two, four, … minutes once the minutes become too many."""

    def __init__(self) -> None:
        self.width = timedelta(minutes=1)
        self.counts: Counter[int] = Counter()
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, moment: datetime) -> None:
        self.first = moment if self.first is None else min(self.first, moment)
        self.last = moment if self.last is None else max(self.last, moment)
        self.counts[(moment - datetime.min) // self.width] += 1
        while len(self.counts) > MOST_BUCKETS:
            self.width *= 2
            coarser: Counter[int] = Counter()
            for bucket, count in self.counts.items():
                coarser[bucket // 2] += count
            self.counts = coarser

    def start_of(self, bucket: int) -> datetime:
        return datetime.min + bucket * self.width

    def spread(self, start: datetime | None, end: datetime | None) -> list[int]:
        """Returns the counts of equal parts of the time from `start` to `end`; nothing for less than a few buckets."""
        if start is None or end is None or end - start < 5 * self.width:
            return []
        parts = min(TIMELINE_WIDTH, (end - start) // self.width + 1)
        spread = [0] * parts
        for bucket, count in self.counts.items():
            past = max(self.start_of(bucket), start) - start
            spread[min(parts - 1, int(parts * (past / (end - start))))] += count
        return spread


def _without_time(line: str) -> tuple[str, datetime | None]:
    """Takes the first time out of the line's start; one with an offset becomes UTC."""
    found = ISO_TIME.search(line, 0, 100) or WEB_TIME.search(line, 0, 200)
    if found is None:
        return line, None
    text = found[0]
    try:
        if found.re is WEB_TIME:
            moment = datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z")
        else:
            moment = datetime.fromisoformat(text.replace(",", ".").replace(" ", "T", 1).replace(" ", ""))
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return line, None
    if not 1970 <= moment.year < 2200:
        return line, None
    return line[: found.start()] + line[found.end() :], moment


def _level_of(text: str) -> str | None:
    found = LEVEL.search(text, 0, 120) or LEVEL_FIELD.search(text)
    if found is None:
        return None
    level = found[1].upper()
    return "WARNING" if level == "WARN" else level[:12]


def _count(counter: Counter[str], message: str) -> None:
    if message in counter or len(counter) < DIFFERENT_MESSAGES_KEPT:
        counter[message] += 1
