"""Agents to be checked, as data: what is in the folder, what must be said, and what mends it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CONFIG", "MAIN", "SOUND", "Case", "config", "entry", "write_agent"]

CONFIG = "runagent.config.json"
MAIN = """\
def greet(name: str) -> str:
    return f"Hello, {name}!"


def words_stream(text: str):
    yield from text.split()
"""

Files = Mapping[str, str | None]


def entry(**changes: Any) -> dict[str, Any]:
    return {"tag": "greet", "file": "main.py", "module": "greet", **changes}


def config(*entries: Mapping[str, Any], **changes: Any) -> str:
    return json.dumps(
        {
            "agent_id": "an-agent",
            "agent_name": "An agent",
            "framework": "default",
            "agent_architecture": {"entrypoints": entries or (entry(),)},
            **changes,
        },
        indent=2,
    )


SOUND: Files = {"main.py": MAIN, CONFIG: config()}


def write_agent(folder: Path, files: Files) -> Path:
    """Writes a sound agent, but for the files that are given; None leaves one out."""
    folder.mkdir()
    for name, text in {**SOUND, **files}.items():
        if text is not None:
            (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    files: Files
    """What differs from a sound agent."""
    said: str
    """All that is said, but for the counts. The folder is called by the case's name."""
    mended: Files = field(default_factory=lambda: SOUND)
    """What differs once what is said was done."""
