"""A framework's template, as somebody uses it who has this package and the framework installed, and nothing of ours.

Where the framework is: in the environment that the tests run in, if that has all that the template requires, or in
`.venv-frameworks/NAME`, which `make test-frameworks` makes.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.cli.commands import Cli, ServeProcess
from tests.frameworks.wires import Place

__all__ = ["Framework", "ServedAgent"]

_ROOT = Path(__file__).parents[2]
_TEMPLATES = _ROOT / "cli" / "runagent_cli" / "templates"
_ENVIRONMENTS = _ROOT / ".venv-frameworks"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAgent(Place):
    """An agent that is served by a process of its own, in its framework's environment."""

    folder: Path
    process: ServeProcess
    cli: Cli
    """Commands that find the agent by `--id` and `--local`."""


class Framework:
    """A framework that the tests need installed; skips the test, or fails it where it has to be, if it is not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.python = self._python()

    def init(self, folder: Path, home: Path) -> None:
        """Writes the template into a folder, by the command."""
        made = self._cli(home)("init", str(folder), "--framework", self.name)
        assert made.code == 0, made.err

    @contextlib.contextmanager
    def serving(self, folder: Path, home: Path, *options: str, **variables: str) -> Iterator[ServedAgent]:
        """Serves a folder with more environment variables, from when it answers to the end of the block."""
        cli = self._cli(home, **variables)
        agent_id = json.loads((folder / "runagent.config.json").read_text())["agent_id"]
        with cli.serving(folder, *options) as process:
            yield ServedAgent(
                agent_id=agent_id,
                http_port=process.http_port,
                grpc_port=process.port,
                folder=folder,
                process=process,
                cli=cli,
            )

    def _cli(self, home: Path, **variables: str) -> Cli:
        return Cli(home, self.python, **variables)

    def _python(self) -> Path:
        requirements = _TEMPLATES / self.name / "requirements.txt"
        required = os.environ.get("REQUIRE_FRAMEWORKS") == "1"
        if not requirements.exists() or (not required and _is_met(requirements)):
            return Path(sys.executable)
        environment = _ENVIRONMENTS / self.name
        if (environment / "done").exists():
            return environment / "bin" / "python"
        reason = f"{self.name} is not installed; `make test-frameworks FRAMEWORK={self.name}` does it."
        if required:
            pytest.fail(reason)
        pytest.skip(reason)


def _is_met(requirements: Path) -> bool:
    """Whether the environment that the tests run in has what a file requires."""
    lines = (line.partition("#")[0].strip() for line in requirements.read_text().splitlines())
    return all(_is_installed(Requirement(line)) for line in lines if line)


def _is_installed(requirement: Requirement) -> bool:
    try:
        return requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False
