"""An object of the author's own: its methods, what they keep for each user, and the dataclasses that they give."""

from __future__ import annotations

from typing import Any

import pytest

from tests.frameworks.environment import ServedAgent
from tests.frameworks.wires import WIRES, run_over, stream_over

FRAMEWORK = "custom"


@pytest.mark.parametrize("wire", WIRES)
def test_the_template_serves_as_it_is(served: ServedAgent, wire: str) -> None:
    text = f"{wire} carries notes"
    note = run_over(wire, served, "add", text=text)
    assert (set(note), note["text"]) == ({"number", "text", "written"}, text)
    assert list(stream_over(wire, served, "find_stream", question=text, at_least=1)) == [{"note": note, "score": 1.0}]


def test_the_line_that_serve_shows_finds_something(served: ServedAgent) -> None:
    found = served.cli(
        "run-stream", "--id", served.agent_id, "--local", "--tag", "find_stream", "--question=Hello", "--user-id=new"
    )
    assert (found.code, b"This notebook is yours." in found.out) == (0, True)


def test_every_wire_gives_the_same_matches(served: ServedAgent) -> None:
    with served.client("add") as client:
        client.run("blue whales sing")
        client.run("a blue sky")
    first, *others = [list(stream_over(wire, served, "find_stream", "blue whales")) for wire in WIRES]
    assert [(match["note"]["text"], match["score"]) for match in first] == [
        ("a blue sky", 0.5),
        ("blue whales sing", 1),
    ]
    assert others == [first] * len(others)


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_each_user_has_notes_of_their_own(served: ServedAgent, transport: str) -> None:
    ada, bob = f"ada-{transport}", f"bob-{transport}"
    assert add(served, transport, ada, "red")["number"] == 1
    assert add(served, transport, ada, "red again")["number"] == 2
    assert add(served, transport, bob, "red, but another's")["number"] == 1
    with served.client("find_stream", transport=transport, user_id=ada) as client:
        assert [match["note"]["text"] for match in client.run("red")] == ["red again", "red"]


def add(served: ServedAgent, transport: str, user: str, text: str) -> Any:
    with served.client("add", transport=transport, user_id=user) as client:
        return client.run(text)


def test_what_is_logged_on_the_way_is_kept_with_the_invocation(served: ServedAgent) -> None:
    add(served, "grpc", "logger", "green")
    with served.client("find_stream", user_id="logger") as client:
        assert len(list(client.run("green"))) == 1
    assert "Read 2 of 2 notes." in served.process.err
    assert "Read 2 of 2 notes." in served.cli("db", "logs").out.decode()


def test_the_command_line_says_for_whom_it_calls(served: ServedAgent) -> None:
    options = ("--id", served.agent_id, "--local", "--user-id", "Grace")
    added = served.cli("run", *options, "--tag", "add", "--text=yellow boots")
    assert (added.code, b"yellow boots" in added.out) == (0, True)
    found = served.cli("run-stream", *options, "--tag", "find_stream", "--question=boots")
    assert (found.code, b"yellow boots" in found.out) == (0, True)
