from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.worker import Agent, InvalidAgentError, load_agent

MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Writes an agent's folder: its files, and a configuration of which any part can be changed."""
    count = 0

    def make(
        files: Mapping[str, str] | None = None,
        entrypoints: Sequence[Mapping[str, Any]] | str = ({"file": "main.py", "module": "run", "tag": "run"},),
        **changes: Any,
    ) -> Path:
        nonlocal count
        count += 1
        folder = tmp_path / f"agent{count}"
        folder.mkdir()
        for name, text in ({"main.py": "def run():\n    return 'ran'\n"} if files is None else files).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        config = {
            "agent_id": "an-id",
            "agent_name": "A name",
            "framework": "custom",
            "agent_architecture": {"entrypoints": entrypoints},
            **changes,
        }
        (folder / "runagent.config.json").write_text(json.dumps(config), encoding="utf-8")
        return folder

    return make


@pytest.fixture
def load() -> Iterator[Callable[[Path], Agent]]:
    """Loads agents, and unloads them when the test is over."""
    agents: list[Agent] = []

    def load_and_remember(folder: Path) -> Agent:
        agents.append(load_agent(folder))
        return agents[-1]

    yield load_and_remember
    for agent in reversed(agents):
        agent.unload()


@pytest.fixture
def problems_of() -> Callable[[Path], tuple[str, ...]]:
    """Loads an agent that cannot be served, and returns what is said about it."""

    def problems(folder: Path) -> tuple[str, ...]:
        with pytest.raises(InvalidAgentError) as caught:
            load_agent(folder)
        return tuple(map(str, caught.value.problems))

    return problems
