"""The table of settings in the documentation, and the JSON Schema of a configuration: where they are kept.

python -m tests.server.config_reference
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from runagent_grpc.server.config_reference import json_schema, markdown_tables

__all__ = ["PAGE", "SCHEMA", "example", "page_with_tables", "schema_text"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "configuration.md"
SCHEMA = ROOT / "runagent_grpc" / "server" / "config.schema.json"
_BEGIN = "<!-- Written by `make settings`: -->\n"
_END = "<!-- End of what `make settings` writes. -->\n"


def page_with_tables() -> str:
    """Returns the page as it has to be: what a person wrote, and the tables of the code."""
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert begin, f"{PAGE.name} has no line {_BEGIN!r}."
    assert end, f"{PAGE.name} has no line {_END!r}."
    return f"{before}{begin}\n{markdown_tables()}\n{end}{after}"


def schema_text() -> str:
    """Returns the JSON Schema as its file has to hold it."""
    return json.dumps(json_schema(), indent=2) + "\n"


def example() -> str:
    """Returns the configuration file that the page shows."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return str(block)


if __name__ == "__main__":
    PAGE.write_text(page_with_tables(), encoding="utf-8")
    SCHEMA.write_text(schema_text(), encoding="utf-8")
