"""The page on frameworks: a row and a section for each template, with the entrypoints that the template has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from runagent_cli.init import frameworks

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "cli" / "runagent_cli" / "templates"
PAGE = (ROOT / "docs" / "frameworks.md").read_text()
ROWS = {
    match["name"]: match["anchor"]
    for match in re.finditer(r"^\| \[`(?P<name>\w+)`\]\(#(?P<anchor>[\w-]+)\)", PAGE, re.M)
}


def test_every_framework_has_a_row_in_order() -> None:
    assert list(ROWS) == frameworks()[1:]


@pytest.mark.parametrize("framework", ROWS)
def test_a_section_shows_the_entrypoints_of_the_template(framework: str) -> None:
    sections = {
        title.lower().replace(" ", "-"): text for title, text in re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", PAGE, re.M)
    }
    (shown, *_) = re.findall(r"^```json\n(.*?)^```$", sections[ROWS[framework]], re.MULTILINE | re.DOTALL)
    config = json.loads((TEMPLATES / framework / "runagent.config.json").read_text())
    assert json.loads(shown) == config["agent_architecture"]["entrypoints"]


@pytest.mark.parametrize("framework", frameworks())
def test_every_template_is_served_by_a_test(framework: str) -> None:
    assert (ROOT / "tests" / "frameworks" / f"test_{framework}.py").exists()
