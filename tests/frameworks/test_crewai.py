"""CrewAI: a crew's output, and its stream, without a word to the makers of CrewAI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.additions import add_entrypoints
from tests.frameworks.environment import Framework, ServedAgent
from tests.frameworks.gate import Gate, let_tests_speak
from tests.frameworks.liveness import fails_aloud, flows
from tests.frameworks.silence import calling_nobody
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "crewai"

WRITTEN = ["You ", "said: ", "Write ", "about ", "tales "]
EDITED = ["You ", "said: ", "Improve ", "this: ", *WRITTEN]


@pytest.fixture(scope="module")
def served(framework: Framework, folder: Path, home: Path) -> Iterator[ServedAgent]:
    let_tests_speak(folder)
    # A crew's own calls, as authors serve them who have one caller.
    crews = "quiet, loud = crew(stream=False), crew(stream=True)"
    add_entrypoints(folder, {"kickoff": "quiet.kickoff", "kickoff_stream": "loud.kickoff"}, code=crews)
    with calling_nobody() as variables, framework.serving(folder, home, **variables) as agent:
        yield agent


@pytest.mark.parametrize("wire", WIRES)
def test_the_template_serves_as_it_is(served: ServedAgent, wire: str) -> None:
    output = run_over(wire, served, "write", topic="tales")
    assert output["raw"] == "".join(EDITED)
    assert [(task["agent"], task["raw"]) for task in output["tasks_output"]] == [
        ("Writer", "".join(WRITTEN)),
        ("Editor", "".join(EDITED)),
    ]
    assert " object at 0x" not in repr(output)


@pytest.mark.parametrize("wire", WIRES)
def test_a_stream_tells_who_says_what(served: ServedAgent, wire: str) -> None:
    chunks = list(stream_over(wire, served, "write_stream", topic="tales"))
    assert [chunk["content"] for chunk in chunks if chunk["agent_role"] == "Writer"] == WRITTEN
    assert [chunk["content"] for chunk in chunks if chunk["agent_role"] == "Editor"] == EDITED


def test_an_extractor_takes_the_text_out_of_each_chunk(served: ServedAgent) -> None:
    chunks = list(stream_over("sync grpc", served, "text_stream", topic="tales"))
    assert chunks[0] == {"text": "You ", "agent": "Writer"}
    assert [chunk["text"] for chunk in chunks] == [*WRITTEN, *EDITED]


def test_a_crews_own_calls_are_entrypoints(served: ServedAgent) -> None:
    inputs = {"topic": "tales"}
    assert run_over("sync grpc", served, "kickoff", inputs=inputs)["raw"] == "".join(EDITED)
    chunks = list(stream_over("sync http", served, "kickoff_stream", inputs=inputs))
    assert [chunk["content"] for chunk in chunks] == [*WRITTEN, *EDITED]


def test_words_arrive_as_they_are_said(served: ServedAgent) -> None:
    flows(served, "write_stream", text_of, topic="{prompt}")


def test_what_fails_in_the_middle_is_told(served: ServedAgent) -> None:
    fails_aloud(served, "write_stream", topic="{prompt}")


def test_a_crew_that_is_left_asks_for_nothing_more(served: ServedAgent) -> None:
    # CrewAI calls its model on a thread, which nothing stops; the next agent would be asked if the crew went on.
    with Gate() as writer, Gate() as editor:
        with served.client("write_stream") as client, client.run_stream(topic=writer.prompt) as chunks:
            writer.say(editor.prompt)
            assert next(chunks)["content"] == editor.prompt
        writer.end()
        writer.wait_until_left()
        # Time enough for the editor to be asked.
        assert list(stream_over("stub", served, "write_stream", topic="tales"))
        assert not editor.is_asked


def text_of(chunk: Any) -> str | None:
    return str(chunk["content"])
