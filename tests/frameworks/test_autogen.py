"""AutoGen: a team's run, as its result and as its messages, and an agent's own calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.client import RunAgentError
from tests.frameworks.additions import add_entrypoints
from tests.frameworks.environment import Framework, ServedAgent
from tests.frameworks.gate import Gate, let_tests_speak
from tests.frameworks.liveness import fails_aloud, flows, stops_when_left
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "autogen"

WORDS = ["You ", "said: ", "a ", "tale "]


@pytest.fixture(scope="module")
def served(framework: Framework, folder: Path, home: Path) -> Iterator[ServedAgent]:
    let_tests_speak(folder)
    # An agent's own calls, as authors serve them who have one caller.
    alone = 'agent = AssistantAgent("alone", model, model_client_stream=True)'
    add_entrypoints(folder, {"run": "agent.run", "run_stream": "agent.run_stream"}, code=alone)
    with framework.serving(folder, home) as agent:
        yield agent


@pytest.mark.parametrize("wire", WIRES)
def test_the_template_serves_as_it_is(served: ServedAgent, wire: str) -> None:
    result = run_over(wire, served, "write", task="a tale")
    assert [(message["source"], message["type"], message["content"]) for message in result["messages"]] == [
        ("user", "TextMessage", "a tale"),
        ("writer", "TextMessage", "You said: a tale "),
        ("editor", "TextMessage", "You said: You said: a tale "),
    ]
    assert "Maximum number of messages" in result["stop_reason"]


@pytest.mark.parametrize("wire", WIRES)
def test_what_a_team_says_is_told_in_json(served: ServedAgent, wire: str) -> None:
    *events, result = stream_over(wire, served, "write_stream", task="a tale")
    assert [text for text in map(text_of, events) if text] == [*WORDS, "You ", "said: ", *WORDS]
    assert len(result["messages"]) == 3
    assert " object at 0x" not in repr(events)


def test_an_agents_own_calls_are_entrypoints(served: ServedAgent) -> None:
    result = run_over("sync grpc", served, "run", task="a tale")
    assert result["messages"][-1]["content"] == "You said: a tale "
    *events, result = stream_over("sync http", served, "run_stream", task="a tale")
    assert [text for text in map(text_of, events) if text] == WORDS


@pytest.mark.parametrize("tag", ["write_stream", "run_stream"])
def test_words_arrive_as_they_are_said(served: ServedAgent, tag: str) -> None:
    flows(served, tag, text_of, task="{prompt}")


@pytest.mark.parametrize("tag", ["write_stream", "run_stream"])
def test_a_stream_that_is_left_stops_asking(served: ServedAgent, tag: str) -> None:
    stops_when_left(served, tag, text_of, task="{prompt}")


@pytest.mark.parametrize("tag", ["write_stream", "run_stream"])
def test_what_fails_in_the_middle_is_told(served: ServedAgent, tag: str) -> None:
    fails_aloud(served, tag, task="{prompt}")


def test_the_traceback_that_autogen_writes_into_its_error_stays_here(served: ServedAgent) -> None:
    with Gate() as gate, served.client("write_stream") as client, client.run_stream(task=gate.prompt) as chunks:
        gate.fail("The model is out of words.")
        with pytest.raises(RunAgentError) as caught:
            list(chunks)
    assert caught.value.message == "RuntimeError: The model is out of words."


def text_of(chunk: Any) -> str | None:
    return chunk["content"] if chunk.get("type") == "ModelClientStreamingChunkEvent" else None
