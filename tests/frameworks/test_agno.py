"""Agno: an agent's run, as its output and as its events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.additions import add_entrypoints
from tests.frameworks.environment import Framework, ServedAgent
from tests.frameworks.gate import let_tests_speak
from tests.frameworks.liveness import fails_aloud, flows, stops_when_left
from tests.frameworks.silence import calling_nobody
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "agno"

WORDS = ["You ", "said: ", "a ", "tale "]


@pytest.fixture(scope="module")
def served(framework: Framework, folder: Path, home: Path) -> Iterator[ServedAgent]:
    let_tests_speak(folder)
    # The agent's own calls, as authors serve them who want all that these take.
    stream = "import functools\n\nstream = functools.partial(agent.run, stream=True)"
    add_entrypoints(folder, {"run": "agent.run", "run_stream": "stream"}, code=stream)
    with calling_nobody() as variables, framework.serving(folder, home, **variables) as agent:
        yield agent


@pytest.mark.parametrize("wire", WIRES)
def test_the_template_serves_as_it_is(served: ServedAgent, wire: str) -> None:
    output = run_over(wire, served, "ask", message="a tale")
    assert (output["content"], output["status"]) == ("You said: a tale ", "COMPLETED")
    assert list(stream_over(wire, served, "ask_stream", message="a tale")) == WORDS


@pytest.mark.parametrize("wire", WIRES)
def test_the_events_of_a_run_are_told_in_json(served: ServedAgent, wire: str) -> None:
    events = list(stream_over(wire, served, "events_stream", message="a tale"))
    assert [event["content"] for event in events if event["event"] == "RunContent"] == WORDS
    assert (events[0]["event"], events[-1]["event"]) == ("RunStarted", "RunCompleted")
    assert " object at 0x" not in repr(events)


def test_the_agents_own_run_is_an_entrypoint(served: ServedAgent) -> None:
    output = run_over("sync grpc", served, "run", input="a tale", session_id="s-1")
    assert (output["content"], output["session_id"]) == ("You said: a tale ", "s-1")
    events = list(stream_over("sync http", served, "run_stream", input="a tale"))
    assert [event["content"] for event in events] == WORDS


@pytest.mark.parametrize("tag", ["ask_stream", "events_stream", "run_stream"])
def test_words_arrive_as_they_are_said(served: ServedAgent, tag: str) -> None:
    flows(served, tag, text_of, **{"input" if tag == "run_stream" else "message": "{prompt}"})


@pytest.mark.parametrize("tag", ["ask_stream", "run_stream"])
def test_a_stream_that_is_left_stops_asking(served: ServedAgent, tag: str) -> None:
    stops_when_left(served, tag, text_of, **{"input" if tag == "run_stream" else "message": "{prompt}"})


def test_what_fails_in_the_middle_is_told(served: ServedAgent) -> None:
    fails_aloud(served, "ask_stream", message="{prompt}")


def text_of(chunk: Any) -> str | None:
    if isinstance(chunk, str):
        return chunk
    return chunk["content"] if chunk["event"] == "RunContent" else None
