"""A test file says which framework it is about, `FRAMEWORK = "langgraph"`, and takes what it needs of these."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.frameworks.environment import Framework, ServedAgent


@pytest.fixture(scope="module")
def framework(request: pytest.FixtureRequest) -> Framework:
    """The framework that the test file names."""
    return Framework(request.module.FRAMEWORK)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the module's commands and servers."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def folder(framework: Framework, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `runagent init --framework` made. Every test of the module sees the same one."""
    folder = tmp_path_factory.mktemp(framework.name) / "agent"
    framework.init(folder, home)
    return folder


@pytest.fixture(scope="module")
def served(framework: Framework, folder: Path, home: Path) -> Iterator[ServedAgent]:
    """The template as it is, served. Where it needs more, such as the address of a stand-in, use
    `framework.serving(folder, home, OPENAI_BASE_URL=...)`."""
    with framework.serving(folder, home) as agent:
        yield agent
