"""The example that plans a meal: what its README shows is what comes, and the plans are good ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.client import RunAgentError
from runagent_grpc.testing import RunningServer, serving
from tests.cli.commands import EXAMPLES, Cli

FOLDER = EXAMPLES / "langgraph_plan"
EVERYTHING = "bread, pancakes, soup and a salad"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(FOLDER) as server:
        yield server


def plan(server: RunningServer, goal: str, **wish: Any) -> dict[str, Any]:
    with server.client("plan") as client:
        answer: dict[str, Any] = client.run(input={"goal": goal, **wish})
    return answer


def test_the_readme_shows_what_comes(tmp_path: Path) -> None:
    readme = (FOLDER / "README.md").read_text()
    _, command = re.findall(r"^```sh\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^```text\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    cli = Cli(tmp_path)
    with cli.serving(FOLDER):
        outcome = cli.shell(command)
    assert (outcome.code, outcome.err, outcome.out.decode()) == (0, "", shown)


def test_everything_begins_after_what_it_needs_and_hands_do_one_thing_at_a_time(server: RunningServer) -> None:
    steps = plan(server, EVERYTHING)["steps"]
    times = {step["task"]: (step["start"], step["end"]) for step in steps}
    assert len(times) == len(steps) == 15
    assert times["bake the bread"][0] >= max(times["let the dough rise"][1], times["heat the oven"][1])
    by_hand = ["mix the dough", "whisk the batter", "fry the pancakes", "grind coffee", "chop vegetables"]
    for one, other in combinations(by_hand, 2):
        assert times[one][1] <= times[other][0] or times[other][1] <= times[one][0]
    # The dough rises while hands do other things.
    assert max(end for _, end in times.values()) == 110


@pytest.mark.parametrize(
    ("minutes", "summary"),
    [(None, "33 minutes in all."), (33, "33 minutes in all, in time."), (30, ", which is 3 too")],
)
def test_a_plan_says_whether_it_is_in_time(server: RunningServer, minutes: int | None, summary: str) -> None:
    wish = {} if minutes is None else {"minutes": minutes}
    assert summary in plan(server, "Soup", **wish)["summary"]


def test_a_stream_brings_each_step_as_it_is_made(server: RunningServer) -> None:
    with server.client("plan_stream") as client:
        chunks = list(client.run(input={"goal": "salad"}))
    assert [next(iter(chunk)) for chunk in chunks] == ["understand", *["expand"] * 3, *["schedule"] * 3, "review"]
    with server.client("tell_stream") as client:
        lines = list(client.run(input={"goal": "salad"}))
    assert (len(lines), lines[-1]) == (5, "9 minutes in all.\n")


def test_what_nobody_has_a_plan_for_is_said(server: RunningServer) -> None:
    with pytest.raises(RunAgentError, match=r"no plan for 'cake'\. Ask for bread, pancakes, soup, salad"):
        plan(server, "cake")


def test_every_entrypoint_says_what_it_takes(server: RunningServer) -> None:
    for entrypoint in server.agent.entrypoints.values():
        declared = entrypoint.signature.json_schema["properties"]["input"]
        assert (declared["required"], list(declared["properties"])) == (["goal"], ["goal", "minutes"])
