"""The command lines of the documentation that the project started from, as printed there, against the quickstart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import EXAMPLES, Cli

STORY = r"""
# Stream a story generation
runagent run-stream \
  --id abc-123-def-456 \
  --tag story_stream \
  --prompt="Write a short story about a robot"
"""

EXPLANATION = r"""
# Stream with input file
runagent run-stream \
  --id abc-123-def-456 \
  --tag explain_stream \
  --input input.json
"""

LOCAL = r"""
# Stream from locally running agent
runagent run-stream \
  --id local-agent-123 \
  --tag chat_stream \
  --local \
  --message="Hello, how are you?"
"""

HOST_AND_PORT = r"""
# Stream from custom host/port
runagent run-stream \
  --host localhost \
  --port 8080 \
  --tag chat_stream \
  --message="Test message"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, str]]:
    commands = Cli(tmp_path_factory.mktemp("served"))
    with commands.serving(EXAMPLES / "quickstart") as server:
        yield commands, str(server.port)


def test_an_agent_named_by_its_id_tells_a_story(served: tuple[Cli, str]) -> None:
    cli, port = served
    cli = cli.with_variables(RUNAGENT_BASE_URL=f"http://localhost:{port}")
    outcome = cli.shell(STORY.replace("abc-123-def-456", "quickstart"))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(b"Once there was a robot, ")
    assert outcome.out.endswith(b"The end.\n")


def test_an_input_file_asks_for_an_explanation(served: tuple[Cli, str], tmp_path: Path) -> None:
    cli, port = served
    cli = cli.with_variables(RUNAGENT_BASE_URL=f"http://localhost:{port}")
    (tmp_path / "input.json").write_text(
        json.dumps({"query": "Explain quantum computing", "detail_level": "beginner"}, indent=2)
    )
    outcome = cli.shell(EXPLANATION.replace("abc-123-def-456", "quickstart"), cwd=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(b"How to understand quantum computing (beginner):\n1. ")


def test_an_agent_on_this_machine_chats(served: tuple[Cli, str]) -> None:
    cli, _ = served
    outcome = cli.shell(LOCAL.replace("local-agent-123", "quickstart"))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(b"Hello anonymous! You said: Hello, how are you?\n")


def test_a_host_and_a_port_lead_to_an_agent(served: tuple[Cli, str]) -> None:
    cli, port = served
    outcome = cli.shell(HOST_AND_PORT.replace("8080", port))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(b"Hello anonymous! You said: Test message\n")
