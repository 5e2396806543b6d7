"""LlamaIndex: one `workflow.run`, awaited under a plain tag and streamed under the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.calling import error_of_call
from tests.frameworks.environment import Framework, ServedAgent
from tests.frameworks.wires import WIRES, run_over, stream_over
from tests.waiting import eventually

FRAMEWORK = "llamaindex"

NOTE = "Each step of a workflow takes one event and returns the next."


@pytest.mark.parametrize("wire", WIRES)
def test_a_workflow_returns_its_result(served: ServedAgent, wire: str) -> None:
    assert run_over(wire, served, "ask", question="What is an event?") == NOTE


@pytest.mark.parametrize("wire", WIRES)
def test_a_workflow_streams_its_events(served: ServedAgent, wire: str) -> None:
    first, *tokens, last = stream_over(wire, served, "ask_stream", question="What is an event?")
    assert first == {"notes": [NOTE]}
    assert len(tokens) > 3
    assert "".join(token["text"] for token in tokens) == NOTE
    assert last == {"result": NOTE}


ENDLESS = """
import asyncio
from pathlib import Path

from llama_index.core.workflow import Context, Event, StartEvent, StopEvent, Workflow, step


class Begun(Event):
    pass


class Endless(Workflow):
    @step
    async def wait(self, ctx: Context, event: StartEvent) -> StopEvent:
        ctx.write_event_to_stream(Begun())
        Path(event.file).touch()
        try:
            await asyncio.Event().wait()
        finally:
            Path(event.file).unlink()
        return StopEvent()


class Failing(Workflow):
    @step
    async def fail(self, event: StartEvent) -> StopEvent:
        raise LookupError(f"nothing is known of {event.topic}")


endless, failing = Endless(timeout=None), Failing()
"""

TAGS = {"wait": "endless", "wait_stream": "endless", "fail": "failing", "fail_stream": "failing"}


@pytest.fixture(scope="module")
def workflows(framework: Framework, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedAgent]:
    folder = tmp_path_factory.mktemp("workflows")
    (folder / "main.py").write_text(ENDLESS)
    entrypoints = [{"file": "main.py", "module": f"{name}.run", "tag": tag} for tag, name in TAGS.items()]
    config = {
        "agent_id": "workflows",
        "agent_name": "Workflows",
        "framework": "llamaindex",
        "agent_architecture": {"entrypoints": entrypoints},
    }
    (folder / "runagent.config.json").write_text(json.dumps(config))
    with framework.serving(folder, home) as agent:
        yield agent


@pytest.mark.parametrize("tag", ["wait", "wait_stream"])
def test_a_deadline_ends_a_workflow_in_the_middle_of_a_step(workflows: ServedAgent, tag: str, tmp_path: Path) -> None:
    options = {**workflows.address("grpc"), "timeout": 0.5}
    chunks: list[Any] = []
    error = error_of_call("sync", tag, file=str(tmp_path / "running"), chunks=chunks, options=options)
    assert error.code == "TIMEOUT_ERROR"
    assert chunks == ([{}] if tag == "wait_stream" else [])
    eventually(lambda: not (tmp_path / "running").exists())


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_a_caller_that_leaves_ends_a_workflow(workflows: ServedAgent, tmp_path: Path, transport: str) -> None:
    running = tmp_path / "running"
    with (
        workflows.client("wait_stream", transport=transport) as client,
        client.run_stream(file=str(running)) as events,
    ):
        assert next(events) == {}
        eventually(running.exists)
    eventually(lambda: not running.exists())


@pytest.mark.parametrize("tag", ["fail", "fail_stream"])
def test_what_a_step_fails_with_is_the_calls_error(workflows: ServedAgent, tag: str) -> None:
    error = error_of_call("sync", tag, topic="rain", options=workflows.address("grpc"))
    assert "nothing is known of rain" in error.message
