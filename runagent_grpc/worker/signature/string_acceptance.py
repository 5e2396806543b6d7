"""Whether an annotation leaves room for text: where it does not, a text can only be meant as JSON.

Asked of annotations that pydantic can build no check of, such as type variables that are bound to protocols. It looks
at types alone, and says no only where it is sure.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from pydantic import BaseModel

__all__ = ["has_default", "takes_structure_alone", "type_variables_in"]

_STRUCTURES = (Mapping, Sequence, Set, BaseModel)
_DEEPEST = 32


def takes_structure_alone(annotation: Any) -> bool:
    """Whether a list, a mapping or an object of fields fits, and no string does."""
    try:
        arms = list(_arms(annotation, _DEEPEST))
        return any(map(_is_structure, arms)) and not any(map(_takes_text, arms))
    except Exception:  # noqa: BLE001 - a class answers `issubclass` as its author likes
        return False


def type_variables_in(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, typing.TypeVar):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from type_variables_in(argument)


def has_default(variable: Any) -> bool:
    """Whether a type variable has a default, which is Python 3.13's, and typing_extensions'."""
    return bool(getattr(variable, "has_default", bool)())


def _arms(annotation: Any, depth: int) -> Iterator[Any]:
    """Yields the types of which a value has to be one."""
    if depth == 0:
        yield Any
        return
    origin = typing.get_origin(annotation)
    if isinstance(annotation, typing.TypeVar):
        # Its default is what a type checker takes it for, and no bound.
        choices = annotation.__constraints__ or (Any if annotation.__bound__ is None else annotation.__bound__,)
    elif origin is typing.Union or origin is types.UnionType:
        choices = typing.get_args(annotation)
    elif origin is typing.Annotated:
        choices = typing.get_args(annotation)[:1]
    elif isinstance(annotation, typing.NewType):
        choices = (annotation.__supertype__,)
    else:
        yield annotation
        return
    for choice in choices:
        yield from _arms(choice, depth - 1)


def _takes_text(arm: Any) -> bool:
    if typing.get_origin(arm) is typing.Literal:
        return any(isinstance(value, str) for value in typing.get_args(arm))
    kind = typing.get_origin(arm) or arm
    if kind is Any or not isinstance(kind, type):
        return arm is not None
    if issubclass(kind, dict):
        # A TypedDict, which is one, answers no other question of this kind.
        return False
    if _is_protocol(kind):
        return all(hasattr(str, member) for member in _members_of(kind))
    return issubclass(str, kind)


def _is_structure(arm: Any) -> bool:
    kind = typing.get_origin(arm) or arm
    if not isinstance(kind, type):
        return False
    return (
        issubclass(kind, dict) or dataclasses.is_dataclass(kind) or _is_protocol(kind) or issubclass(kind, _STRUCTURES)
    )


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _members_of(protocol: type) -> Iterator[str]:
    """Yields what an object has to have that follows a protocol."""
    for base in protocol.__mro__:
        if _is_protocol(base) and base.__name__ != "Protocol":
            yield from inspect.get_annotations(base)
            yield from (name for name, member in vars(base).items() if callable(member) or isinstance(member, property))
