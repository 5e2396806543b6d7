from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from runagent import RunAgentClient
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import ask, conversation

CODE = '''
from dataclasses import dataclass


@dataclass
class Message:
    content: str
    tokens: int


def answer(text: str):
    """Answers."""
    return {"messages": [Message("question", 1), Message(text, 2)]}


def words_stream(text: str):
    for word in text.split():
        yield Message(word, 1)
'''

CONFIG = """
agent_id: extracted
agent_name: Extracted
framework: custom
agent_architecture:
  entrypoints:
    - tag: answer
      description: Repeats the text.
      file: main.py
      module: answer
      extractor: {z_text: "messages[-1].content", a_tokens: "$..tokens", none: $.nothing}
    - tag: words_stream
      file: main.py
      module: words_stream
      extractor: {word: $.content}
    - {tag: whole, file: main.py, module: answer}
"""

ANSWER = {"z_text": "one two", "a_tokens": 1, "none": None}


@pytest.fixture
def server(make_folder: Callable[..., Path]) -> Iterator[RunningServer]:
    folder = make_folder({"main.py": CODE, "runagent.config.yaml": CONFIG})
    (folder / "runagent.config.json").unlink()
    with serving(folder) as server:
        yield server


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_what_is_extracted_is_the_same_on_every_wire(server: RunningServer, transport: Literal["grpc", "http"]) -> None:
    port = server.grpc_port if transport == "grpc" else server.http_port
    with RunAgentClient("extracted", "answer", host=server.host, port=port, transport=transport) as client:
        result = client.run(text="one two")
    assert result == ANSWER
    assert list(result) == list(ANSWER)
    with RunAgentClient("extracted", "words_stream", host=server.host, port=port, transport=transport) as client:
        assert list(client.run(text="one two")) == [{"word": "one"}, {"word": "two"}]


def test_published_wires_carry_what_is_extracted(server: RunningServer) -> None:
    agent = "/api/v1/agents/extracted"
    body = {"entrypoint_tag": "answer", "input_kwargs": {"text": "one two"}}
    answer = ask(server, "POST", f"{agent}/run", json=body).json()
    assert json.loads(answer["data"]) == {"type": "object", "payload": '{"z_text":"one two","a_tokens":1,"none":null}'}

    first = {"entrypoint_tag": "words_stream", "input_kwargs": {"text": "one two"}}
    talk = conversation(server, first, path=f"{agent}/run-stream")
    frames = [json.loads(frame) for frame in talk.frames]
    chunks = [json.loads(frame["content"]) for frame in frames if frame["type"] == "data"]
    assert [chunk["payload"] for chunk in chunks] == ['{"word":"one"}', '{"word":"two"}']


def test_the_architecture_tells_the_paths_as_they_are_written(server: RunningServer) -> None:
    data = ask(server, "GET", "/api/v1/agents/extracted/architecture").json()["data"]
    entrypoints = {entrypoint["tag"]: entrypoint for entrypoint in data["entrypoints"]}
    assert {tag: entrypoint["extractor"] for tag, entrypoint in entrypoints.items()} == {
        "answer": {"z_text": "messages[-1].content", "a_tokens": "$..tokens", "none": "$.nothing"},
        "words_stream": {"word": "$.content"},
        "whole": None,
    }
    assert list(entrypoints["answer"]["extractor"]) == ["z_text", "a_tokens", "none"]
    assert {tag: entrypoint["description"] for tag, entrypoint in entrypoints.items()} == {
        "answer": "Repeats the text.",
        "words_stream": None,
        "whole": "Answers.",
    }
