"""Whether an outcome is what was expected: exact where languages tend to differ, and generous nowhere."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tests.conformance.cases import written_out

__all__ = ["ERROR_KEYS", "differences"]

ERROR_KEYS = frozenset({"code", "reason", "message", "suggestion", "fields", "retry_after"})

_LONGEST_SHOWN = 200


def differences(
    expected: Mapping[str, Any], outcome: Mapping[str, Any], seconds: float, tells: Collection[str] = ERROR_KEYS
) -> list[str]:
    """Returns a sentence for each thing that is not as expected.

    `tells` are the keys of an error that the runner's wire has words for. On one that has not all of them, what an
    exception said stands behind words of the wire's own.
    """
    return list(_differences(expected, outcome, seconds, tells))


def _differences(
    expected: Mapping[str, Any], outcome: Mapping[str, Any], seconds: float, tells: Collection[str]
) -> Iterator[str]:
    if "unsupported" in outcome:
        yield f"It is not supported: {outcome['unsupported']}"
        return
    if "error" in expected or "error" in outcome:
        yield from _error_differences(expected.get("error"), outcome.get("error"), tells)
    if "result" in expected or "result" in outcome:
        yield from _value_differences("result", expected.get("result"), outcome.get("result"))
    if expected.get("ended") != outcome.get("ended"):
        yield f"It ended {outcome.get('ended')!r}, not {expected.get('ended')!r}."
    if "chunks" in expected:
        yield from _chunk_differences(expected["chunks"], outcome.get("chunks"))
    if seconds > expected.get("seconds_at_most", seconds):
        yield f"It took {seconds:.2f} s, more than {expected['seconds_at_most']:g} s."
    if seconds < expected.get("seconds_at_least", 0.0):
        yield f"It took {seconds:.2f} s, less than {expected['seconds_at_least']:g} s."


def _chunk_differences(expected: list[Any], chunks: list[Any] | None) -> Iterator[str]:
    if chunks is None:
        yield "There are no chunks: it is not a stream."
        return
    if len(expected) != len(chunks):
        yield f"There are {len(chunks)} chunks, not {len(expected)}: {_short(chunks)}."
        return
    for index, (one, other) in enumerate(zip(expected, chunks, strict=True)):
        yield from _value_differences(f"chunk {index + 1}", one, other)


def _value_differences(what: str, expected: Any, value: Any) -> Iterator[str]:
    if expected is None or value is None:
        yield f"The {what} is {_short(value)}, not {_short(expected)}."
        return
    if _exact(written_out(expected)) != _exact(value):
        yield f"The {what} is {_short(value)}, not {_short(expected)}."


def _error_differences(
    expected: Mapping[str, Any] | None, error: Mapping[str, Any] | None, tells: Collection[str]
) -> Iterator[str]:
    if expected is None:
        yield f"It failed: {_short(error)}."
        return
    if error is None:
        yield f"It did not fail; the error was to be {_short(expected)}."
        return
    for key, wanted in expected.items():
        contained = key == "message_contains" or (key == "message" and tells != ERROR_KEYS)
        if contained:
            if wanted not in error["message"]:
                yield f"The error's message is {_short(error['message'])}, without {wanted!r}."
        elif key in tells and error.get(key) != wanted:
            yield f"The error's {key} is {_short(error.get(key))}, not {_short(wanted)}: {_short(error['message'])}."


def _exact(value: Mapping[str, Any]) -> Any:
    """Returns a value such that only the same values are equal: an integer is no double, a string no bytes."""
    if "json" in value:
        return _told_apart(json.loads(value["json"], parse_float=lambda text: ("double", float(text))))
    ((kind, held),) = value.items()
    return ("text", held) if kind == "text" else (kind, held)


def _told_apart(value: Any) -> Any:
    match value:
        case str():
            return ("text", value)
        case dict():
            return ("object", {name: _told_apart(item) for name, item in value.items()})
        case list():
            return ("array", [_told_apart(item) for item in value])
        case bool() | None:
            return ("constant", value)
        case int():
            return ("integer", value)
    return value


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}... ({len(text)} characters)"
