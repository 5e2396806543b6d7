from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import AGENTS, Cli


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Commands with a home that nothing is in."""
    return Cli(tmp_path / "home")


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """Commands that find the agent `probe` by `--id probe --local`."""
    commands = Cli(tmp_path_factory.mktemp("probe"))
    with commands.serving(AGENTS / "probe"):
        yield commands
