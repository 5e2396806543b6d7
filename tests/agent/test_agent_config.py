from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.agent import InvalidAgentError, read_config
from runagent_grpc.agent.config import FRAMEWORKS
from runagent_grpc.errors import RunAgentError

MakeFolder = Callable[..., Path]


def problems_of(folder: Path) -> tuple[str, ...]:
    with pytest.raises(InvalidAgentError) as caught:
        read_config(folder)
    return caught.value.problems


def only_problem_of(folder: Path) -> str:
    (problem,) = problems_of(folder)
    return problem


def test_the_smallest_config_is_read_with_defaults(make_folder: MakeFolder) -> None:
    config = read_config(make_folder())
    assert (config.agent_id, config.agent_name, config.framework) == ("an-id", "A name", "custom")
    assert [(e.tag, e.file, e.module) for e in config.entrypoints] == [("run", "main.py", "run")]
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


@pytest.mark.parametrize("field", ["agent_id", "agent_name", "framework", "agent_architecture"])
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
        ({"agent_id": None}, "agent_id", "expected a string, got null"),
        ({"agent_id": ""}, "agent_id", "at least 1 character"),
        ({"agent_name": ["a"]}, "agent_name", "expected a string, got an array of 1 item"),
        ({"framework": 1}, "framework", "got the integer 1"),
        ({"agent_architecture": "x"}, "agent_architecture", "expected an object, got the string 'x'"),
        ({"entrypoints": {}}, "agent_architecture.entrypoints", "expected an array, got an object of 0 members"),
        ({"entrypoints": []}, "agent_architecture.entrypoints", "expected at least one entrypoint"),
        ({"entrypoints": ["x"]}, "agent_architecture.entrypoints[0]", "expected an object, got the string 'x'"),
        ({"entrypoints": [{"file": "m.py", "tag": "t"}]}, "agent_architecture.entrypoints[0].module", "missing"),
        ({"env_vars": {"PORT": 5}}, "env_vars.PORT", "expected a string, got the integer 5"),
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


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ({"timeout_seconds": 0}, "expected a value greater than 0, got the integer 0"),
        ({"timeout_seconds": -1.5}, "expected a value greater than 0, got the number -1.5"),
        ({"timeout_seconds": "30"}, "expected a number, got the string '30'"),
        ({"timeout_seconds": float("inf")}, "expected a finite number"),
        ({"max_timeout_seconds": True}, "expected a number, got the boolean true"),
        ({"max_timeout_seconds": float("nan")}, "expected a finite number"),
        ({"max_timeout_seconds": 10**400}, "expected a number, got a very large integer"),
        ({"max_concurrent": 0}, "expected a value greater than 0, got the integer 0"),
        ({"max_concurrent": 1.5}, "expected an integer, got the number 1.5"),
        ({"max_concurrent": True}, "expected an integer, got the boolean true"),
        ({"max_concurent": 1}, "there is no such field. Did you mean `max_concurrent`?"),
        ({"timeout_seconds": 60, "max_timeout_seconds": 30}, "60 is more than its `max_timeout_seconds`, 30."),
    ],
    ids=str,
)
def test_a_bound_of_an_entrypoint_is_a_number_that_makes_sense(
    make_folder: MakeFolder, bound: dict[str, Any], words: str
) -> None:
    problem = only_problem_of(make_folder(entrypoints=[{"file": "main.py", "module": "run", "tag": "run", **bound}]))
    assert problem.startswith(f"runagent.config.json: `agent_architecture.entrypoints[0].{next(iter(bound))}`: ")
    assert words in problem


def test_the_bounds_of_an_entrypoint_are_read(make_folder: MakeFolder) -> None:
    entry = {"file": "main.py", "module": "run", "tag": "run"}
    bounds = {"timeout_seconds": 0.5, "max_timeout_seconds": 60, "max_concurrent": 2}
    unbounded = dict.fromkeys(bounds)
    folder = make_folder(entrypoints=[{**entry, **bounds}, {**entry, **unbounded, "tag": "free"}])
    first, second = read_config(folder).entrypoints
    assert (first.timeout_seconds, first.max_timeout_seconds, first.max_concurrent) == (0.5, 60, 2)
    assert (second.timeout_seconds, second.max_timeout_seconds, second.max_concurrent) == (None, None, None)


def test_tags_are_unique(make_folder: MakeFolder) -> None:
    entry = {"file": "main.py", "module": "run", "tag": "twice"}
    problem = only_problem_of(make_folder(entrypoints=[entry, entry, {**entry, "tag": "once"}]))
    assert "All entrypoint tags must be unique" in problem
    assert "'twice'" in problem
    assert "once" not in problem


def test_a_webhook_entrypoint_is_not_served_yet(make_folder: MakeFolder) -> None:
    webhook = {"webhook_url": "http://localhost:5678/x", "method": "POST", "tag": "hook", "timeout": 30}
    problem = only_problem_of(make_folder(entrypoints=[webhook]))
    assert "entrypoints[0]" in problem
    assert "webhook" in problem
    assert "not served yet" in problem


def test_an_extractor_is_not_served_yet_unless_it_is_empty(make_folder: MakeFolder) -> None:
    entry = {"file": "main.py", "module": "run", "tag": "run"}
    problem = only_problem_of(make_folder(entrypoints=[{**entry, "extractor": {"text": "$.a"}}]))
    assert "entrypoints[0].extractor" in problem
    assert "not served yet" in problem
    assert read_config(make_folder(entrypoints=[{**entry, "extractor": {}}])).entrypoints[0].tag == "run"


def test_all_mistakes_come_at_once_one_per_line(make_folder: MakeFolder) -> None:
    folder = make_folder(
        entrypoints=[
            {"file": 1, "module": "run", "tag": "a"},
            {"file": "main.py", "module": "run", "tag": "a", "extractor": {"x": "$.x"}},
            {"webhook_url": "http://localhost/", "tag": "b"},
        ],
        agent_id=5,
        framework="langraph",
    )
    with pytest.raises(InvalidAgentError) as caught:
        read_config(folder)
    text = str(caught.value)
    for words in ("`agent_id`", "`langgraph`", "entrypoints[0].file", "must be unique", "extractor", "webhook"):
        assert words in text
    assert len(text.splitlines()) == len(caught.value.problems) == 6
    assert not isinstance(caught.value, RunAgentError)


def test_bad_json_is_told_with_its_place(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "runagent.config.json").write_text('{\n  "agent_id": ,\n}')
    assert "runagent.config.json, line 2, column 15: not valid JSON" in only_problem_of(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[1, 2]", "expected an object, got an array of 2 items"),
        (b'{"agent_id": "\xff"}', "not UTF-8"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not usable as JSON"),
        (b"[" * 100_000, "not usable as JSON"),
        (b"", "line 1, column 1"),
    ],
)
def test_a_file_that_is_not_a_json_object_is_one_problem(make_folder: MakeFolder, text: bytes, words: str) -> None:
    folder = make_folder()
    (folder / "runagent.config.json").write_bytes(text)
    problem = only_problem_of(folder)
    assert "runagent.config.json" in problem
    assert words in problem


def test_a_key_that_is_given_twice_is_named_with_its_path(make_folder: MakeFolder) -> None:
    folder = make_folder()
    path = folder / "runagent.config.json"
    path.write_text(path.read_text().replace('"tag": "run"', '"tag": "walk", "tag": "run"'))
    problem = only_problem_of(folder)
    assert "`agent_architecture.entrypoints[0].tag`" in problem
    assert "more than once" in problem


def test_a_byte_order_mark_is_no_mistake(make_folder: MakeFolder) -> None:
    folder = make_folder()
    path = folder / "runagent.config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_config(folder).agent_id == "an-id"


def test_a_folder_without_a_config_is_told_how_to_make_one(tmp_path: Path) -> None:
    assert "`runagent init`" in only_problem_of(tmp_path)
    assert "not a folder" in only_problem_of(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["runagent.config.yaml", "runagent.config.yml"])
def test_a_yaml_config_is_told_that_json_is_read_for_now(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("agent_id: x\n")
    problem = only_problem_of(tmp_path)
    assert name in problem
    assert "JSON is what is read for now" in problem


def test_an_unknown_name_that_is_near_a_known_one_is_a_mistake(make_folder: MakeFolder) -> None:
    folder = make_folder(auth_setings={"type": "api_key"}, auth_settings={"typ": "api_key"}, anything_else=1)
    problems = problems_of(folder)
    assert [problem.partition(": ")[2] for problem in problems] == [
        "`auth_settings.typ`: there is no such field. Did you mean `type`?"
    ]

    (problem,) = problems_of(make_folder(auth_setings={"type": "api_key"}))
    assert "`auth_setings`: there is no such field. Did you mean `auth_settings`?" in problem
