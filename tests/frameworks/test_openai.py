"""The SDK of OpenAI: its own calls as entrypoints, in this process and over a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runagent_grpc.client import RunAgentError
from tests.frameworks.environment import Framework, ServedAgent
from tests.frameworks.gate import let_tests_speak
from tests.frameworks.liveness import fails_aloud, flows, stops_when_left
from tests.frameworks.openai_api import openai_api
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "openai"

MESSAGES = [{"role": "user", "content": "a tale"}]
CHUNK = {"id": "chatcmpl-stand-in", "created": 0, "model": "gpt-5-mini", "object": "chat.completion.chunk"}


@pytest.fixture(scope="module")
def served(framework: Framework, folder: Path, home: Path) -> Iterator[ServedAgent]:
    let_tests_speak(folder)
    with framework.serving(folder, home) as agent:
        yield agent


@pytest.mark.parametrize("wire", WIRES)
def test_the_template_serves_as_it_is(served: ServedAgent, wire: str) -> None:
    assert run_over(wire, served, "answer", message="a tale") == "You said: a tale "
    assert list(stream_over(wire, served, "answer_stream", message="a tale")) == ["You ", "said: ", "a ", "tale "]


@pytest.mark.parametrize("wire", WIRES)
def test_what_the_sdk_returns_arrives_field_by_field(served: ServedAgent, wire: str) -> None:
    completion = run_over(wire, served, "complete", messages=MESSAGES)
    assert completion["choices"][0]["message"]["content"] == "You said: a tale "
    chunks = list(stream_over(wire, served, "complete_stream", messages=MESSAGES))
    assert [chunk["choices"][0]["delta"].get("content") for chunk in chunks] == ["You ", "said: ", "a ", "tale ", None]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert all(CHUNK.items() <= chunk.items() for chunk in chunks)


def test_an_extractor_takes_the_text_out_of_each_chunk(served: ServedAgent) -> None:
    chunks = list(stream_over("sync grpc", served, "delta_stream", messages=MESSAGES))
    assert [chunk["text"] for chunk in chunks] == ["You ", "said: ", "a ", "tale ", None]


def test_the_real_service_is_asked_where_there_is_a_key(framework: Framework, folder: Path, tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "tale"}]
    with openai_api() as api, framework.serving(folder, tmp_path, **api.environment) as agent:
        assert run_over("sync grpc", agent, "answer", message="a tale") == "You said: a tale"
        assert "".join(stream_over("sync http", agent, "answer_stream", message="a tale")) == "You said: a tale"
        assert [asked.key for asked in api.asked] == ["sk-stand-in", "sk-stand-in"]

        # Ordinary JSON reaches the API as it was given.
        run_over("sync grpc", agent, "complete", messages=[{"role": "user", "content": parts}], temperature=0.5)
        assert api.asked[-1].body == {
            "model": "gpt-5-mini",
            "messages": [{"role": "user", "content": parts}],
            "temperature": 0.5,
        }


def test_what_the_service_refuses_is_told_in_its_words(framework: Framework, folder: Path, tmp_path: Path) -> None:
    with openai_api() as api:
        nowhere = {**api.environment, "OPENAI_BASE_URL": f"{api.base_url}/nowhere"}
        with framework.serving(folder, tmp_path, **nowhere) as agent, agent.client("answer") as client:
            with pytest.raises(RunAgentError, match="The stand-in has no") as caught:
                client.run(message="a tale")
            assert caught.value.reason == "EXECUTION_FAILED"


def test_words_arrive_as_they_are_said(served: ServedAgent) -> None:
    flows(served, "answer_stream", str, message="{prompt}")


def test_a_stream_that_is_left_stops_asking(served: ServedAgent) -> None:
    stops_when_left(served, "answer_stream", str, message="{prompt}")


def test_what_fails_in_the_middle_is_told(served: ServedAgent) -> None:
    fails_aloud(served, "answer_stream", message="{prompt}")


def test_a_message_that_is_none_is_refused_before_anything_is_asked(served: ServedAgent) -> None:
    with served.client("complete") as client, pytest.raises(RunAgentError, match=r"`messages\[0\]\.role`") as caught:
        client.run(messages=[{"role": "bystander", "content": "a tale"}])
    assert caught.value.code == "VALIDATION_ERROR"
