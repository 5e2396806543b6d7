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
SECTIONS = {
    title.lower().replace(" ", "-"): (title, text)
    for title, text in re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", PAGE, re.M)
}
"""The title and the text of each section, by its anchor."""


def test_every_framework_has_a_row_in_order() -> None:
    assert list(ROWS) == frameworks()[1:]


def test_the_readme_names_every_framework() -> None:
    readme = " ".join((ROOT / "README.md").read_text().split())
    (named,) = re.findall(r"There is a template for each of (.+?)\.", readme)
    titles = {anchor: title for anchor, (title, _) in SECTIONS.items()}
    expected = [titles[anchor] for framework, anchor in ROWS.items() if framework != "custom"]
    assert re.split(", | and ", named.replace("'s SDK", "")) == expected


@pytest.mark.parametrize("framework", ROWS)
def test_a_section_shows_the_entrypoints_of_the_template(framework: str) -> None:
    _, text = SECTIONS[ROWS[framework]]
    (shown, *_) = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    config = json.loads((TEMPLATES / framework / "runagent.config.json").read_text())
    assert json.loads(shown) == config["agent_architecture"]["entrypoints"]


@pytest.mark.parametrize("framework", frameworks())
def test_every_template_is_served_by_a_test(framework: str) -> None:
    assert (ROOT / "tests" / "frameworks" / f"test_{framework}.py").exists()
