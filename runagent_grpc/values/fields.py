"""The fields of objects: what a class says they are, or else what is public.

Asks classes, never instances, which may answer to every name (a mock, a proxy), and imports none of the libraries whose
objects it knows.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any

__all__ = [
    "HoldsItselfError",
    "attribute_fields",
    "dataclass_fields",
    "defines",
    "is_callable_alone",
    "model_fields",
    "old_model_fields",
    "public_attributes",
    "struct_fields",
]


class HoldsItselfError(Exception):
    """An object's own method found that the object holds itself."""


def defines(kind: type, name: str) -> bool:
    """Whether a class or one of its bases has this attribute, and means it."""
    for base in kind.__mro__:
        if name in vars(base):
            return vars(base)[name] is not None
    return False


def is_callable_alone(kind: type, name: str) -> bool:
    """Whether a class has this method and it needs no arguments."""
    if not defines(kind, name):
        return False
    method = getattr(kind, name)
    if not isinstance(method, FunctionType):
        return callable(method)
    needed = method.__code__.co_argcount - len(method.__defaults__ or ())
    return needed <= 1 and method.__code__.co_kwonlyargcount == len(method.__kwdefaults__ or ())


def dataclass_fields(value: Any) -> dict[str, Any]:
    return _named(value, (field.name for field in dataclasses.fields(value)))


def attribute_fields(value: Any) -> dict[str, Any]:
    return _named(value, (attribute.name for attribute in type(value).__attrs_attrs__))


def struct_fields(value: Any) -> dict[str, Any]:
    """Returns the fields of a Struct of msgspec's."""
    return _named(value, type(value).__struct_fields__)


def public_attributes(value: Any) -> dict[str, Any]:
    """Returns what stands in an object's slots and its `__dict__`, unless its name begins with an underscore.

    No property is asked, and no `__getattr__`.
    """
    fields = {}
    for name in [*_slots(type(value)), *_own_dict(value)]:
        if not name.startswith("_"):
            try:
                fields[name] = object.__getattribute__(value, name)
            except AttributeError:
                continue  # A slot that nothing was put into.
    return fields


def old_model_fields(value: Any) -> Any:
    """Returns what `dict()` says of a model of pydantic 1, models within it as they are where that is all the same."""
    kind = type(value)
    left_out = getattr(kind, "__exclude_fields__", None) or {}
    is_own = kind.dict.__module__ not in ("pydantic.main", "pydantic.v1.main")
    if is_own or kind.__include_fields__ or not all(whole in (True, ...) for whole in left_out.values()):
        return value.dict()
    return {name: item for name, item in vars(value).items() if name not in left_out}


def model_fields(value: Any) -> Any:
    """Returns what `model_dump()` says of a model, models within it as they are wherever that makes no difference.

    They are asked themselves, then: what a field's declaration leaves out of a subclass's instance is not lost, how
    much it all is can be told before it is too much, and where a model holds itself has a name.
    """
    kind = type(value)
    if not _says_no_more(kind):
        return _dumped(value)
    if getattr(kind, "__pydantic_root_model__", False):
        return value.root
    hidden = _hidden(kind)
    fields = {name: item for name, item in vars(value).items() if name in kind.model_fields and name not in hidden}
    fields |= value.__pydantic_extra__ or {}
    for name in kind.__pydantic_decorators__.computed_fields:
        fields[name] = getattr(value, name)
    return fields


def _hidden(kind: Any) -> set[str]:
    return {name for name, field in kind.model_fields.items() if field.exclude}


_known: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()
"""Which classes of models say no more of themselves than their fields."""


def _says_no_more(kind: Any) -> bool:
    """Whether all that `model_dump()` does for this class is to collect its fields."""
    known = _known.get(kind)
    if known is None:
        known = _known[kind] = (
            kind.model_dump.__module__ == "pydantic.main"
            and not kind.__pydantic_decorators__.field_serializers
            and not kind.__pydantic_decorators__.model_serializers
            and not kind.model_config.get("serialize_by_alias")
            and not _has_serializer(getattr(kind, "__pydantic_core_schema__", None), kind)
        )
    return known


def _has_serializer(schema: Any, kind: type) -> bool:
    """Whether a model's schema has functions in it that say how values are written."""
    if isinstance(schema, list | tuple):
        return any(_has_serializer(part, kind) for part in schema)
    if not isinstance(schema, Mapping):
        # Such as a schema that is yet to be built.
        return schema is not None and not isinstance(schema, str | int | float) and hasattr(schema, "rebuild")
    if "serialization_exclude_if" in schema:
        return True
    written = schema.get("serialization")
    if isinstance(written, Mapping) and str(written.get("type")).startswith("function"):
        # The others are used for `mode="json"` alone.
        return written.get("when_used", "always") in ("always", "unless-none")
    if schema.get("type") == "model" and schema.get("cls") is not kind:
        # Will be asked itself.
        return False
    return any(_has_serializer(part, kind) for name, part in schema.items() if name not in ("metadata", "cls", "ref"))


def _dumped(value: Any) -> Any:
    try:
        # Its warnings are about values that are not what a field declares: an SDK's concern, at every chunk.
        return value.model_dump(warnings=False) if _takes(type(value).model_dump, "warnings") else value.model_dump()
    except ValueError as error:
        if "Circular reference detected" in str(error):
            raise HoldsItselfError from error
        raise


def _takes(method: Callable[..., Any], name: str) -> bool:
    code = getattr(method, "__code__", None)
    if code is None:
        return False
    takes_any = bool(code.co_flags & 0x08)  # inspect.CO_VARKEYWORDS
    return takes_any or name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _named(value: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names if not name.startswith("_") and hasattr(value, name)}


def _slots(kind: type) -> Iterable[str]:
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def _own_dict(value: Any) -> list[str]:
    try:
        return list(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        return []
