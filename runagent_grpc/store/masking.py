"""Masks what looks like a secret, told by the key that it stands under."""

from __future__ import annotations

import json
import re
from typing import Any

from runagent_grpc.values.payload import Json, encode
from runagent_grpc.values.secret_names import PARTS
from runagent_grpc.values.secret_names import is_secret_name as is_secret

__all__ = ["MASK", "is_secret", "masked_beginning", "masked_json"]

MASK = "***"

_KEY = re.compile(r'\\*"([^"\\]*)\\*"\s*:\s*')

# A value without parts, in a document or in a string of one. It may end with the text.
_VALUE = re.compile(r'"(?:[^"\\]|\\.)*"?|(\\+")(?:.*?)(?:\1|$)|[^\s,{}[\]]+', re.DOTALL)


def masked_json(text: Json) -> Json:
    """Returns the document with its secrets masked, and otherwise as it is."""
    if not _is_suspect(text):
        return text
    value = json.loads(text)
    masked = _masked(value)
    return text if masked == value else _dumped(masked)


def masked_beginning(text: str) -> str:
    """Returns the beginning of a document that was cut, with its secrets masked."""
    if not _is_suspect(text):
        return text
    masked, position = [], 0
    while key := _KEY.search(text, position):
        masked.append(text[position : key.end()])
        position = key.end()
        if is_secret(key[1], "" if text.startswith(('"', "\\"), position) else None):
            masked.append(f'"{MASK}"')
            value = _VALUE.match(text, position)
            # Where the parts of an object or an array end cannot be told, so nothing behind them is kept.
            position = value.end() if value else len(text)
    return "".join((*masked, text[position:]))


def _is_suspect(text: str) -> bool:
    """Whether there may be a secret in it. Most payloads hold none, and parsing all to find out would cost too much."""
    text = text.lower()
    return any(part in text for part in PARTS)


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: MASK if item is not None and is_secret(key, item) else _masked(item) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and _is_suspect(value):
        return _masked_within(value)
    return value


def _masked_within(text: str) -> str:
    """Masks JSON that is inside of a string, as command lines send objects."""
    try:
        return masked_json(Json(text))
    except (ValueError, RecursionError):
        return text


def _dumped(value: Any) -> Json:
    payload = encode(value)
    return payload if isinstance(payload, Json) else Json(json.dumps(value))
