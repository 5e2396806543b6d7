"""Clients that are wrong in ways that look right, for the tests of the kit: each must be caught."""

from __future__ import annotations

import sys
from collections.abc import Callable

from runagent_grpc.client import RunAgentClient
from tests.conformance.runners.lines import Call, Outcome, answer_lines
from tests.conformance.runners.python_client import answer_with

__all__ = ["WAYS"]


def _drops_the_terminal_event(outcome: Outcome) -> None:
    """Takes every end of a stream for a good one, as a loop does that never looks for the terminal event."""
    if outcome.get("error", {}).get("reason") == "STREAM_INTERRUPTED":
        del outcome["error"]
        outcome["ended"] = "completed"


def _swallows_an_error(outcome: Outcome) -> None:
    """Gives what it has and says nothing, as a client does that logs its errors."""
    if "error" in outcome:
        del outcome["error"]
        if "chunks" in outcome:
            outcome["ended"] = "completed"
        else:
            outcome["result"] = {"json": "null"}


def _repeats_a_chunk(outcome: Outcome) -> None:
    """Hands out the last chunk before a resume again, as a client does that counts from the wrong end."""
    outcome.get("chunks", []).extend(outcome.get("chunks", [])[-1:])


def _rounds_integers(outcome: Outcome) -> None:
    """Reads integers as doubles."""
    for value in (outcome.get("result", {}), *outcome.get("chunks", [])):
        if value.get("json", "").lstrip("-").isdigit():
            value["json"] = str(int(float(value["json"])))


WAYS: dict[str, Callable[[Outcome], None]] = {
    "drops-the-terminal-event": _drops_the_terminal_event,
    "swallows-an-error": _swallows_an_error,
    "repeats-a-chunk": _repeats_a_chunk,
    "rounds-integers": _rounds_integers,
}


def _answer(call: Call) -> Outcome:
    outcome = answer_with(RunAgentClient, call)
    WAYS[sys.argv[1]](outcome)
    return outcome


if __name__ == "__main__":
    answer_lines(_answer)
