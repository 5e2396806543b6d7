"""The documented settings and the JSON Schema are those of the code, and the schema judges as `serve` does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from runagent_grpc.server.config import SETTINGS, ServerConfig
from runagent_grpc.server.config_sources import InvalidConfigError, load_config
from runagent_grpc.settings import Setting
from tests.server.config_reference import PAGE, SCHEMA, example, page_with_tables, schema_text

VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "text", [], ["a"], [""], [1], {}, -1, 0, 0.05, 1, 1.5, 5, 255, 256, 1024, 65_535, 65_536),
    *(10_001, 86_401, 1_000_000_000, 2**31 - 1, 2**31, 2**41),
)


def test_the_page_has_the_settings_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_with_tables(), "Run `make settings`."


def test_the_packaged_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "Run `make settings`."


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_schema_takes_what_a_server_takes(setting: Setting, tmp_path: Path) -> None:
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text(encoding="utf-8")))
    file = tmp_path / "server.json"
    for value in VALUES:
        document = {setting.section: {setting.name: value}}
        file.write_text(json.dumps(document), encoding="utf-8")
        assert validator.is_valid(document) == is_taken(file, setting), value


def is_taken(file: Path, setting: Setting) -> bool:
    try:
        load_config(file, environment={}, flags={})
    except InvalidConfigError as error:
        # What contradicts another setting is beyond a schema.
        return not any(f"{file}, line" in problem for problem in error.problems)
    return True


def test_unknown_names_are_nothing_that_the_schema_takes() -> None:
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert validator.is_valid({})
    assert not validator.is_valid({"limit": {}})
    assert not validator.is_valid({"limits": {"max_qeued": 5}})


def test_the_example_on_the_page_sets_something_in_every_section(tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text(example(), encoding="utf-8")
    config = load_config(file, environment={}, flags={})
    for section in ("listen", "limits", "grpc", "http", "history", "shutdown"):
        assert getattr(config, section) != getattr(ServerConfig(), section)
