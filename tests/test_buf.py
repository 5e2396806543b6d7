"""The contract as a stranger's tools see it: `buf` from its own distribution, which the test environment holds."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runagent_grpc.testing import RunningServer, serving

BUF = Path(sys.executable).with_name("buf")
PROTOS = Path(__file__).parent.parent / "protos"


@pytest.fixture
def server() -> Iterator[RunningServer]:
    def shout(message: str) -> str:
        return message.upper()

    def spell_stream(word: str) -> Iterator[str]:
        yield from word

    with serving({"shout": shout, "spell_stream": spell_stream}) as server:
        yield server


def buf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BUF, *arguments], capture_output=True, text=True, timeout=60, check=False)


def curl(server: RunningServer, *arguments: str, method: str = "") -> subprocess.CompletedProcess[str]:
    url = f"http://{server.target}" + (f"/runagent.v1.AgentService/{method}" if method else "")
    return buf("curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments, url)


def test_the_contract_keeps_to_the_standard_rules_and_every_element_is_documented() -> None:
    done = buf("lint", str(PROTOS))

    assert (done.returncode, done.stdout) == (0, "")


def test_the_contract_breaks_no_caller_of_the_released_one() -> None:
    done = buf("breaking", str(PROTOS), "--against", str(PROTOS / "released.binpb"))

    assert (done.returncode, done.stdout) == (0, "")


def test_reflection_lists_every_method(server: RunningServer) -> None:
    done = curl(server, "--list-methods")

    assert done.returncode == 0, done.stderr
    listed = [line for line in done.stdout.split() if line.startswith("runagent.v1.AgentService/")]
    methods = ["CancelInvocation", "GetAgent", "ListAgents", "Run", "RunStream"]
    assert listed == [f"runagent.v1.AgentService/{method}" for method in methods]


def test_the_service_can_be_called_through_reflection(server: RunningServer) -> None:
    call = {"call": {"entrypoint_tag": "shout", "kwargs": {"message": {"text": "hey"}}}}

    done = curl(server, "--data", json.dumps(call), method="Run")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == {"text": "HEY"}


def test_a_stream_can_be_read_through_reflection(server: RunningServer) -> None:
    call = {"call": {"entrypoint_tag": "spell_stream", "kwargs": {"word": {"text": "abc"}}}}

    done = curl(server, "--data", json.dumps(call), method="RunStream")

    assert done.returncode == 0, done.stderr
    decoder, text, events = json.JSONDecoder(), done.stdout.strip(), []
    while text:
        event, end = decoder.raw_decode(text)
        events.append(event)
        text = text[end:].lstrip()
    assert "started" in events[0]
    assert events[-1]["completed"]["chunkCount"] == "3"
    assert [value["text"] for event in events for value in event.get("chunks", {}).get("values", [])] == list("abc")
