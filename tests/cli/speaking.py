"""Agents that print and log, as tests write them, and what of it came into the history."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.commands import Cli

__all__ = ["lines_of", "speaking_agent"]


def speaking_agent(folder: Path, source: str, *tags: str) -> Path:
    """Writes the agent `speaking` into a folder, with an entrypoint for each of these functions."""
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text(source, encoding="utf-8")
    entrypoints = [{"file": "main.py", "module": tag, "tag": tag} for tag in tags]
    config = {
        "agent_id": "speaking",
        "agent_name": "Speaking",
        "description": "Prints and logs.",
        "framework": "default",
        "version": "1.0.0",
        "agent_architecture": {"entrypoints": entrypoints},
    }
    (folder / "runagent.config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def lines_of(cli: Cli) -> list[tuple[str, str]]:
    """Returns the level and the text of each line in the history, the oldest first."""
    told = cli("db", "logs", "--limit", "1000", "--format", "json")
    assert told.code == 0, told.err
    return [(line["level"], line["text"]) for line in json.loads(told.out)]
