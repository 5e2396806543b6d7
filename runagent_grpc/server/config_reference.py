"""What the documentation and editors say of a configuration file: made from the declarations of the settings."""

from __future__ import annotations

import inspect
from typing import Any

from runagent_grpc.server.config import SECTIONS, SETTINGS
from runagent_grpc.settings import Kind, Setting

__all__ = ["json_schema", "markdown_tables"]

_TYPES = {
    Kind.BOOLEAN: "boolean",
    Kind.INTEGER: "integer",
    Kind.NUMBER: "number",
    Kind.TEXT: "string",
    Kind.PATH: "string",
    Kind.TEXTS: "array",
}


def json_schema() -> dict[str, Any]:
    """Returns a JSON Schema (2020-12) of a configuration file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a RunAgent server",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            section: {
                "description": inspect.getdoc(kind),
                "type": ["object", "null"],
                "additionalProperties": False,
                "properties": {setting.name: _schema_of(setting) for setting in SETTINGS if setting.section == section},
            }
            for section, kind in SECTIONS.items()
        },
    }


def markdown_tables() -> str:
    """Returns a heading and a table for each section."""
    blocks = []
    for section, kind in SECTIONS.items():
        rows = ["| setting | default | what it may be | flag | what it sets |", "|---|---|---|---|---|"]
        rows += [_row_of(setting) for setting in SETTINGS if setting.section == section]
        blocks.append(f"### `{section}`\n\n{inspect.getdoc(kind)}\n\n" + "\n".join(rows))
    return "\n\n".join(blocks) + "\n"


def _schema_of(setting: Setting) -> dict[str, Any]:
    kind = _TYPES[setting.kind]
    schema: dict[str, Any] = {
        "description": f"{setting.help} Default: {setting.default_text}.",
        "type": [kind, "null"] if setting.is_optional else kind,
    }
    bounds = {"minimum": setting.minimum, "exclusiveMinimum": setting.above, "maximum": setting.maximum}
    schema |= {keyword: bound for keyword, bound in bounds.items() if bound is not None}
    if setting.kind is Kind.TEXTS:
        schema["items"] = {"type": "string", "minLength": 1}
        schema["default"] = list(setting.default)
    else:
        schema["default"] = setting.default
    if kind == "string":
        schema["minLength"] = 1
    return schema


def _row_of(setting: Setting) -> str:
    flag = f"`{setting.flags.replace('/', '`, `')}`" if setting.flags else ""
    cells = (f"`{setting.name}`", setting.default_text, setting.expected, flag, setting.help)
    return f"| {' | '.join(cells)} |"
