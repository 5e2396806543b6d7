"""What every dialect of the HTTP server makes its JSON texts of: values, errors and times.

All of it is ASCII, for there are clients that decode UTF-8 in pieces. A result or a chunk was encoded once, by the
engine; its text is spliced in and never parsed again.
"""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from json.encoder import encode_basestring as quoted_beyond_ascii
from json.encoder import encode_basestring_ascii as quoted

from runagent_grpc.errors import TABLE, Reason, RunAgentError
from runagent_grpc.values.payload import Json, Payload

__all__ = [
    "RAISED_IN_RUN",
    "RAISED_IN_STREAM",
    "dumps",
    "error_members",
    "json_text",
    "message_to_callers",
    "now",
    "quoted",
    "structured",
    "time_text",
]

dumps = json.JSONEncoder(separators=(",", ":")).encode

RAISED_IN_RUN = "Agent execution failed: "
RAISED_IN_STREAM = "Streaming error: "
"""What published clients expect before the message of what the entrypoint raised."""


def json_text(payload: Payload) -> str:
    """Returns a payload's JSON text, in ASCII."""
    text = _text_of(payload)
    return text if text.isascii() else _BEYOND_ASCII.sub(_escaped, text)


def structured(payload: Payload) -> str:
    """Returns the JSON text that tells a payload's type and holds its JSON text, as a string."""
    # Quoting makes it ASCII, once: escaped before, every other script would take twice the room.
    text = _text_of(payload)
    return f'{{"type":"{_type_of(text)}","payload":{quoted(text)}}}'


def message_to_callers(error: RunAgentError, prefix: str) -> str:
    """Returns the message, with the words that published clients expect before what the entrypoint raised."""
    return prefix + error.message if error.reason is Reason.EXECUTION_FAILED else error.message


def error_members(error: RunAgentError, message: str) -> dict[str, str | None]:
    return {
        "code": TABLE[error.reason].code,
        "message": message,
        "suggestion": error.suggestion,
        "details": error.details,
    }


def now() -> str:
    return time_text(datetime.now(UTC))


def time_text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


_TYPES = {'"': "string", "{": "object", "[": "array", "t": "boolean", "f": "boolean", "n": "null"}

_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


def _text_of(payload: Payload) -> str:
    if type(payload) is Json:
        return payload
    return quoted_beyond_ascii(payload if isinstance(payload, str) else base64.b64encode(payload).decode())


def _type_of(text: str) -> str:
    kind = _TYPES.get(text[0])
    if kind is not None:
        return kind
    # An integer may have thousands of digits, so the search is for what makes it none.
    return "number" if any(sign in text for sign in ".eE") else "integer"


def _escaped(match: re.Match[str]) -> str:
    # Everything that is not ASCII is inside of strings.
    return quoted(match[0])[1:-1]
