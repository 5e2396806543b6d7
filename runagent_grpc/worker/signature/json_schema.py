"""The JSON Schema (2020-12) of an entrypoint's keyword arguments, for forms, documentation and typed clients."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter

from runagent_grpc.worker.signature.parameter import NO_DEFAULT, Parameter

__all__ = ["has_schema", "json_schema_of"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Keywords whose values map names of the author's to schemas, so that "title" among them is a name and no title.
_SCHEMAS_BY_NAME = frozenset({"$defs", "dependentSchemas", "patternProperties", "properties"})
# Keywords whose values are values of the author's, not schemas.
_VALUES = frozenset({"const", "default", "enum", "examples"})


def json_schema_of(parameters: Iterable[Parameter], keyword_rest: Parameter | None) -> dict[str, Any]:
    """Describes the object of keyword arguments. What has no schema, such as a function, is described as anything."""
    parameters = tuple(parameters)
    stars = (keyword_rest,) if keyword_rest else ()
    schemas, definitions = _schemas_of((*parameters, *stars))
    schema: dict[str, Any] = {
        "$schema": _DIALECT,
        "type": "object",
        "properties": {parameter.name: _property(parameter, schemas.get(parameter.name)) for parameter in parameters},
    }
    if required := [parameter.name for parameter in parameters if parameter.default is NO_DEFAULT]:
        schema["required"] = required
    schema["additionalProperties"] = schemas.get(keyword_rest.name, True) if keyword_rest else False
    if definitions:
        schema["$defs"] = definitions
    without_titles: dict[str, Any] = _without_titles(schema)
    return without_titles


def _schemas_of(parameters: Iterable[Parameter]) -> tuple[dict[str, Any], dict[str, Any]]:
    describable = {}
    # pydantic warns of defaults that JSON cannot hold. We leave those out.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for parameter in parameters:
            if parameter.adapter is not None and has_schema(parameter):
                describable[parameter.name] = parameter.adapter
        schemas, definitions = TypeAdapter.json_schemas(
            [(name, "validation", adapter) for name, adapter in describable.items()]
        )
    return {name: schemas[name, "validation"] for name in describable}, definitions.get("$defs", {})


def has_schema(parameter: Parameter) -> bool:
    """Whether a schema can say more of a parameter than that it takes anything."""
    if parameter.adapter is None:
        return parameter.declared is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parameter.adapter.json_schema()
    except Exception:  # noqa: BLE001 - whatever stops pydantic, the schema is then that of anything
        return False
    return True


def _property(parameter: Parameter, schema: dict[str, Any] | None) -> dict[str, Any]:
    schema = dict(schema or parameter.declared or {})
    if parameter.default is None and schema and {"type": "null"} not in schema.get("anyOf", ()):
        # None passes where it is the default, whatever the annotation says.
        schema = {"anyOf": [schema, {"type": "null"}]}
    if parameter.default is not NO_DEFAULT:
        with contextlib.suppress(TypeError, ValueError, RecursionError):
            schema["default"] = json.loads(json.dumps(parameter.default, allow_nan=False))
    return schema


def _without_titles(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _SCHEMAS_BY_NAME:
            kept[keyword] = {name: _without_titles(member) for name, member in value.items()}
        elif keyword in _VALUES:
            kept[keyword] = value
        elif keyword != "title":
            kept[keyword] = _without_titles(value)
    return kept
