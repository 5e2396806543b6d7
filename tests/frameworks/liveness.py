"""What is true of every framework's streams, asked of one: they flow, they stop, and they fail aloud."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from runagent_grpc.client import RunAgentError
from tests.frameworks.environment import ServedAgent
from tests.frameworks.gate import Gate

__all__ = ["fails_aloud", "flows", "stops_when_left"]

TextOf = Callable[[Any], str | None]
"""Gives what the model has said in a chunk; None or nothing where the chunk is about something else."""


def flows(agent: ServedAgent, tag: str, text_of: TextOf, **arguments: str) -> None:
    """Asserts that a word arrives before the model has said the next one.

    In each of the arguments, `{prompt}` stands for what the model is to be asked.
    """
    with Gate() as gate, agent.client(tag) as client, client.run_stream(**_asking(gate, arguments)) as chunks:
        texts = filter(None, map(text_of, chunks))
        for word in ("one ", "two "):
            gate.say(word)
            assert next(texts) == word
        gate.end()
        for _ in chunks:
            pass
        gate.wait_until_left()


def stops_when_left(agent: ServedAgent, tag: str, text_of: TextOf, **arguments: str) -> None:
    """Asserts that the model is asked for no more words than one after its caller has left."""
    with Gate() as gate:
        with agent.client(tag) as client, client.run_stream(**_asking(gate, arguments)) as chunks:
            gate.say("one ")
            assert next(filter(None, map(text_of, chunks))) == "one "
        # Code that blocks is stopped at its next word; what is asynchronous has left without one.
        with contextlib.suppress(ConnectionError):
            gate.say("two ")
        gate.wait_until_left()


def fails_aloud(agent: ServedAgent, tag: str, **arguments: str) -> None:
    """Asserts that what the model raises in the middle of a stream reaches the caller by its text."""
    with Gate() as gate, agent.client(tag) as client, client.run_stream(**_asking(gate, arguments)) as chunks:
        gate.say("one ")
        gate.fail("The model is out of words.")
        with pytest.raises(RunAgentError, match=r"The model is out of words\.") as caught:
            list(chunks)
        assert caught.value.reason == "EXECUTION_FAILED"


def _asking(gate: Gate, arguments: dict[str, str]) -> dict[str, str]:
    return {name: value.replace("{prompt}", gate.prompt) for name, value in arguments.items()}
