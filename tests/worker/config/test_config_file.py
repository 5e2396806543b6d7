from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runagent_grpc.worker import InvalidAgentError, load_agent, read_config
from runagent_grpc.worker.config.file import CONFIG_FILES, config_files_in
from tests.worker.config.problems import only_problem_of, problems_of

MakeFolder = Callable[..., Path]


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


def test_a_pipe_is_not_waited_for(make_folder: MakeFolder) -> None:
    folder = make_folder()
    (folder / "runagent.config.json").unlink()
    os.mkfifo(folder / "runagent.config.json")
    assert only_problem_of(folder) == "runagent.config.json is not a file. Put one in its place."


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


def test_published_precedence_is_kept_where_there_are_several_files(make_folder: MakeFolder) -> None:
    folder = make_folder()
    text = (folder / "runagent.config.json").read_text()
    (folder / "runagent.config.json").unlink()
    for name in ("runagent.config.yml", "runagent.config.yaml", "runagent.config.json"):
        (folder / name).write_text(text.replace("an-id", name))
        assert read_config(folder).agent_id == name
    assert (
        config_files_in(folder)
        == CONFIG_FILES
        == (
            "runagent.config.json",
            "runagent.config.yaml",
            "runagent.config.yml",
        )
    )


@pytest.mark.parametrize("name", CONFIG_FILES)
def test_every_problem_names_the_file_that_was_read(make_folder: MakeFolder, name: str) -> None:
    folder = make_folder(agent_name=[], auth_setings={}, framework="x", entrypoints=[{"tag": "a"}, {"tag": "a"}])
    (folder / "runagent.config.json").rename(folder / name)
    problems = problems_of(folder)
    assert len(problems) == 8
    assert {problem.partition(": ")[0] for problem in problems} == {name}

    (folder / name).write_text("[1, 2]")
    assert only_problem_of(folder).startswith(f"{name}: expected an object")
    (folder / name).write_text("{")
    assert only_problem_of(folder).startswith(f"{name}, line 1, column 2: not valid ")
    (folder / name).write_bytes(b"\xff")
    assert only_problem_of(folder).startswith(f"{name}: not UTF-8")


@pytest.mark.parametrize("name", CONFIG_FILES)
def test_what_is_wrong_beyond_its_fields_names_the_file_that_was_read(make_folder: MakeFolder, name: str) -> None:
    entry = {"file": "main.py", "module": "nothing", "tag": "run", "extractor": {"text": "$["}}
    other = {"file": "other.py", "module": "run", "tag": "other"}
    folder = make_folder(entrypoints=[entry, other], env_vars={"A": "${OUR_TEST_UNSET}"})
    (folder / "runagent.config.json").rename(folder / name)
    with pytest.raises(InvalidAgentError) as caught:
        load_agent(folder)
    assert [problem.file for problem in caught.value.problems] == [name] * 4


@pytest.mark.parametrize("text", ["// mine\n{}", '{"a": 1, # one\n "b": 2}', '{"a": /* one */ 1}', '{"a": 1 // one\n}'])
def test_a_comment_in_json_is_told_as_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "runagent.config.json").write_text(text)
    problem = only_problem_of(tmp_path)
    assert problem.startswith("runagent.config.json, line 1, column ")
    assert problem.endswith(" JSON has no comments: remove this one, or write YAML.")
