"""`runagent init`: an agent that serves at once, and nothing overwritten."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from tests.cli.commands import Cli


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


def test_init_knows_one_framework_and_no_empty_name(cli: Cli, tmp_path: Path) -> None:
    other = cli("init", "--framework", "langchain", cwd=tmp_path)
    assert (other.code, "'langchain' is not" in other.error) == (2, True)
    assert cli("init", "--name", " ", cwd=tmp_path).code == 2
    assert not list(tmp_path.glob("*.json"))


def test_init_cannot_write_into_a_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = cli("init", "file/agent", cwd=tmp_path)
    assert (outcome.code, outcome.error) == (1, "❌ file/agent cannot be written to: Not a directory.")
