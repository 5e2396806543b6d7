"""What `runagent init` writes gives `runagent check` nothing to say, whatever the framework."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Cli
from tests.frameworks.environment import Framework

TEMPLATES = Path(__file__).parents[2] / "cli" / "runagent_cli" / "templates"
NAMES = sorted(path.parent.name for path in TEMPLATES.glob("*/runagent.config.json"))


@pytest.mark.parametrize("name", NAMES)
def test_what_init_writes_is_sound(name: str, tmp_path: Path) -> None:
    framework = Framework(name)
    framework.init(tmp_path / "agent", tmp_path / "home")
    checked = Cli(tmp_path / "home", framework.python)("check", str(tmp_path / "agent"), "--strict")
    assert (checked.code, checked.out.decode().splitlines()[-1]) == (0, "No errors, no warnings.")
