"""The fields of objects: what a class says they are, or else what is public.

Asks classes, never instances, which may answer to every name (a mock, a proxy), and imports none of the libraries whose
objects it knows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from types import FunctionType
from typing import Any

__all__ = [
    "attribute_fields",
    "dataclass_fields",
    "defines",
    "is_callable_alone",
    "public_attributes",
    "struct_fields",
]


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
    # Of pydantic's dataclasses, which may leave out some.
    declared = getattr(type(value), "__pydantic_fields__", {})
    names = (field.name for field in dataclasses.fields(value))
    return _named(value, (name for name in names if not getattr(declared.get(name), "exclude", False)))


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
        # A name that was put into `__dict__` directly may be no text.
        if isinstance(name, str) and not name.startswith("_"):
            try:
                fields[name] = object.__getattribute__(value, name)
            except AttributeError:
                continue  # A slot that nothing was put into.
    return fields


def _named(value: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names if not name.startswith("_") and hasattr(value, name)}


def _slots(kind: type) -> Iterable[str]:
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def _own_dict(value: Any) -> list[Any]:
    try:
        return list(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        return []
