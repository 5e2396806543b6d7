"""LangChain: the template, whose tags are the methods of a chain."""

from __future__ import annotations

import re

import pytest

from tests.frameworks.environment import ServedAgent
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "langchain"

ANSWER = "It is simpler than it looks: one thing follows from another."


@pytest.mark.parametrize("wire", WIRES)
def test_a_chain_returns_its_text(served: ServedAgent, wire: str) -> None:
    assert run_over(wire, served, "explain", input={"topic": "rain"}) == ANSWER


@pytest.mark.parametrize("wire", WIRES)
def test_a_chain_streams_text_and_message_objects(served: ServedAgent, wire: str) -> None:
    words = list(stream_over(wire, served, "explain_stream", {"topic": "rain"}))
    assert (len(words) > 5, "".join(words)) == (True, ANSWER)
    messages = list(stream_over(wire, served, "messages_stream", {"topic": "rain"}))
    assert "".join(message["content"] for message in messages) == ANSWER
    assert {message["type"] for message in messages} == {"AIMessageChunk"}


def test_a_command_line_gives_the_input_as_json(served: ServedAgent) -> None:
    agent = ("--id", served.agent_id, "--local")
    outcome = served.cli("run", *agent, "--tag", "explain", "--", '--input={"topic": "rain"}')
    assert outcome.out.decode() == f"{ANSWER}\n"
    # A runnable's `stream` takes options of any name, and hands them to whatever understands them.
    streamed = served.cli("run-stream", *agent, "--tag", "explain_stream", "--", '--input={"topic": "rain"}')
    assert streamed.out.decode() == ANSWER


def test_describe_says_what_the_chain_takes(served: ServedAgent) -> None:
    told = served.cli("describe", "--id", served.agent_id, "--local").out.decode()
    assert len(re.findall(r"--input +object with topic, required", told)) == 3


def test_what_is_missing_in_the_prompt_is_said(served: ServedAgent) -> None:
    outcome = served.cli("run", "--id", served.agent_id, "--local", "--tag", "explain", "--", "--input={}")
    assert (outcome.code, "topic" in outcome.err) == (1, True)
