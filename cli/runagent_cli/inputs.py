"""The parameters of an entrypoint, read from the JSON Schema of its input, in words for the command line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Input", "inputs_of", "takes_anything"]

_REFERENCE = "#/$defs/"
_MOST_NAMES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One parameter."""

    name: str
    kind: str
    """What it takes, in words: "string", "array of integer", "beginner" or "expert"."""
    required: bool
    default: str | None
    """As JSON. None where there is none to show."""
    description: str
    example: str
    """A value that fits, as it is written on a command line."""


def inputs_of(schema: Mapping[str, Any]) -> list[Input]:
    """Returns the parameters that an input schema names."""
    definitions = schema.get("$defs", {})
    required = schema.get("required", ())
    return [
        _input(name, declared if isinstance(declared, dict) else {}, name in required, definitions)
        for name, declared in schema.get("properties", {}).items()
    ]


def takes_anything(schema: Mapping[str, Any]) -> bool:
    """Whether the entrypoint takes names that the schema does not have."""
    return bool(schema.get("additionalProperties", True))


def _input(name: str, declared: Mapping[str, Any], required: bool, definitions: Mapping[str, Any]) -> Input:
    return Input(
        name=name,
        kind=_kind_of(declared, definitions),
        required=required,
        default=json.dumps(declared["default"], ensure_ascii=False) if "default" in declared else None,
        description=" ".join(str(declared.get("description", "")).split()),
        example=_example_for(name, _example_of(declared, definitions)),
    )


def _kind_of(schema: Any, definitions: Mapping[str, Any]) -> str:
    schema = _resolved(schema, definitions)
    for values in ("enum", "const"):
        if values in schema:
            choices = schema[values] if values == "enum" else [schema[values]]
            return _either(json.dumps(choice, ensure_ascii=False) for choice in choices)
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return _either(_kind_of(choice, definitions) for choice in _telling(choices, definitions))
    match schema.get("type"):
        case "array" if isinstance(schema.get("items"), dict) and schema["items"]:
            return f"array of {_kind_of(schema['items'], definitions)}"
        case "string" if "format" in schema:
            return str(schema["format"])
        case "object" if names := _required_by(schema):
            more = ", ..." if len(names) > _MOST_NAMES else ""
            return f"object with {', '.join(names[:_MOST_NAMES])}{more}"
        case str() as kind:
            return kind
        case list() as kinds:
            return _either(map(str, kinds))
    return "anything"


def _telling(choices: list[Any], definitions: Mapping[str, Any]) -> list[Any]:
    """Leaves strings out that are listed beside any string: clients of models list all that they know of."""
    resolved = [_resolved(choice, definitions) for choice in choices]
    if {"type": "string"} not in resolved:
        return resolved
    return [choice for choice in resolved if choice.get("type") != "string" or "enum" not in choice]


def _either(choices: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(choices))


def _example_of(schema: Any, definitions: Mapping[str, Any], *, inside: bool = False) -> str:
    schema = _resolved(schema, definitions)
    for values in ("examples", "enum"):
        if schema.get(values):
            return _written(schema[values][0])
    if "const" in schema:
        return _written(schema["const"])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return _example_of(choices[0], definitions, inside=inside)
    if schema.get("type") == "object" and not inside:
        members = {name: _value_for(name, schema["properties"][name], definitions) for name in _required_by(schema)}
        return json.dumps(members, ensure_ascii=False)
    return _EXAMPLES.get(str(schema.get("type")), _GREETING)


def _required_by(schema: Mapping[str, Any]) -> list[str]:
    """Returns the names that an object must have, of those that are described."""
    properties, required = schema.get("properties"), schema.get("required")
    if not (isinstance(properties, dict) and isinstance(required, list)):
        return []
    return [name for name in properties if name in required]


def _value_for(name: str, schema: Any, definitions: Mapping[str, Any]) -> Any:
    """Returns a member's value. What it has inside is left for the reader to fill in, for it may have itself inside."""
    example = _example_for(name, _example_of(schema, definitions, inside=True))
    try:
        return json.loads(example)
    except ValueError:
        return example


def _example_for(name: str, example: str) -> str:
    # A greeting is no path: what cannot be guessed is left for the reader to fill in.
    names_a_thing = any(part in name.lower() for part in ("file", "id", "key", "path", "url"))
    return name.upper() if example == _GREETING and names_a_thing else example


_GREETING = "Hello"

_EXAMPLES = {"integer": "3", "number": "1.5", "boolean": "true", "array": "[]", "object": "{}", "null": "null"}


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the schema behind a reference. `true`, and a reference that leads nowhere, describe anything."""
    if not isinstance(schema, dict):
        return {}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        resolved = definitions.get(reference.removeprefix(_REFERENCE), {})
        # One step is enough to name a kind, and a definition may refer to itself.
        return {key: value for key, value in resolved.items() if key != "$ref"} if isinstance(resolved, dict) else {}
    return schema
