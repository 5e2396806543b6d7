"""LlamaIndex: one `workflow.run`, awaited under a plain tag and streamed under the other."""

from __future__ import annotations

import pytest

from tests.frameworks.environment import ServedAgent
from tests.frameworks.wires import WIRES, run_over, stream_over

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
