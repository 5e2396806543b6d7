"""An agent that reads a CSV or log file and reports what is in it, while it reads.

`report_stream` yields text for people, one finding a chunk; `report` returns the same findings as data. Both read the
file once, line by line, and remember a bounded amount of it, so that its size does not matter.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from .logs import LogFindings
from .source import Source, open_source
from .tables import TableFindings, guess_delimiter
from .text import shown, size_of

LONGEST_PACE_SECONDS = 10.0
BIG_FILE_BYTES = 4_000_000


def report_stream(path: str, pace: float = 0.0) -> Iterator[str]:
    """Reports on the CSV or log file at `path`, finding by finding, in lines of at most 80 columns.

    A relative path starts at the server's working directory. `pace` is how many seconds to rest after each finding,
    for those who want to watch.
    """
    if not 0 <= pace <= LONGEST_PACE_SECONDS:
        raise ValueError(f"pace is a number of seconds from 0 to {LONGEST_PACE_SECONDS:g}, not {pace}.")
    for finding in _findings(path):
        yield finding
        if pace:
            time.sleep(pace)


def report(path: str) -> dict[str, Any]:
    """Reports on the CSV or log file at `path`: the findings of `report_stream` as one object.

    A relative path starts at the server's working directory.
    """
    with open_source(path) as source:
        findings = _look_into(source)
        for _ in findings.read():
            pass
        return {"file": source.name, "bytes": source.size, **asdict(findings.summary())}


def _findings(path: str) -> Iterator[str]:
    with open_source(path) as source:
        title = f"Report on {shown(source.name, 64)}"
        yield f"{title}\n{'═' * len(title)}\n"
        findings = _look_into(source)
        yield f"{size_of(source.size)}, {findings.headline()}\n\n"
        step = 5 if source.size > BIG_FILE_BYTES else 25
        mark = step
        for count in findings.read():
            if mark <= source.percent < 100:
                yield f"  {source.percent:>4} %  {count:,} {findings.unit} read\n"
                mark = source.percent // step * step + step
    # From here on the file is closed: what follows comes from what was remembered.
    summary = findings.summary()
    yield f"   100 %  {summary.count:,} {findings.unit} read\n\n"
    for paragraph in summary.paragraphs():
        yield f"{paragraph}\n\n"
    yield "What stands out\n───────────────\n"
    for note in summary.notes or ["Nothing: no gaps, no outliers, no surprises."]:
        yield f"  • {note}\n"


def _look_into(source: Source) -> TableFindings | LogFindings:
    """Decides by the file's name, and where that says nothing by its first lines, what to read it as."""
    if source.name.lower().endswith(".log"):
        return LogFindings(source)
    delimiter = guess_delimiter(source.head)
    if delimiter is None and not source.name.lower().endswith((".csv", ".tsv")):
        return LogFindings(source)
    return TableFindings(source, delimiter or ",")
