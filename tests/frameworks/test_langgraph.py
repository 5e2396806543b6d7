"""LangGraph: the template, whose tags are the graph's own methods."""

from __future__ import annotations

import re

import pytest

from tests.frameworks.environment import ServedAgent
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "langgraph"

QUESTION = {"question": "What is a graph?"}
NOTE = "Nodes do the work; edges say which of them comes next."


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("tag", ["ask", "ask_async"])
def test_a_graph_returns_its_state(served: ServedAgent, tag: str, wire: str) -> None:
    state = run_over(wire, served, tag, input=QUESTION)
    assert (state["question"], state["notes"]) == (QUESTION["question"], [NOTE])
    assert state["answer"]["content"].startswith("A graph has nodes")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("tag", ["ask_stream", "ask_async_stream"])
def test_a_graph_streams_what_each_node_adds(served: ServedAgent, tag: str, wire: str) -> None:
    first, second = stream_over(wire, served, tag, input=QUESTION)
    assert first == {"look_up": {"notes": [NOTE]}}
    assert second["answer"]["answer"]["type"] == "ai"


@pytest.mark.parametrize("tag", ["ask_stream", "ask_async_stream"])
def test_a_graph_streams_its_models_words(served: ServedAgent, tag: str) -> None:
    pairs = list(stream_over("sync grpc", served, tag, input=QUESTION, stream_mode="messages"))
    assert len(pairs) > 5
    assert "".join(message["content"] for message, _ in pairs).startswith("A graph has nodes, which ")


def test_the_line_that_serve_shows_works_as_it_stands(served: ServedAgent) -> None:
    _, _, shown = served.process.err.partition("Try it from another terminal:\n")
    command, _, _ = shown.partition("\n\n")
    assert '--input=\'{"question": "Hello"}\'' in command
    outcome = served.cli.shell(command)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[0] == b'{"look_up":{"notes":[]}}'


def test_a_command_line_gives_the_input_as_json(served: ServedAgent) -> None:
    agent = ("--id", served.agent_id, "--local")
    outcome = served.cli(
        "run-stream", *agent, "--tag", "ask_stream", "--", '--input={"question": "graph?"}', "--stream_mode=messages"
    )
    assert outcome.out.count(b'"AIMessageChunk"') > 5
    plain = served.cli("run", *agent, "--tag", "ask", "--", '--input={"question": "graph?"}')
    assert plain.out.startswith(b'{"question":"graph?","notes":["Nodes do the work;')


def test_describe_says_what_the_graph_takes(served: ServedAgent) -> None:
    told = served.cli("describe", "--id", served.agent_id, "--local").out.decode()
    assert re.search(r"--input +object with question, required", told)
