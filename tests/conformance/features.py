"""The table in docs/sdks.md: which features the kit has found in which client."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Mapping

from tests.conformance.catalogue import ROOT, RUNNERS, Runner
from tests.conformance.kit import cases_for

__all__ = ["FEATURES", "PAGE", "column_of", "columns_in", "page_with"]

PAGE = ROOT / "docs" / "sdks.md"

FEATURES: Mapping[str, tuple[str, ...]] = {
    "Positional and named arguments, errors that name the field": ("arguments/*",),
    "Values of every kind, unchanged": ("values/*",),
    "Text, arrays and objects": (
        "values/*text*",
        "values/*array*",
        "values/*object*",
        "values/unicode",
        "values/*characters*",
        "values/deep*",
        "values/nested",
        "values/byte-order-mark",
    ),
    "Integers beyond 2^53, every digit": ("values/*integer*", "values/*10-to-the-40"),
    "`1` and `1.0` told apart": ("values/*double-one*", "values/integer-one*"),
    "NaN and infinities, by the rules for values": ("values/*nan*", "values/*infinity*"),
    "Bytes": ("values/*bytes*",),
    "Lone surrogates refused": ("values/*surrogate*",),
    "Typed errors, by reason and code": ("errors/*",),
    "Streams: every chunk once, in order": ("streams/*",),
    "Heartbeats and unknown events ignored": ("streams/heartbeats*", "streams/an-unknown-event*"),
    "A stream without its terminal event is an error": (
        "streams/without*",
        "streams/a-missing-chunk",
        "streams/a-count*",
        "streams/silence",
    ),
    "Timeouts": ("deadlines/*",),
    "Leaving cancels; cancelling by id": ("cancel/*",),
    "Resume by invocation and chunk": ("resume/b*", "resume/from*", "resume/of*", "resume/somebody*"),
    "A stream that was cut goes on by itself": (
        "resume/after*",
        "resume/overlapping",
        "resume/that*",
        "resume/through-cuts",
    ),
    "A request_id runs once": (
        "idempotency/a-run-sent*",
        "idempotency/a-stream*",
        "idempotency/another*",
        "idempotency/a-failure*",
        "idempotency/without*",
    ),
    "Runs tried again": ("idempotency/a-run-is-tried*", "idempotency/the-servers-pause*"),
    "Keys": ("auth/*",),
    "Limits told by a reason": ("limits/*",),
    "A server that shuts down": ("shutdown/*",),
}
"""Each feature, and the cases that show it."""

_TABLE = re.compile(r"(?<=<!-- features -->\n).*?(?=<!-- end of features -->)", re.DOTALL)


def column_of(runner: Runner, failing: Collection[str]) -> list[str]:
    """Returns what the table says of a runner that fails these cases, a cell for each feature."""
    return [_cell(runner, patterns, failing) for patterns in FEATURES.values()]


def columns_in(page: str) -> dict[str, list[str]]:
    """Returns the columns of the table in a page, by the runner's name."""
    match = _TABLE.search(page)
    rows = (
        [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in match[0].splitlines() if line]
        if match
        else []
    )
    names = {runner.title: name for name, runner in RUNNERS.items()}
    if not rows:
        return {}
    return {names[title]: [row[index] for row in rows[2:]] for index, title in enumerate(rows[0][1:], 1)}


def page_with(page: str, columns: Mapping[str, list[str]]) -> str:
    """Returns the page with these columns in its table, in the order of the catalogue, beside those that it has."""
    merged = {**columns_in(page), **columns}
    shown = [name for name in RUNNERS if name in merged]
    rows = [["feature", *(RUNNERS[name].title for name in shown)], ["---"] * (len(shown) + 1)]
    rows += [[feature, *(merged[name][index] for name in shown)] for index, feature in enumerate(FEATURES)]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    return _TABLE.sub(lambda _: table, page)


def _cell(runner: Runner, patterns: tuple[str, ...], failing: Collection[str]) -> str:
    names = [case.case_id for case in cases_for(runner)]
    asked = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]
    missed = [name for name in asked if name in failing]
    if not asked:
        return "-"
    if not missed:
        return "yes"
    return "no" if len(missed) == len(asked) else f"{len(asked) - len(missed)} of {len(asked)}"
