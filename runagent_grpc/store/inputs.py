"""What a call was given, as one JSON object: written down by the writer's thread, masked, and cut to a size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runagent_grpc.core.call import Call
from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.store.masking import MASK, is_secret, masked_json
from runagent_grpc.values.payload import Json, Payload, argument_value, encode, json_text

__all__ = ["RecordedInput"]

_LONGEST_TEXT = 64 * 1024
"""How much of a text is kept until it is written down."""

_LONGEST_JSON = 1024 * 1024
"""How long JSON may be to be read and cut by the writer's thread."""

_NOTHING = '{"args":[],"kwargs":{},"...":"(left out)"}'

# How long strings and how many items of a container are kept, until all of it fits.
_CUTS = ((8192, 500), (1024, 100), (128, 20))

# How long an argument's JSON may be to be kept where even that does not fit.
_BRIEF = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedInput:
    """The arguments of a call. Payloads never change, so that nothing is copied."""

    args: Sequence[Payload]
    kwargs: Mapping[str, Payload]
    weight: int
    """About how many bytes it holds on to."""

    @classmethod
    def of(cls, call: Call, *, bound: bool) -> RecordedInput:
        """Returns the arguments of a call, of large ones no more than is worth keeping. Only where they were `bound`
        has somebody made sure that they are JSON."""
        args, kwargs = call.args, call.kwargs
        if not bound:
            args = [_checked(payload) for payload in args]
            kwargs = {name: _checked(payload) for name, payload in kwargs.items()}
        weight = sum(map(len, args)) + sum(map(len, kwargs.values()))
        if weight > _LONGEST_TEXT:
            args = [_beginning(payload) for payload in args]
            kwargs = {name: _beginning(payload) for name, payload in kwargs.items()}
            weight = sum(map(len, args)) + sum(map(len, kwargs.values()))
        return cls(args=args, kwargs=kwargs, weight=weight)

    def text(self, *, names: Sequence[str], limit: int) -> str:
        """Returns the input as the text of a JSON object with `args` and `kwargs`, of `limit` bytes at the most.

        `names` are those of the parameters that `args` are for, so that a secret is known by its name there, too.
        """
        args = [
            json_text(MASK if index < len(names) and is_secret(names[index]) else payload)
            for index, payload in enumerate(self.args)
        ]
        kwargs = [f"{json.dumps(name)}:{json_text(payload)}" for name, payload in self.kwargs.items()]
        text = masked_json(Json(f'{{"args":[{",".join(args)}],"kwargs":{{{",".join(kwargs)}}}}}'))
        if len(text.encode("utf-8", "replace")) <= limit:
            return text
        value = json.loads(text)
        for longest, most in _CUTS:
            text = _json(_cut(value, longest, most))
            if len(text.encode()) <= limit:
                return text
        briefly = {
            "args": list(map(_brief, value["args"])),
            "kwargs": {name: _brief(item) for name, item in value["kwargs"].items()},
        }
        text = _json(briefly)
        return text if len(text.encode()) <= limit else _NOTHING


def _checked(payload: Payload) -> Payload:
    """Returns a payload that is what it says."""
    try:
        argument_value(payload, "")
    except InvalidRequestError:
        return f"({len(payload):,} characters that are no JSON)"
    return payload


def _beginning(payload: Payload) -> Payload:
    """Returns what a payload becomes that is too large to wait as a whole."""
    if isinstance(payload, Json):
        return payload if len(payload) <= _LONGEST_JSON else f"({len(payload):,} characters of JSON)"
    if len(payload) <= _LONGEST_TEXT:
        return payload
    if isinstance(payload, bytes):
        return f"({len(payload):,} bytes)"
    return f"{payload[:_LONGEST_TEXT]}... ({len(payload):,} characters)"


def _cut(value: Any, longest: int, most: int) -> Any:
    if isinstance(value, str) and len(value) > longest:
        return f"{value[:longest]}... ({len(value):,} characters)"
    if isinstance(value, list):
        cut = [_cut(item, longest, most) for item in value[:most]]
        return cut if len(value) <= most else [*cut, f"... ({len(value):,} items)"]
    if isinstance(value, dict):
        members = {key[:longest]: _cut(item, longest, most) for key, item in list(value.items())[:most]}
        return members if len(value) <= most else {**members, "...": f"({len(value):,} members)"}
    return value


def _brief(value: Any) -> Any:
    text = _json(value)
    return value if len(text) <= _BRIEF else f"({len(text):,} characters of JSON)"


def _json(value: Any) -> Json:
    payload = encode(value)
    return payload if isinstance(payload, Json) else Json(json.dumps(str(payload)))
