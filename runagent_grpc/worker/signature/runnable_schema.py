"""What an object says itself about the input of its methods, where their annotations say nothing.

LangChain's runnables and LangGraph's graphs are generic: each takes an `input` of some type, and knows which when it is
asked for `get_input_jsonschema()`. Whatever else answers to that name is asked as well; what it says describes the
parameter, and is no check of it.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["DECLARED", "allows_text", "declared_input_of"]

DECLARED = "input"
"""The parameter that is declared."""

_METHOD = "get_input_jsonschema"
_CHOICES = ("anyOf", "oneOf", "allOf")
# Keywords whose values map names to schemas.
_BY_NAME = ("properties", "patternProperties")


def declared_input_of(function: Callable[..., Any]) -> dict[str, Any] | None:
    """Returns the JSON Schema of the parameter `input`, without definitions, or None where nothing is declared."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.ismethod(function) or isinstance(function.__self__, type):
        return None
    declare = getattr(function.__self__, _METHOD, None)
    if not callable(declare):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            schema = _self_contained(_resolved(declare()))
            # Whether it can be read at all.
            allows_text(schema)
        except Exception:  # noqa: BLE001 - an object of the author's answers as it likes
            return None
    return schema if isinstance(schema, dict) else None


def allows_text(schema: Mapping[str, Any]) -> bool:
    """Whether a string may fit a schema."""
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            return any(allows_text(choice) for choice in schema[choices])
    kinds = schema.get("type", "string")
    return "string" in ([kinds] if isinstance(kinds, str) else kinds)


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema that the whole of this one refers to."""
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    resolved: dict[str, Any] = schema["$defs"][reference.removeprefix("#/$defs/")]
    return resolved


def _self_contained(schema: Any) -> Any:
    """Takes every reference out, with what it leads to: a choice among references becomes anything."""
    if isinstance(schema, list):
        return [_self_contained(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {}
    kept: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _BY_NAME:
            kept[keyword] = {name: _self_contained(member) for name, member in value.items()}
        elif keyword in _CHOICES:
            choices = _self_contained(value)
            if {} not in choices:
                kept[keyword] = choices
        elif keyword not in ("$defs", "discriminator"):
            kept[keyword] = _self_contained(value)
    return kept
