"""Values as they travel: what an entrypoint takes and gives, turned into payloads and back.

A payload is a `str` (text), `bytes` (binary) or `Json` (JSON text); `Payload` in `protos/` has the same three kinds.
The rules for every kind of value are those of docs/wire.md, values: one table, the same for arguments, results and
chunks. Knows no protobuf, and no transport.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import re
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from runagent_grpc.errors import InvalidRequestError, Reason

__all__ = [
    "MAX_DEPTH",
    "MAX_INTEGER_DIGITS",
    "Json",
    "Payload",
    "array_of",
    "decode",
    "encode",
    "parse_json",
    "plain",
    "size_of",
]

MAX_DEPTH = 100
"""How deep arrays and objects may nest."""

MAX_INTEGER_DIGITS = 4300
"""How many digits an integer may have: Python's own limit for turning text into integers (CVE-2020-10735)."""


class Json(str):
    """A JSON document (RFC 8259) as text, told apart by its type from a string that is a value."""

    __slots__ = ()


Payload = str | bytes | Json

Surrogates = Literal["replace", "refuse"]


def encode(value: Any, *, surrogates: Surrogates = "replace") -> Payload:
    """Turns a value into the payload that carries it.

    Lone surrogates, which no UTF-8 can hold, become U+FFFD, or are refused (as arguments are). Raises
    InvalidRequestError for a value that nests too deep or holds itself, or an integer that is too long; whatever a
    value's own `to_dict` or `__str__` raises comes through.
    """
    if type(value) is str:
        return value if value.isascii() else _valid_text(value, surrogates)
    if type(value) is bytes:
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    try:
        text = _dumps(value)
    except (TypeError, ValueError, RecursionError):
        # Something that JSON has no word for: by the table, then.
        converted = plain(value, surrogates=surrogates)
        return converted if isinstance(converted, str) else Json(_dumps(converted))
    if isinstance(value, str):
        return _valid_text(json.loads(text), surrogates)
    if _opens(text) > MAX_DEPTH:
        _check_depth(value)
    if not text.isascii() and _has_lone_surrogate(text):
        return Json(_dumps(plain(value, surrogates=surrogates)))
    return Json(text)


def plain(value: Any, *, surrogates: Surrogates = "replace") -> Any:
    """Returns the value in JSON's own words: dict, list, str, int, float, bool and None, and nothing but those.

    The result is new, whatever the value was; bytes are base64 text in it, at the top, too. Raises as `encode` does.
    """
    return _Plainer(surrogates).plain(value)


def array_of(payloads: Iterable[Payload]) -> Json:
    """Returns the payload of a list whose items are these payloads' values."""
    texts = (payload if isinstance(payload, Json) else _dumps(_leaf(payload)) for payload in payloads)
    return Json(f"[{','.join(texts)}]")


def decode(payload: Payload) -> Any:
    """Turns a payload that a server sent back into a value."""
    return json.loads(payload) if type(payload) is Json else payload


def parse_json(text: str | bytes) -> Any:
    """Parses JSON that a caller sent, and refuses what JSON does not allow or what cannot be passed on exactly.

    Raises InvalidRequestError: MALFORMED_REQUEST for what is no JSON (NaN, Infinity and numbers beyond a double's
    range among it), VALIDATION_ERROR for duplicate keys, lone surrogates, integers of more than 4,300 digits, and
    nesting of more than 100 levels.
    """
    try:
        value = _decoder.decode(text if isinstance(text, str) else text.decode())
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"Invalid JSON: byte {error.start} is not UTF-8.", reason=Reason.MALFORMED_REQUEST
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidRequestError(
            f"Invalid JSON: {error.msg} (line {error.lineno}, column {error.colno}).", reason=Reason.MALFORMED_REQUEST
        ) from None
    except ValueError:
        raise _too_long() from None
    text = text if isinstance(text, str) else text.decode()
    if _opens(text) > MAX_DEPTH:
        _check_depth(value)
    if _SURROGATE.search(text) and _has_lone_surrogate(_dumps(value)):
        raise _lone_surrogate()
    return value


def size_of(payload: Payload) -> int:
    """Returns how many bytes the payload takes on a wire."""
    if isinstance(payload, bytes) or payload.isascii():
        return len(payload)
    return len(payload.encode())


_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")

_INTEGER_LIMIT = 10**MAX_INTEGER_DIGITS


def _leaf(payload: str | bytes) -> str:
    return base64.b64encode(payload).decode() if isinstance(payload, bytes) else payload


class _Plainer:
    """Rewrites one value with nothing but what JSON has words for, by the table below."""

    def __init__(self, surrogates: Surrogates) -> None:
        self._surrogates = surrogates
        self._inside: list[int] = []
        self._path: list[str] = []

    def plain(self, value: Any) -> Any:
        for kind, convert in _LEAVES:
            if isinstance(value, kind):
                return convert(value, self._surrogates)
        if isinstance(value, enum.Enum):
            return self.plain(value.value)
        if isinstance(value, list | tuple | set | frozenset | deque):
            return self._within(value, lambda: [self._at(f"[{index}]", item) for index, item in enumerate(value)])
        fields = value if isinstance(value, Mapping) else _fields_of(value)
        if fields is None:
            return _valid_text(str(value), self._surrogates)
        if not isinstance(fields, Mapping):
            # Such as the list that a pydantic RootModel of a list is.
            return self._within(value, lambda: self.plain(fields))
        return self._within(
            value,
            lambda: {name: self._at(f".{name}", item) for name, item in self._named(fields.items())},
        )

    def _named(self, items: Iterable[tuple[Any, Any]]) -> Iterable[tuple[str, Any]]:
        return ((_valid_text(_key_of(key), self._surrogates), item) for key, item in items)

    def _at(self, step: str, item: Any) -> Any:
        self._path.append(step)
        plain = self.plain(item)
        self._path.pop()
        return plain

    def _within(self, container: Any, convert: Callable[[], Any]) -> Any:
        if id(container) in self._inside:
            path = "".join(self._path).removeprefix(".")
            raise InvalidRequestError(f"The value holds itself at `{path[:200]}`; JSON cannot say that.")
        if len(self._inside) == MAX_DEPTH:
            raise _too_deep()
        self._inside.append(id(container))
        plain = convert()
        self._inside.pop()
        return plain


def _plain_float(value: float, _: Surrogates) -> float | str | None:
    if math.isnan(value):
        return None
    return float(value) if math.isfinite(value) else str(float(value))


def _plain_int(value: int, _: Surrogates) -> int:
    if abs(value) >= _INTEGER_LIMIT:
        raise _too_long()
    return int(value)


# Values without parts. Order matters: bool is an int, datetime a date, and an Enum may be a str or an int, in which
# case its value is the same as itself.
_LEAVES: list[tuple[type | tuple[type, ...], Callable[[Any, Surrogates], Any]]] = [
    ((bool, type(None)), lambda value, _: value),
    (int, _plain_int),
    (float, _plain_float),
    (str, lambda value, surrogates: _valid_text(str.__str__(value), surrogates)),
    ((bytes, bytearray, memoryview), lambda value, _: base64.b64encode(bytes(value)).decode()),
    ((datetime.date, datetime.time), lambda value, _: value.isoformat()),
    ((uuid.UUID, decimal.Decimal), lambda value, _: str(value)),
    (pathlib.PurePath, lambda value, surrogates: _valid_text(str(value), surrogates)),
]


def _fields_of(value: Any) -> Any:
    """Returns an object's public fields, or whatever else it says it is, or None where `str()` says more about it."""
    kind = type(value)
    if isinstance(value, type):
        return None
    if dataclasses.is_dataclass(kind):
        return _public(value, (field.name for field in dataclasses.fields(kind)))
    if hasattr(kind, "__attrs_attrs__"):
        return _public(value, (attribute.name for attribute in kind.__attrs_attrs__))
    # pydantic 2, pydantic 1, and what the SDKs of this world agreed on.
    for method in ("model_dump", "dict", "to_dict"):
        if callable(getattr(kind, method, None)) and (method != "dict" or hasattr(kind, "__fields__")):
            return getattr(value, method)()
    if isinstance(value, BaseException) or callable(value):
        return None
    slots = (slot for base in kind.__mro__ for slot in _names(getattr(base, "__slots__", ())))
    return _public(value, [*slots, *getattr(value, "__dict__", ())]) or None


def _public(value: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names if not name.startswith("_") and hasattr(value, name)}


def _names(slots: str | Iterable[str]) -> Iterable[str]:
    return (slots,) if isinstance(slots, str) else slots


def _key_of(key: Any) -> str:
    """Returns a mapping's key as `json.dumps` writes it, where it does."""
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, int) and abs(key) >= _INTEGER_LIMIT:
        raise _too_long()
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    return str(key)


def _valid_text(text: str, surrogates: Surrogates) -> str:
    if text.isascii() or not _has_lone_surrogate(text):
        return text
    if surrogates == "refuse":
        raise _lone_surrogate()
    # By way of UTF-16, where a pair of surrogates becomes the character it stands for and only lone ones are lost.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _has_lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _opens(text: str) -> int:
    """Returns an upper bound of how deep a JSON text nests, at the price of two scans."""
    return text.count("[") + text.count("{")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        containers = [item for item in level if isinstance(item, list | tuple | dict)]
        if not containers:
            return
        level = [part for item in containers for part in (item.values() if isinstance(item, dict) else item)]
    raise _too_deep()


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


def _too_deep() -> InvalidRequestError:
    return InvalidRequestError(f"The value nests deeper than {MAX_DEPTH} levels.")


def _too_long() -> InvalidRequestError:
    return InvalidRequestError(f"The value holds an integer of more than {MAX_INTEGER_DIGITS:,} digits.")


def _lone_surrogate() -> InvalidRequestError:
    return InvalidRequestError("The value holds a lone surrogate, which is not a character.")
