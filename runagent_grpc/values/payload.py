"""Values as they travel: what an entrypoint takes and gives, turned into payloads and back.

A payload is a `str` (text), `bytes` (binary) or `Json` (JSON text); `Payload` in `protos/` has the same three kinds.
The rules for every kind of value are those of docs/wire.md, values: one table, the same for arguments, results and
chunks. Knows no protobuf, and no transport.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import json
import math
import pathlib
import types
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Set, ValuesView
from dataclasses import dataclass
from typing import Any

from runagent_grpc.errors import InvalidRequestError
from runagent_grpc.values import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_INTEGER_DIGITS,
    Conversion,
    Kind,
    Kinds,
    Surrogates,
    has_lone_surrogate,
    parse_json,
    write_json,
)
from runagent_grpc.values.fields import (
    attribute_fields,
    dataclass_fields,
    defines,
    is_callable_alone,
    public_attributes,
    struct_fields,
)
from runagent_grpc.values.models import model_fields, old_model_fields

__all__ = [
    "KINDS",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_INTEGER_DIGITS",
    "Json",
    "Payload",
    "TruncatedPayload",
    "argument_value",
    "array_of",
    "decode",
    "encode",
    "json_text",
    "parse_json",
    "plain",
    "size_of",
]


class Json(str):
    """A JSON document (RFC 8259) as text, told apart by its type from a string that is a value."""

    __slots__ = ()


Payload = str | bytes | Json


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncatedPayload:
    """The beginning of a payload that was too large to keep."""

    beginning: str | bytes
    """Text, JSON text (which ends in the middle) or bytes."""
    size: int
    """How many bytes the whole payload took on a wire."""

    @classmethod
    def of(cls, payload: Payload, length: int) -> TruncatedPayload:
        """Returns the first `length` characters or bytes of a payload."""
        beginning = payload[:length] if isinstance(payload, bytes) else str(payload[:length])
        return cls(beginning=beginning, size=size_of(payload))


def encode(value: Any, *, surrogates: Surrogates = "replace", limit: int = MAX_BYTES) -> Payload:
    """Turns a value into the payload that carries it.

    Lone surrogates, which no UTF-8 can hold, become U+FFFD, or are refused (as arguments are). Raises
    InvalidRequestError for a value that nests too deep or holds itself, or an integer that is too long, and
    ResourceExhaustedError (PAYLOAD_TOO_LARGE) as soon as its JSON is known to take more than `limit` bytes; all say
    where in the value. Whatever a value's own `to_dict` or `__str__` raises comes through.
    """
    if type(value) is str:
        return value if value.isascii() or not has_lone_surrogate(value) else _converted(value, surrogates, limit)
    if type(value) is bytes:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    try:
        text = write_json(value, limit=limit)
    except (TypeError, ValueError, RecursionError):
        # Something that JSON has no word for: by the table, then.
        return _converted(value, surrogates, limit)
    return _converted(value, surrogates, limit) if has_lone_surrogate(text) else Json(text)


def plain(value: Any, *, surrogates: Surrogates = "replace", limit: int = MAX_BYTES) -> Any:
    """Returns the value in JSON's own words: dict, list, str, int, float, bool and None, and nothing but those.

    The result is new, whatever the value was, though what stands in it twice may be one object; bytes are base64
    text, at the top, too. Raises as `encode` does.
    """
    return Conversion(KINDS, surrogates=surrogates, limit=limit).plain(value)


def array_of(payloads: Iterable[Payload]) -> Json:
    """Returns the payload of a list whose items are these payloads' values."""
    texts = (payload if isinstance(payload, Json) else _dumps(_leaf(payload)) for payload in payloads)
    return Json(f"[{','.join(texts)}]")


def argument_value(payload: Payload, field: str) -> Any:
    """Turns an argument's payload into a value, by the strict rules for input.

    Raises InvalidRequestError, naming `field`, for text that is no JSON document, or one beyond the limits.
    """
    if type(payload) is not Json:
        return payload
    try:
        return parse_json(payload)
    except InvalidRequestError as error:
        raise InvalidRequestError.of_argument(field, error.message, reason=error.reason) from None


def decode(payload: Payload) -> Any:
    """Turns a payload that a server sent back into a value."""
    return json.loads(payload) if type(payload) is Json else payload


def json_text(payload: Payload | TruncatedPayload) -> str:
    """Returns the JSON text of a value: bytes as base64, a beginning as an object with `excerpt` and `size`."""
    if isinstance(payload, TruncatedPayload):
        return f'{{"excerpt":{json_text(payload.beginning)},"size":{payload.size}}}'
    if isinstance(payload, Json):
        return payload
    return json.dumps(_base64(payload) if isinstance(payload, bytes) else payload, ensure_ascii=False)


def size_of(payload: Payload) -> int:
    """Returns how many bytes the payload takes on a wire."""
    if isinstance(payload, bytes) or payload.isascii():
        return len(payload)
    return len(payload.encode())


_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _converted(value: Any, surrogates: Surrogates, limit: int) -> Payload:
    converted = plain(value, surrogates=surrogates, limit=limit)
    return converted if isinstance(converted, str) else Json(_dumps(converted))


def _leaf(payload: str | bytes) -> str:
    return _base64(payload) if isinstance(payload, bytes) else payload


def _base64(value: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(bytes(value)).decode()


def _finite(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return float(value) if math.isfinite(value) else str(float(value))


def _members(value: Any) -> dict[Any, Any]:
    return dict(value.items())


def _looked_up(value: Any) -> dict[Any, Any]:
    return {key: value[key] for key in value.keys()}  # noqa: SIM118 - it is no mapping, and may not iterate over keys


def _of(*kinds: type) -> Callable[[type], bool]:
    return lambda kind: issubclass(kind, kinds)


def _with(*names: str) -> Callable[[type], bool]:
    return lambda kind: all(defines(kind, name) for name in names)


def _named(package: str, name: str) -> Callable[[type], bool]:
    """Takes a class of somebody's package, which is not imported for it."""
    return lambda kind: any(
        (base.__module__.partition(".")[0], base.__name__) == (package, name) for base in kind.__mro__
    )


def _with_method(name: str) -> Callable[[type], bool]:
    return lambda kind: is_callable_alone(kind, name)


KINDS = Kinds(
    # Values without parts. Order matters here: a bool is an int, and an Enum may be a str or an int, in which case it
    # is written as that.
    Kind(_of(bool, types.NoneType), lambda value: value),
    Kind(_of(int), int),
    Kind(_of(float), _finite),
    Kind(_of(str), str.__str__),
    Kind(_of(bytes, bytearray, memoryview), _base64),
    Kind(_of(datetime.date, datetime.time), lambda value: value.isoformat()),
    Kind(_of(uuid.UUID, decimal.Decimal, pathlib.PurePath), str),
    Kind(_of(enum.Enum), lambda value: value.value),
    # Values that are their parts.
    Kind(_of(list, tuple, deque, Set, ValuesView), list),
    Kind(_of(Mapping), _members),
    Kind(_of(type, types.ModuleType), str),
    # Objects that say what they are. Frameworks' own classes decided the order. A model's fields are its class's
    # contract: CrewAI's results and LlamaIndex's events have a `to_dict` besides, which tells a part of them. On a
    # dataclass (Agno's events) `to_dict` was written to be read. NumPy's and pandas' values become numbers, not text.
    Kind(_with("model_dump", "__pydantic_decorators__"), model_fields),
    Kind(_with_method("model_dump"), lambda value: value.model_dump()),
    Kind(_with("dict", "__fields__"), old_model_fields),
    Kind(_with_method("tolist"), lambda value: value.tolist()),
    Kind(_with_method("to_dict"), lambda value: value.to_dict()),
    # Objects whose class knows its fields.
    Kind(_with("__dataclass_fields__"), dataclass_fields),
    Kind(_with("__attrs_attrs__"), attribute_fields),
    Kind(_with("__struct_fields__"), struct_fields),
    # Holds the agent, too, and with that the key of its model: what the model said is the reply.
    Kind(_named("ag2", "AgentReply"), lambda value: value.response),
    # All others: what they hold, where there is anything, or what they say.
    Kind(_of(BaseException), str),
    Kind(_with("keys", "__getitem__"), _looked_up),
    Kind(_with("__call__"), str),
    Kind(_of(object), lambda value: public_attributes(value) or str(value)),
)
"""Every kind of value, and what it becomes. The first row that takes a value's class is the one."""
