"""JSON that callers send, read strictly."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

from runagent_grpc.errors import InvalidRequestError, Reason
from runagent_grpc.values.limits import MAX_DEPTH, Step, integer_too_long, lone_surrogate, too_deep
from runagent_grpc.values.text import has_lone_surrogate

__all__ = ["parse_json"]


def parse_json(text: str | bytes) -> Any:
    """Parses JSON that a caller sent, and refuses what JSON does not allow or what cannot be passed on exactly.

    Raises InvalidRequestError: MALFORMED_REQUEST for what is no JSON (NaN, Infinity and numbers beyond a double's
    range among it), VALIDATION_ERROR for duplicate keys, lone surrogates, integers of more than 4,300 digits, and
    nesting of more than 100 levels.
    """
    try:
        text = text if isinstance(text, str) else text.decode()
        value = _decoder.decode(text)
    except RecursionError:
        raise too_deep() from None
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"Invalid JSON: byte {error.start} is not UTF-8.", reason=Reason.MALFORMED_REQUEST
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidRequestError(
            f"Invalid JSON: {error.msg} (line {error.lineno}, column {error.colno}).", reason=Reason.MALFORMED_REQUEST
        ) from None
    except ValueError:
        # From int(), which does not say where.
        raise integer_too_long() from None
    # An upper bound of how deep it nests, at the price of two scans.
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _check_depth(value)
    if _SURROGATE.search(text):
        _check_text(value, [])
    return value


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if isinstance(item, list | dict)]
        if not containers:
            return
        level = [part for item in containers for part in (item.values() if isinstance(item, dict) else item)]
    raise too_deep()


def _check_text(value: Any, path: list[Step]) -> None:
    """Looks for the string that has a lone surrogate, and raises with its place. Written `\\ud83d\\ude00`, none has."""
    if isinstance(value, str):
        if has_lone_surrogate(value):
            raise lone_surrogate(path)
        return
    if isinstance(value, list):
        members: Any = enumerate(value)
    elif isinstance(value, dict):
        members = value.items()
    else:
        return
    for step, item in members:
        path.append(step)
        _check_text(step, path)
        _check_text(item, path)
        path.pop()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise InvalidRequestError(f"Invalid JSON: the key {twice[:40]!r} stands twice in one object.")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise InvalidRequestError(
            f"Invalid JSON: the number {text[:40]} is out of range.", reason=Reason.MALFORMED_REQUEST
        )
    return number


def _no_constant(name: str) -> Any:
    raise InvalidRequestError(f"Invalid JSON: {name} is not allowed.", reason=Reason.MALFORMED_REQUEST)


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)
