"""A folder that is loaded again, while what was loaded from it before is still in use."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.worker import Agent, InvalidAgentError, load_agent

MakeFolder = Callable[..., Path]
Load = Callable[[Path], Agent]

CODE = """
import os
import helper

def run():
    return VERSION

def environment():
    return {name: value for name, value in os.environ.items() if name.startswith("OUR_TEST_")}

def by_name():
    import helper
    return helper.STATE

def relatively():
    from .other import STATE
    return STATE
"""
TAGS = ("run", "environment", "by_name", "relatively")
ENTRIES = [{"file": "main.py", "module": tag, "tag": tag} for tag in TAGS]


def write(folder: Path, version: int, code: str = CODE) -> None:
    (folder / "main.py").write_text(f"VERSION = {version}\n{code}")
    for name in ("helper.py", "other.py"):
        (folder / name).write_text(f"STATE = [{version}]\n")


def configure(folder: Path, **changes: Any) -> None:
    path = folder / "runagent.config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def call(agent: Agent, tag: str) -> Any:
    return agent.entrypoints[tag].function()


@pytest.fixture
def folder(make_folder: MakeFolder) -> Path:
    made = make_folder({}, ENTRIES, env_vars={"OUR_TEST_A": "1", "OUR_TEST_PATH": "${OUR_TEST_PATH}:1"})
    write(made, 1)
    return made


@pytest.fixture(autouse=True)
def process_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_TEST_PATH", "0")
    # Two versions of a file may be written within one tick of its clock, and are of one length.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def test_each_finds_what_it_imported_itself(folder: Path, load: Load) -> None:
    first = load(folder)
    assert call(first, "relatively") == [1]
    write(folder, 2)
    second = load(folder)
    for agent, version in ((first, 1), (second, 2), (first, 1)):
        assert call(agent, "run") == version
        assert call(agent, "relatively") == [version]


def test_an_older_one_reads_dataclasses_late(folder: Path, load: Load) -> None:
    first = load(folder)
    write(folder, 2, "def run(): ...\n" + "\n".join(f"{tag} = run" for tag in TAGS))
    (folder / "other.py").write_text(
        "from __future__ import annotations\nimport dataclasses\n"
        "@dataclasses.dataclass\nclass Late:\n    field: int\nSTATE = Late(1)\n"
    )
    load(folder)
    late = call(first, "relatively")
    assert (late.field, type(late).__module__) == (1, "other")
    assert "other" not in sys.modules


def test_what_an_older_one_pickles_by_name_is_refused_and_what_it_reads_is_the_newests(
    folder: Path, load: Load
) -> None:
    code = CODE + "\nimport pickle\nclass Profile: ...\n"
    code = code.replace("return VERSION", "return pickle.dumps(Profile())")
    write(folder, 1, code)
    first = load(folder)
    kept = call(first, "run")
    write(folder, 2, code)
    second = load(folder)
    with pytest.raises(pickle.PicklingError, match=r"it's not the same object as main\.Profile"):
        call(first, "run")
    newest = call(second, "run")
    assert kept == newest
    assert type(pickle.loads(kept)) is second.entrypoints["run"].function.__globals__["Profile"]  # noqa: S301 - ours
    second.unload()
    assert call(first, "run") == kept


def test_the_environment_is_that_of_the_newest(folder: Path, load: Load) -> None:
    first = load(folder)
    assert call(first, "environment") == {"OUR_TEST_A": "1", "OUR_TEST_PATH": "0:1"}
    configure(folder, env_vars={"OUR_TEST_B": "2", "OUR_TEST_PATH": "${OUR_TEST_PATH}:2"})
    second = load(folder)
    assert call(second, "environment") == {"OUR_TEST_B": "2", "OUR_TEST_PATH": "0:2"}
    first.unload()
    assert call(second, "environment") == {"OUR_TEST_B": "2", "OUR_TEST_PATH": "0:2"}
    second.unload()
    assert call(second, "environment") == {"OUR_TEST_PATH": "0"}


def test_what_an_older_one_leaves_behind_is_not_what_the_newer_uses(folder: Path, load: Load) -> None:
    first = load(folder)
    write(folder, 2)
    second = load(folder)
    state = call(second, "by_name")
    state.append("kept")
    first.unload()
    assert call(second, "by_name") is state
    assert sys.path.count(str(folder)) == 1


@pytest.mark.parametrize("mistake", ["def run(:\n", "import helper\n1 / 0\n"])
def test_one_that_cannot_be_loaded_leaves_the_other_as_it_was(folder: Path, load: Load, mistake: str) -> None:
    agent = load(folder)
    states, path = (call(agent, "by_name"), call(agent, "relatively")), list(sys.path)
    environment = call(agent, "environment")
    write(folder, 2, mistake)
    configure(folder, env_vars={"OUR_TEST_A": "2"})
    with pytest.raises(InvalidAgentError):
        load_agent(folder)
    assert call(agent, "by_name") is states[0]
    assert call(agent, "relatively") is states[1]
    assert call(agent, "environment") == environment
    assert sys.path == path


def test_another_agents_modules_are_back_when_the_newer_is_gone(make_folder: MakeFolder, load: Load) -> None:
    folders = [make_folder({}, ENTRIES) for _ in range(2)]
    for version, folder in enumerate(folders):
        write(folder, version)
    first = load(folders[0])
    state = call(first, "by_name")
    load(folders[1]).unload()
    assert call(first, "by_name") is state


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_in_whatever_order_they_go_the_process_is_as_it_was(folder: Path, order: tuple[int, ...]) -> None:
    path, modules, environment = list(sys.path), set(sys.modules), dict(os.environ)
    agents = []
    for version in range(3):
        write(folder, version)
        agents.append(load_agent(folder))
    for index in order:
        agents[index].unload()
    assert sys.path == path
    assert set(sys.modules) - modules <= {"_runagent_agents"}
    assert dict(os.environ) == environment
