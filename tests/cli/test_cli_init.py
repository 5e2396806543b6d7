"""`runagent init`: an agent that serves at once, and nothing overwritten."""

from __future__ import annotations

import ast
import json
import uuid
from pathlib import Path

import pytest

from runagent_cli.init import frameworks
from runagent_grpc.worker.config.file import CONFIG_FILES
from tests.cli.commands import Cli

TEMPLATES = Path(__file__).parents[2] / "cli" / "runagent_cli" / "templates"

# The names that configurations have for what an agent is built with: docs/wire.md, configuration.
KNOWN = {
    "default",
    "ag2",
    "agno",
    "autogen",
    "crewai",
    "custom",
    "langchain",
    "langgraph",
    "letta",
    "llamaindex",
    "n8n",
    "openai",
    "parlant",
}


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_what_init_writes_serves_at_once(cli: Cli, tmp_path: Path) -> None:
    made = cli("init", "my-agent", cwd=tmp_path)
    assert (made.code, made.out) == (0, b"")
    assert "  runagent serve my-agent\n" in made.err
    config = json.loads((tmp_path / "my-agent" / "runagent.config.json").read_text())
    assert config["agent_name"] == "my-agent"
    assert uuid.UUID(config["agent_id"]).version == 4
    with cli.serving(tmp_path / "my-agent"):
        agent = ("--id", config["agent_id"], "--local")
        assert cli("run", *agent, "--tag", "greet", "--name=Ada").out == b"Hello, Ada!\n"
        echo = cli("run-stream", *agent, "--tag", "echo_stream", "--message=one two", "--delay=0")
        assert echo.out == b"one two \n"
        count = cli("run-stream", *agent, "--tag", "count_stream", "--to=2", "--delay=0")
        assert count.out == b'{"number":1,"square":1}\n{"number":2,"square":4}\n'


def test_init_takes_the_folder_it_is_in_and_a_name(cli: Cli, tmp_path: Path) -> None:
    made = cli("init", "--name", 'Ada\'s "agent" grüßt', "--framework", "default", cwd=tmp_path)
    assert made.code == 0
    assert made.err.splitlines()[0].endswith(f" to {tmp_path}.")
    assert "  runagent serve\n" in made.err
    config = json.loads((tmp_path / "runagent.config.json").read_text(encoding="utf-8"))
    assert config["agent_name"] == 'Ada\'s "agent" grüßt'


def test_two_agents_have_two_ids(cli: Cli, tmp_path: Path) -> None:
    ids = set()
    for name in ("one", "two"):
        cli("init", name, cwd=tmp_path)
        ids.add(json.loads((tmp_path / name / "runagent.config.json").read_text())["agent_id"])
    assert len(ids) == 2


def test_init_overwrites_nothing(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("mine")
    outcome = cli("init", cwd=tmp_path)
    assert (outcome.code, outcome.error) == (1, f"❌ main.py would be overwritten in {tmp_path}.")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["main.py"]
    assert (tmp_path / "main.py").read_text() == "mine"


@pytest.mark.parametrize("name", CONFIG_FILES[1:])
def test_init_writes_no_configuration_beside_another(cli: Cli, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("agent_id: mine\n")
    outcome = cli("init", cwd=tmp_path)
    assert outcome.code == 1
    assert outcome.error == f"❌ {name} would no longer count in {tmp_path}, beside runagent.config.json."
    assert files_of(tmp_path) == {name}


def test_init_offers_the_templates_that_there_are_and_takes_no_empty_name(cli: Cli, tmp_path: Path) -> None:
    other = cli("init", "--framework", "fortran", cwd=tmp_path)
    assert (other.code, "'fortran' is not " in other.error) == (2, True)
    assert cli("init", "--name", " ", cwd=tmp_path).code == 2
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.parametrize("framework", frameworks())
def test_init_writes_every_file_of_a_template(cli: Cli, tmp_path: Path, framework: str) -> None:
    made = cli("init", "my agent", "--framework", framework, cwd=tmp_path)
    assert made.code == 0
    template, folder = TEMPLATES / framework, tmp_path / "my agent"
    assert files_of(folder) == {name for name in files_of(template) if "__pycache__" not in name}
    for name in files_of(folder) - {"runagent.config.json"}:
        assert (folder / name).read_bytes() == (template / name).read_bytes()
    has_requirements = (template / "requirements.txt").exists()
    assert ("  pip install -r 'my agent/requirements.txt'\n" in made.err) == has_requirements
    assert ("  python 'my agent/stand_in.py'\n" in made.err) == (framework == "n8n")


@pytest.mark.parametrize("framework", frameworks())
def test_a_template_has_what_an_author_starts_from(framework: str) -> None:
    assert framework in KNOWN
    template = TEMPLATES / framework
    config = json.loads((template / "runagent.config.json").read_text())
    assert (config["agent_id"], config["agent_name"], config["framework"]) == ("", "", framework)
    assert config["description"].endswith(".")
    tags = [entrypoint["tag"] for entrypoint in config["agent_architecture"]["entrypoints"]]
    assert {tag.endswith("_stream") for tag in tags} == {False, True}
    assert ast.get_docstring(ast.parse((template / "main.py").read_text()))


def test_init_cannot_write_into_a_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = cli("init", "file/agent", cwd=tmp_path)
    assert (outcome.code, outcome.error) == (1, "❌ file/agent cannot be written to: Not a directory.")
