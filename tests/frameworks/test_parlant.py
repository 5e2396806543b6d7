"""Parlant: its client against a server's stand-in, with the events of a conversation as they happen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.environment import Framework, ServedAgent
from tests.frameworks.gate import Gate, let_tests_speak
from tests.frameworks.liveness import fails_aloud, flows
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "parlant"

PLACE = ("id", "offset", "trace_id", "correlation_id")


@pytest.fixture(scope="module")
def served(framework: Framework, folder: Path, home: Path) -> Iterator[ServedAgent]:
    let_tests_speak(folder)
    with framework.serving(folder, home) as agent:
        yield agent


@pytest.mark.parametrize("wire", WIRES)
def test_the_template_serves_as_it_is(served: ServedAgent, wire: str) -> None:
    assert run_over(wire, served, "answer", message="a tale") == "Let me see.\nYou said: a tale"
    thinking, *messages = stream_over(wire, served, "answer_stream", message="a tale")
    assert (thinking["kind"], thinking["data"]["status"]) == ("status", "processing")
    assert list(map(text_of, messages)) == ["Let me see.", "You said: a tale"]
    assert messages[0]["creation_utc"].startswith("2026-01-01T00:00:00")


def test_every_wire_carries_the_same_events(served: ServedAgent) -> None:
    first, *others = [
        [without_places(event) for event in stream_over(wire, served, "answer_stream", message="the same")]
        for wire in WIRES
    ]
    assert others == [first] * len(others)


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_a_user_stays_in_one_conversation(served: ServedAgent, transport: str) -> None:
    assert [first_offset(served, transport, user) for user in ("ada", "bob", "ada")] == [1, 1, 6]


def first_offset(served: ServedAgent, transport: str, user: str) -> int:
    with served.client("answer_stream", transport=transport, user_id=f"{user}-{transport}") as client:
        events = list(client.run("a tale"))
    offset: int = events[0]["offset"]
    return offset


def test_messages_arrive_as_they_are_said(served: ServedAgent) -> None:
    flows(served, "answer_stream", text_of, message="{prompt}")


def test_an_answer_that_was_left_does_not_get_into_the_next_one(served: ServedAgent) -> None:
    with served.client("answer_stream") as client:
        with Gate() as gate, client.run_stream(message=gate.prompt) as events:
            gate.say("one ")
            assert next(filter(None, map(text_of, events))) == "one "
            with served.client("answer") as other:
                # Parlant goes on with an answer until the next message, which ends it.
                assert other.run("a tale") == "Let me see.\nYou said: a tale"
            gate.wait_until_left()
            assert [event["data"]["status"] for event in events] == ["cancelled"]
        assert list(map(text_of, client.run("again")))[1:] == ["Let me see.", "You said: again"]


def test_what_fails_on_the_server_is_told(served: ServedAgent) -> None:
    fails_aloud(served, "answer_stream", message="{prompt}")


def text_of(event: Any) -> str | None:
    return event["data"]["message"] if event["kind"] == "message" else None


def without_places(event: Any) -> Any:
    """An event but for where it stands in its conversation, which grows from call to call."""
    return {name: value for name, value in event.items() if name not in PLACE}
