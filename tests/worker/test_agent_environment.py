from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runagent_grpc.worker import Agent
from runagent_grpc.worker.environment import agent_environment, read_env_file

MakeFolder = Callable[..., Path]
Load = Callable[[Path], Agent]
ProblemsOf = Callable[[Path], tuple[str, ...]]

SHOW = "import os\nSEEN = dict(os.environ)\ndef run():\n    return SEEN\n"


def environment_of(
    env_vars: dict[str, str], *, env_file: dict[str, str] | None = None, process: dict[str, str] | None = None
) -> dict[str, str]:
    environment, problems = agent_environment(process=process or {}, env_file=env_file or {}, env_vars=env_vars)
    assert problems == []
    return environment


def test_the_config_goes_before_the_env_file_and_that_before_the_process() -> None:
    process = {"A": "process", "B": "process", "C": "process"}
    environment = environment_of({"C": "config"}, env_file={"B": "file", "C": "file"}, process=process)
    assert {**process, **environment} == {"A": "process", "B": "file", "C": "config"}


def test_a_variable_expands_to_the_value_that_it_has_so_far() -> None:
    environment = environment_of(
        {"A": "${P}-${F}", "B": "${A}!", "PATH": "/mine:${PATH}"},
        env_file={"F": "file"},
        process={"P": "process", "F": "hidden", "PATH": "/usr/bin"},
    )
    assert environment == {"F": "file", "A": "process-file", "B": "process-file!", "PATH": "/mine:/usr/bin"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${UNSET:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${SET:-default}", "set"),
        ("${UNSET:-}", ""),
        ("a${UNSET:-b:-c}d", "ab:-cd"),
        ("${EMPTY}", ""),
        ("$SET costs $5 and ${not a name} ${", "$SET costs $5 and ${not a name} ${"),
    ],
)
def test_defaults_expand_as_in_a_shell(text: str, expanded: str) -> None:
    assert environment_of({"X": text}, process={"SET": "set", "EMPTY": ""})["X"] == expanded


def test_an_unset_variable_is_a_mistake_that_names_both() -> None:
    environment, problems = agent_environment(
        process={"OPENAI_API_KEY": "x"}, env_file={}, env_vars={"KEY": "${OPENAI_APIKEY}", "FINE": "yes"}
    )
    assert environment == {"FINE": "yes"}
    (problem,) = map(str, problems)
    assert "`env_vars.KEY` names ${OPENAI_APIKEY}, which is not set" in problem
    assert "Did you mean `OPENAI_API_KEY`?" in problem
    assert "${OPENAI_APIKEY:-default}" in problem


@pytest.mark.parametrize("name", ["", "A=B", "A\0"])
def test_a_name_that_no_environment_takes_is_a_mistake(name: str) -> None:
    environment, problems = agent_environment(process={}, env_file={}, env_vars={name: "x"})
    assert environment == {}
    assert "cannot be an environment variable" in str(problems[0])


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_a_value_that_no_environment_takes_is_a_mistake(value: str) -> None:
    _, problems = agent_environment(process={}, env_file={"F": value}, env_vars={"X": value})
    assert len(problems) == 2


def test_a_default_with_a_variable_in_it_is_a_mistake_and_not_half_expanded() -> None:
    environment, problems = agent_environment(process={}, env_file={}, env_vars={"X": "${A:-${B}}"})
    assert environment == {}
    assert "within a default" in str(problems[0])


def test_the_env_file_is_taken_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfPASSWORD=pa${ss}word\nexport B='two words' # comment\nNOTHING\n")
    assert read_env_file(tmp_path) == {"PASSWORD": "pa${ss}word", "B": "two words"}


def test_the_agent_finds_its_environment_when_it_is_imported_and_it_is_gone_after(
    make_folder: MakeFolder, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_TEST_A", "process")
    monkeypatch.setenv("OUR_TEST_B", "process")
    folder = make_folder(
        {"main.py": SHOW, ".env": "OUR_TEST_B=file\nOUR_TEST_C=file\n"},
        env_vars={"OUR_TEST_C": "config", "OUR_TEST_D": "${OUR_TEST_B}+${OUR_TEST_A}"},
    )
    agent = load(folder)
    seen = agent.entrypoints["run"].function()
    assert [seen[f"OUR_TEST_{letter}"] for letter in "ABCD"] == ["process", "file", "config", "file+process"]
    agent.unload()
    assert os.environ["OUR_TEST_B"] == "process"
    assert "OUR_TEST_D" not in os.environ


def test_an_agent_that_cannot_be_served_leaves_no_environment(make_folder: MakeFolder, problems_of: ProblemsOf) -> None:
    folder = make_folder(env_vars={"OUR_TEST_E": "x", "OUR_TEST_F": "${OUR_TEST_UNSET}"})
    (problem,) = problems_of(folder)
    assert "${OUR_TEST_UNSET}" in problem
    assert "OUR_TEST_E" not in os.environ


def test_an_env_file_that_is_not_utf8_is_a_mistake(make_folder: MakeFolder, problems_of: ProblemsOf) -> None:
    folder = make_folder()
    (folder / ".env").write_bytes(b"A=\xff\n")
    (problem,) = problems_of(folder)
    assert ".env: not UTF-8" in problem
