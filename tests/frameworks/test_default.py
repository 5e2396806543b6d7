"""What is written where no framework is asked for."""

from __future__ import annotations

import pytest

from tests.frameworks.environment import ServedAgent
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "default"


@pytest.mark.parametrize("wire", WIRES)
def test_the_template_serves_as_it_is(served: ServedAgent, wire: str) -> None:
    assert run_over(wire, served, "greet", name="Ada") == "Hello, Ada!"
    assert list(stream_over(wire, served, "echo_stream", "one two", delay=0)) == ["one ", "two ", "\n"]
    assert list(stream_over(wire, served, "count_stream", to=2, delay=0)) == [
        {"number": 1, "square": 1},
        {"number": 2, "square": 4},
    ]


def test_the_command_line_finds_it(served: ServedAgent) -> None:
    outcome = served.cli("run", "--id", served.agent_id, "--local", "--tag", "greet", "--name=Ada")
    assert outcome.out == b"Hello, Ada!\n"
