from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.errors import RunAgentError
from runagent_grpc.worker import InvalidAgentError, PythonEntrypointConfig, read_config
from runagent_grpc.worker.config.agent import FRAMEWORKS
from runagent_grpc.worker.config.validation import examine_config
from tests.worker.config.problems import only_problem_of, problems_of

MakeFolder = Callable[..., Path]


def test_the_smallest_config_is_read_with_defaults(make_folder: MakeFolder) -> None:
    config = read_config(make_folder())
    assert (config.agent_id, config.agent_name, config.framework) == ("an-id", "A name", "custom")
    assert config.entrypoints == (PythonEntrypointConfig(tag="run", file="main.py", module="run"),)
    assert config.auth_settings.type == "none"
    assert (config.description, config.version, config.env_vars, config.persistent_folders) == ("", "", {}, ())


def test_every_documented_field_is_read(make_folder: MakeFolder) -> None:
    config = read_config(
        make_folder(
            description="What it is for",
            template="basic",
            version="1.2.3",
            created_at="2025-01-01T00:00:00",
            template_source={"repo_url": "https://example.org/r", "author": "somebody", "path": "a/b"},
            env_vars={"KEY": "${OTHER}"},
            auth_settings={"type": "api_key"},
            persistent_folders=["memory"],
        )
    )
    assert (config.description, config.template, config.version) == ("What it is for", "basic", "1.2.3")
    assert config.template_source.author == "somebody"
    assert config.env_vars == {"KEY": "${OTHER}"}
    assert config.auth_settings.type == "api_key"
    assert config.persistent_folders == ("memory",)


def test_unknown_fields_and_null_for_optional_ones_are_ignored(make_folder: MakeFolder) -> None:
    entry = {"file": "main.py", "module": "run", "tag": "run", "extractor": None, "webhook_url": None, "colour": "red"}
    folder = make_folder(
        entrypoints=[entry], something_new={"a": 1}, description=None, env_vars=None, auth_settings=None
    )
    config = read_config(folder)
    assert config.description == ""
    assert config.env_vars == {}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_documented_framework_is_accepted(make_folder: MakeFolder, framework: str) -> None:
    assert read_config(make_folder(framework=framework)).framework == framework


@pytest.mark.parametrize(
    ("near", "meant"), [("langraph", "langgraph"), ("LangGraph", "langgraph"), ("Open_AI", "openai")]
)
def test_a_framework_that_is_nearly_right_gets_a_suggestion(make_folder: MakeFolder, near: str, meant: str) -> None:
    problem = only_problem_of(make_folder(framework=near))
    assert "`framework`" in problem
    assert repr(near) in problem
    assert f"Did you mean `{meant}`?" in problem


@pytest.mark.parametrize("field", ["agent_name", "framework", "agent_architecture"])
def test_a_required_field_that_is_missing_is_named(make_folder: MakeFolder, field: str) -> None:
    folder = make_folder()
    path = folder / "runagent.config.json"
    config = json.loads(path.read_text())
    del config[field]
    path.write_text(json.dumps(config))
    problem = only_problem_of(folder)
    assert f"`{field}`" in problem
    assert "missing" in problem


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"agent_id": 5}, "agent_id", "expected a string, got the integer 5"),
        ({"agent_name": None}, "agent_name", "expected a string, got null"),
        ({"agent_id": ""}, "agent_id", "a string that is not empty"),
        ({"agent_name": ["a"]}, "agent_name", "expected a string, got an array of 1 item"),
        ({"framework": 1}, "framework", "got the integer 1"),
        ({"agent_architecture": "x"}, "agent_architecture", "expected an object, got the string 'x'"),
        ({"entrypoints": {}}, "agent_architecture.entrypoints", "expected an array, got an object of 0 members"),
        ({"entrypoints": []}, "agent_architecture.entrypoints", "expected at least one entrypoint"),
        ({"entrypoints": ["x"]}, "agent_architecture.entrypoints[0]", "expected an object, got the string 'x'"),
        ({"entrypoints": [{"file": "m.py", "tag": "t"}]}, "agent_architecture.entrypoints[0].module", "missing"),
        ({"env_vars": {"PORTS": [5]}}, "env_vars.PORTS", "expected a string, got an array of 1 item"),
        ({"env_vars": ["A=b"]}, "env_vars", "expected an object, got an array"),
        ({"auth_settings": {"type": "oauth"}}, "auth_settings.type", "expected one of 'none' or 'api_key'"),
        ({"auth_settings": "api_key"}, "auth_settings", "expected an object, got the string 'api_key'"),
        ({"persistent_folders": "memory"}, "persistent_folders", "expected an array, got the string 'memory'"),
        ({"version": 1.5}, "version", "expected a string, got the number 1.5"),
        ({"template_source": {"author": True}}, "template_source.author", "got the boolean true"),
    ],
)
def test_a_wrong_value_is_named_with_its_path_its_type_and_what_was_expected(
    make_folder: MakeFolder, changes: dict[str, Any], path: str, words: str
) -> None:
    problem = only_problem_of(make_folder(**changes))
    assert problem.startswith(f"runagent.config.json: `{path}`: ")
    assert words in problem
    assert problem.endswith(".")
    assert "pydantic" not in problem


def test_all_mistakes_come_at_once_one_per_line(make_folder: MakeFolder) -> None:
    folder = make_folder(
        entrypoints=[
            {"file": 1, "module": "run", "tag": "a"},
            {"file": "main.py", "module": "run", "tag": "a", "extractor": {"x": 1}},
            {"webhook_url": "localhost", "method": "GET", "tag": "b"},
        ],
        agent_id=5,
        framework="langraph",
    )
    with pytest.raises(InvalidAgentError) as caught:
        read_config(folder)
    text = str(caught.value)
    for words in ("`agent_id`", "`langgraph`", "entrypoints[0].file", "must be unique", "extractor.x", "webhook_url"):
        assert words in text
    assert len(text.splitlines()) == len(caught.value.problems) == 6
    assert not isinstance(caught.value, RunAgentError)


def test_an_unknown_name_that_is_near_a_known_one_is_a_mistake(make_folder: MakeFolder) -> None:
    folder = make_folder(auth_setings={"type": "api_key"}, auth_settings={"typ": "api_key"}, anything_else=1)
    problems = problems_of(folder)
    assert [problem.partition(": ")[2] for problem in problems] == [
        "`auth_settings.typ`: there is no such field. Did you mean `type`?"
    ]

    (problem,) = problems_of(make_folder(auth_setings={"type": "api_key"}))
    assert "`auth_setings`: there is no such field. Did you mean `auth_settings`?" in problem


def test_an_agent_without_an_id_has_one_that_its_folder_keeps(make_folder: MakeFolder) -> None:
    folder = make_folder(agent_id=None)
    first = read_config(folder).agent_id
    assert uuid.UUID(first).version == 5
    assert read_config(folder / ".." / folder.name).agent_id == first
    assert read_config(make_folder(agent_id=None)).agent_id != first
    assert examine_config(folder).derived_id == first

    path = folder / "runagent.config.json"
    path.write_text(path.read_text().replace('"agent_id": null,', ""))
    assert read_config(folder).agent_id == first
    assert examine_config(make_folder()).derived_id is None


def test_variables_are_the_text_that_was_written_and_null_is_none(make_folder: MakeFolder) -> None:
    folder = make_folder(env_vars={"V": "written"})
    path = folder / "runagent.config.json"
    values = '{"PORT": 8080, "V": 1.10, "SMALL": 1e-3, "DEBUG": true, "QUIET": false, "TEXT": "on", "NOTHING": null}'
    path.write_text(path.read_text().replace('{"V": "written"}', values))
    assert read_config(folder).env_vars == {
        "PORT": "8080",
        "V": "1.10",
        "SMALL": "1e-3",
        "DEBUG": "true",
        "QUIET": "false",
        "TEXT": "on",
    }


def test_variables_count_even_where_something_else_is_wrong(make_folder: MakeFolder) -> None:
    reading = examine_config(make_folder(framework="none", env_vars={"A": 1, "B": [], "C": "c"}))
    assert reading.config is None
    assert reading.env_vars == {"A": "1", "C": "c"}
