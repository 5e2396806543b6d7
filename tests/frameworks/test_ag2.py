"""AG2: an agent's turn, as its response and as its events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.additions import add_entrypoints
from tests.frameworks.environment import Framework, ServedAgent
from tests.frameworks.gate import let_tests_speak
from tests.frameworks.liveness import fails_aloud, flows, stops_when_left
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "ag2"

WORDS = ["You ", "said: ", "a ", "tale "]


@pytest.fixture(scope="module")
def served(framework: Framework, folder: Path, home: Path) -> Iterator[ServedAgent]:
    let_tests_speak(folder)
    # The agent's own call, of one whose model has a key.
    add_entrypoints(folder, {"reply": "agent.ask"}, code='config.api_key = "sk-secret"')
    with framework.serving(folder, home) as agent:
        yield agent


@pytest.mark.parametrize("wire", WIRES)
def test_the_template_serves_as_it_is(served: ServedAgent, wire: str) -> None:
    response = run_over(wire, served, "ask", message="a tale")
    assert response["message"]["content"] == "You said: a tale "
    assert response["model"] == "stand-in"
    assert list(stream_over(wire, served, "ask_stream", message="a tale")) == WORDS


@pytest.mark.parametrize("wire", WIRES)
def test_the_events_of_a_turn_are_told_in_json(served: ServedAgent, wire: str) -> None:
    events = list(stream_over(wire, served, "events_stream", message="a tale"))
    assert [event["content"] for event in events if event["event"] == "ModelMessageChunk"] == WORDS
    assert "ModelResponse" in [event["event"] for event in events]
    assert " object at 0x" not in repr(events)


def test_an_agents_own_call_is_an_entrypoint_that_keeps_the_key_of_its_model(served: ServedAgent) -> None:
    response = run_over("sync grpc", served, "reply", "a tale")
    assert response["message"]["content"] == "You said: a tale "
    assert "sk-secret" not in repr(response)


@pytest.mark.parametrize("tag", ["ask_stream", "events_stream"])
def test_words_arrive_as_they_are_said(served: ServedAgent, tag: str) -> None:
    flows(served, tag, text_of, message="{prompt}")


def test_a_stream_that_is_left_stops_asking(served: ServedAgent) -> None:
    stops_when_left(served, "ask_stream", text_of, message="{prompt}")


def test_what_fails_in_the_middle_is_told(served: ServedAgent) -> None:
    fails_aloud(served, "ask_stream", message="{prompt}")


def text_of(chunk: Any) -> str | None:
    if isinstance(chunk, str):
        return chunk
    return chunk["content"] if chunk["event"] == "ModelMessageChunk" else None
