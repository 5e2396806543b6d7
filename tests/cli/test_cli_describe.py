"""`runagent describe`: an agent, its entrypoints and what they take."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.cli.commands import Cli


def test_an_agent_is_described_in_eighty_columns(probe: Cli) -> None:
    outcome = probe("describe", "--id", "probe", "--local")
    assert (outcome.code, outcome.err) == (0, "")
    text = outcome.out.decode()
    assert text.startswith("Probe\n  id         probe\n  version    1.0.0\n")
    assert "  Does what its arguments say.\n" in text
    assert "\ngreet\n  Greets somebody.\n  --name            string, required\n" in text
    assert "\ntext_stream (streams)\n" in text
    assert re.search(r"--ratio +number, default 0\.5\n", text)
    assert re.search(r"--tags +array of string or null, default null\n", text)
    assert re.search(r'--kind +"none" or "text" or "bytes"', text)
    assert "\nwhose\n  Returns on whose behalf it is called.\n  takes no parameters\n" in text
    assert "\nanything\n  --... takes any other parameter, too\n" in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_description_as_json_holds_the_schemas(probe: Cli) -> None:
    outcome = probe("describe", "--id", "probe", "--local", "--format", "json")
    description = json.loads(outcome.out)
    assert (description["agent_id"], description["agent_name"]) == ("probe", "Probe")
    greet = description["entrypoints"][0]
    assert (greet["tag"], greet["streaming"], greet["description"]) == ("greet", False, "Greets somebody.")
    assert greet["input_schema"]["required"] == ["name"]


SECTIONS = ["Args:", "Parameters\n    ----------", "Yields:", "Example:\n        x()", "Returns: text"]


def test_the_sections_of_a_docstring_are_left_to_the_json(cli: Cli, tmp_path: Path) -> None:
    functions = [
        f'def f{index}(name):\n    """Greets.\n\n    Kindly.\n\n    {section}\n        name: Whom.\n    """\n'
        for index, section in enumerate(SECTIONS)
    ]
    (tmp_path / "main.py").write_text("".join(functions))
    entrypoints = [{"file": "main.py", "module": f"f{index}", "tag": f"f{index}"} for index in range(len(SECTIONS))]
    config = {"agent_id": "a", "agent_name": "a", "framework": "default"}
    (tmp_path / "runagent.config.json").write_text(
        json.dumps(config | {"agent_architecture": {"entrypoints": entrypoints}})
    )
    with cli.serving(tmp_path):
        text = cli("describe", "--id", "a", "--local").out.decode()
        for index in range(len(SECTIONS)):
            assert f"\nf{index}\n  Greets.\n  Kindly.\n  --name            anything, required\n" in text
        assert "Whom." not in text
        whole = cli("describe", "--id", "a", "--local", "--format", "json").out.decode()
        assert whole.count("Whom.") == len(SECTIONS)


def test_what_parameters_take_stands_in_one_column_however_long_their_names_are(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(f"def f(a: int, longer_than_most_names: int, {'x' * 40}: int): ...\n")
    entrypoint = {"file": "main.py", "module": "f", "tag": "f"}
    config = {"agent_id": "a", "agent_name": "a", "framework": "default"}
    (tmp_path / "runagent.config.json").write_text(
        json.dumps(config | {"agent_architecture": {"entrypoints": [entrypoint]}})
    )
    with cli.serving(tmp_path):
        lines = cli("describe", "--id", "a", "--local").out.decode().splitlines()[-3:]
    assert lines == [
        "  --a                       integer, required",
        "  --longer_than_most_names  integer, required",
        f"  --{'x' * 40} integer, required",
    ]


def test_a_description_needs_one_address(cli: Cli) -> None:
    neither = cli("describe")
    assert (neither.code, neither.error) == (
        2,
        "Error: Say which agent: --id ID with --local, or --host HOST with --port PORT.",
    )
    unknown = cli("describe", "--id", "x", "--local")
    assert (unknown.code, unknown.error) == (1, "❌ Agent `x` is not served on this machine.")
