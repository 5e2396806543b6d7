"""Letta: its client against a server's stand-in, with what Letta streams while it answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.environment import Framework, ServedAgent
from tests.frameworks.gate import let_tests_speak
from tests.frameworks.liveness import fails_aloud, flows, stops_when_left
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "letta"

WORDS = ["You ", "said: ", "a ", "tale "]


@pytest.fixture(scope="module")
def served(framework: Framework, folder: Path, home: Path) -> Iterator[ServedAgent]:
    let_tests_speak(folder)
    with framework.serving(folder, home) as agent:
        yield agent


@pytest.mark.parametrize("wire", WIRES)
def test_the_template_serves_as_it_is(served: ServedAgent, wire: str) -> None:
    assert run_over(wire, served, "answer", message="a tale").startswith("You said: a tale ")
    messages = list(stream_over(wire, served, "answer_stream", message="a tale"))
    assert list(filter(None, map(text_of, messages)))[: len(WORDS)] == WORDS
    assert [message["message_type"] for message in messages[-2:]] == ["stop_reason", "usage_statistics"]
    assert messages[0]["date"].startswith("2026-01-01T00:00:00")


def test_every_wire_carries_the_same_messages(served: ServedAgent) -> None:
    first, *others = [list(stream_over(wire, served, "answer_stream", message="the same")) for wire in WIRES[1:]]
    assert others[-1] == others[0]
    assert [set(message) for message in others[0]] == [set(message) for message in first]


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_each_user_has_an_agent_that_remembers(served: ServedAgent, transport: str) -> None:
    assert ask(served, transport, "ada", "one") == "You said: one "
    assert ask(served, transport, "bob", "two") == "You said: two "
    assert ask(served, transport, "ada", "three") == 'You said: three Before that you said "one". '


def ask(served: ServedAgent, transport: str, user: str, message: str) -> str:
    with served.client("answer", transport=transport, user_id=f"{user}-{transport}") as client:
        answer: str = client.run(message)
        return answer


def test_words_arrive_as_they_are_said(served: ServedAgent) -> None:
    flows(served, "answer_stream", text_of, message="{prompt}")


def test_a_stream_that_is_left_stops_asking(served: ServedAgent) -> None:
    stops_when_left(served, "answer_stream", text_of, message="{prompt}")


def test_what_fails_in_the_middle_is_told(served: ServedAgent) -> None:
    fails_aloud(served, "answer_stream", message="{prompt}")


def text_of(message: Any) -> str | None:
    return message["content"] if message["message_type"] == "assistant_message" else None
