from __future__ import annotations

from datetime import UTC, datetime

import pytest

from runagent_grpc.core.invocation import InvocationRecord, InvocationState

ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT", "LOST"}
FROM_QUEUED = {"RUNNING", "FAILED", "CANCELLED", "TIMED_OUT", "LOST"}
ALLOWED = {("QUEUED", state) for state in FROM_QUEUED} | {("RUNNING", state) for state in ENDED}


def test_an_invocation_begins_in_the_queue() -> None:
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    invocation = InvocationRecord(invocation_id="i", agent_id="a", entrypoint_tag="t", owner="", start_time=moment)

    assert invocation.state is InvocationState.QUEUED
    assert (invocation.end_time, invocation.cause, invocation.chunk_count, invocation.error) == (None, "", 0, None)


@pytest.mark.parametrize("before", InvocationState, ids=lambda state: state.name)
def test_only_the_documented_transitions_are_possible(before: InvocationState) -> None:
    for after in InvocationState:
        if (before.name, after.name) in ALLOWED:
            assert before.moved_to(after) is after
        else:
            with pytest.raises(RuntimeError, match=f"^An invocation cannot go from {before.name} to {after.name}.$"):
                before.moved_to(after)


@pytest.mark.parametrize("state", InvocationState, ids=lambda state: state.name)
def test_an_outcome_is_final(state: InvocationState) -> None:
    assert state.ended == (state.name in ENDED)
