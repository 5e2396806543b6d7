"""What `runagent init` writes gives `runagent check` nothing to say, whatever the framework."""

from __future__ import annotations

from pathlib import Path

import pytest

from runagent_cli.init import frameworks
from tests.cli.commands import Cli
from tests.frameworks.environment import Framework


@pytest.mark.parametrize("name", frameworks())
def test_what_init_writes_is_sound(name: str, tmp_path: Path) -> None:
    framework = Framework(name)
    framework.init(tmp_path / "agent", tmp_path / "home")
    checked = Cli(tmp_path / "home", framework.python)("check", str(tmp_path / "agent"), "--strict")
    assert (checked.code, checked.out.decode().splitlines()[-1]) == (0, "No errors, no warnings.")
