"""n8n: workflows behind their webhooks, which the template's own stand-in answers, in a process of its own."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runagent_grpc.client import RunAgentError
from tests.frameworks.environment import Framework, ServedAgent
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "n8n"

ASKED = {"chatInput": "a tale"}
DEFAULT = "http://127.0.0.1:5678/webhook/"


class Workflows:
    """The stand-in as a process. What it says is read line by line, as far as somebody waits for it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self._lines = process.stdout
        self.address = self.said(r"http://127\.0\.0\.1:\d+/webhook/")

    def said(self, pattern: str) -> str:
        """Waits until it says this."""
        for line in self._lines:
            if found := re.search(pattern, line):
                return found[0]
        raise AssertionError(f"It never said {pattern}.")


@pytest.fixture(scope="module")
def workflows(framework: Framework, folder: Path) -> Iterator[Workflows]:
    """The stand-in, which listens where nobody else does."""
    command = [str(framework.python), str(folder / "stand_in.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield Workflows(process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def served(framework: Framework, folder: Path, home: Path, workflows: Workflows) -> Iterator[ServedAgent]:
    """The template with the addresses changed, which is what its author changes."""
    config = folder / "runagent.config.json"
    assert config.read_text().count(DEFAULT) == 2
    config.write_text(config.read_text().replace(DEFAULT, workflows.address))
    with framework.serving(folder, home) as agent:
        yield agent


@pytest.mark.parametrize("wire", WIRES)
def test_the_template_serves_with_its_stand_in(served: ServedAgent, wire: str) -> None:
    assert run_over(wire, served, "answer", payload=ASKED) == {"answer": "You said: a tale "}
    assert run_over(wire, served, "answer", ASKED) == {"answer": "You said: a tale "}
    begin, *items, end = stream_over(wire, served, "answer_stream", payload=ASKED)
    assert (begin["type"], end["type"]) == ("begin", "end")
    assert [item["content"] for item in items] == ["You ", "said: ", "a ", "tale "]
    assert {item["type"] for item in items} == {"item"}
    assert run_over(wire, served, "look_up", term="Webhook").startswith("A webhook node")


def test_items_arrive_as_they_are_said_and_a_workflow_hears_that_its_caller_has_left(
    served: ServedAgent, workflows: Workflows
) -> None:
    long = {"chatInput": "word " * 10_000}
    with served.client("answer_stream") as client, client.run_stream(payload=long) as chunks:
        assert [next(chunks)["type"] for _ in range(3)] == ["begin", "item", "item"]
    workflows.said(r"The caller has left\.")


def test_what_a_workflow_refuses_is_told_by_its_status(served: ServedAgent) -> None:
    with served.client("answer") as client, pytest.raises(RunAgentError, match="422"):
        client.run(payload={"message": "a tale"})


def test_the_line_that_serve_shows_works_without_a_payload(served: ServedAgent) -> None:
    ran = served.cli("run-stream", "--id", served.agent_id, "--local", "--tag", "answer_stream")
    assert (ran.code, b"nothing" in ran.out) == (0, True)


def test_callers_are_told_what_a_workflow_takes(served: ServedAgent) -> None:
    told = served.cli("describe", "--id", served.agent_id, "--local")
    assert (told.code, b"chatInput" in told.out) == (0, True)


def test_the_command_line_sends_a_text_or_what_a_file_holds(served: ServedAgent, tmp_path: Path) -> None:
    arguments = tmp_path / "arguments.json"
    arguments.write_text(json.dumps({"payload": ASKED}))
    for given in ("--payload=a tale", f"--input={arguments}"):
        ran = served.cli("run", "--id", served.agent_id, "--local", "--tag", "answer", given)
        assert (ran.code, b"You said: a tale " in ran.out) == (0, True)
