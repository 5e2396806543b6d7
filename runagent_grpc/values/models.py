"""What models of pydantic say of themselves, in both of its versions. Imports neither."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["HoldsItselfError", "model_fields", "old_model_fields"]


class HoldsItselfError(Exception):
    """A model found, while it turned itself into a dict, that it holds itself."""


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
    shape = _shapes.get(kind)
    if shape is None:
        shape = _shapes[kind] = _shape_of(kind)
    if shape.says_more:
        return _dumped(value)
    if shape.is_root:
        return value.root
    fields = {name: item for name, item in vars(value).items() if name in shape.shown}
    fields |= getattr(value, "__pydantic_extra__", None) or {}
    for name in shape.computed:
        fields[name] = getattr(value, name)
    return fields


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What is known of a class of models."""

    says_more: bool
    """Whether `model_dump()` does more for it than to collect its fields."""
    is_root: bool
    shown: frozenset[str]
    computed: tuple[str, ...]


_shapes: weakref.WeakKeyDictionary[type, _Shape] = weakref.WeakKeyDictionary()


def _shape_of(kind: Any) -> _Shape:
    decorators = kind.__pydantic_decorators__
    return _Shape(
        says_more=bool(
            kind.model_dump.__module__ != "pydantic.main"
            or decorators.field_serializers
            or decorators.model_serializers
            or kind.model_config.get("serialize_by_alias")
            or _has_serializer(getattr(kind, "__pydantic_core_schema__", None), kind)
        ),
        is_root=bool(getattr(kind, "__pydantic_root_model__", False)),
        shown=frozenset(name for name, field in kind.model_fields.items() if not field.exclude),
        computed=tuple(decorators.computed_fields),
    )


def _has_serializer(schema: Any, kind: type) -> bool:
    """Whether a model's schema has functions in it that say how values are written."""
    if isinstance(schema, list | tuple):
        return any(_has_serializer(part, kind) for part in schema)
    if not isinstance(schema, Mapping):
        # Such as a schema that is yet to be built.
        return schema is not None and not isinstance(schema, str | int | float) and hasattr(schema, "rebuild")
    if "serialization_exclude_if" in schema:
        return True
    if schema.get("serialization_exclude") and schema.get("type") != "model-field":
        # A field of a dataclass or a TypedDict, which by itself does not know that it is left out.
        return True
    written = schema.get("serialization")
    if isinstance(written, Mapping) and str(written.get("type")).startswith("function") and not _only_lists(written):
        # The others are used for `mode="json"` alone.
        return written.get("when_used", "always") in ("always", "unless-none")
    if schema.get("type") == "model" and schema.get("cls") is not kind:
        # Will be asked itself.
        return False
    return any(_has_serializer(part, kind) for name, part in schema.items() if name not in ("metadata", "cls", "ref"))


def _only_lists(written: Mapping[str, Any]) -> bool:
    """Whether it is what pydantic writes any `Sequence` with: item by item, as the field declares them."""
    function = written.get("function")
    return getattr(function, "__name__", "") == "serialize_sequence_via_list" and function.__module__.startswith(
        "pydantic."
    )


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
