"""How deep, long and large a value may be, and what whoever made one beyond that is told (docs/wire.md, values)."""

from __future__ import annotations

from collections.abc import Iterable

from runagent_grpc.errors import InvalidRequestError, Reason, ResourceExhaustedError

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_INTEGER_DIGITS",
    "Step",
    "holds_itself",
    "integer_too_long",
    "is_too_long",
    "lone_surrogate",
    "too_deep",
    "too_large",
]

MAX_DEPTH = 100
"""How deep arrays and objects may nest."""

MAX_INTEGER_DIGITS = 4300
"""How many digits an integer may have: Python's own limit for turning text into integers (CVE-2020-10735)."""

MAX_BYTES = 256 * 1024 * 1024
"""How long a document may become where no other limit is set: well beyond the messages that servers take."""

Step = int | str
"""A part of a path: an index, or a name."""

_LONGEST_PATH = 200

_INTEGER_LIMIT = 10**MAX_INTEGER_DIGITS


def is_too_long(number: int) -> bool:
    """Whether an integer has more digits than may travel."""
    return not -_INTEGER_LIMIT < number < _INTEGER_LIMIT


def too_deep(path: Iterable[Step] = ()) -> InvalidRequestError:
    return InvalidRequestError(f"The value nests deeper than {MAX_DEPTH} levels{_at(path)}.")


def holds_itself(path: Iterable[Step]) -> InvalidRequestError:
    return InvalidRequestError(f"The value holds itself{_at(path)}; JSON cannot say that.")


def integer_too_long(path: Iterable[Step] = ()) -> InvalidRequestError:
    return InvalidRequestError(f"The value holds an integer of more than {MAX_INTEGER_DIGITS:,} digits{_at(path)}.")


def lone_surrogate(path: Iterable[Step] = ()) -> InvalidRequestError:
    return InvalidRequestError(f"The value holds a lone surrogate, which is not a character{_at(path, comma=True)}.")


def too_large(limit: int, path: Iterable[Step] = ()) -> ResourceExhaustedError:
    at = _at(path)
    return ResourceExhaustedError(
        f"The value takes more than {limit:,} bytes{f', which it reaches{at}' if at else ''}. Send it in parts.",
        reason=Reason.PAYLOAD_TOO_LARGE,
    )


def _at(path: Iterable[Step], *, comma: bool = False) -> str:
    """Returns " at `items[1].name`", or nothing for the value itself."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
    if not text:
        return ""
    text = text if len(text) <= _LONGEST_PATH else f"{text[:_LONGEST_PATH]}..."
    # A name may hold anything, and this is read on terminals and in logs.
    return f"{',' * comma} at `{text.encode('utf-8', 'replace').decode()}`"
