from __future__ import annotations

import logging
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc.client.deadline import Deadline
from runagent_grpc.client.retry import PeerStatus, Retry
from runagent_grpc.errors import Reason, RunAgentError, UnavailableError, error_of


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lost(retry_after: float | None = None) -> RunAgentError:
    return UnavailableError("The connection was lost.", retry_after=retry_after)


def retry_of(
    seconds: float = 30.0, *, timeout: float | None = None, clock: Clock | None = None, chance: float = 1.0
) -> Retry:
    clock = clock or Clock()
    return Retry(seconds, Deadline(timeout, clock=clock), clock=clock, chance=lambda: chance)


def test_pauses_double_up_to_two_seconds() -> None:
    retry = retry_of(math.inf)
    pauses = [retry.pause_after(lost(), PeerStatus.ANSWER) for _ in range(9)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


def test_pauses_are_spread_between_a_half_and_the_whole() -> None:
    assert retry_of(chance=0.0).pause_after(lost(), PeerStatus.ANSWER) == 0.025
    assert retry_of(chance=0.5).pause_after(lost(), PeerStatus.ANSWER) == pytest.approx(0.0375)


def test_a_server_that_says_when_to_come_back_is_heard() -> None:
    assert retry_of().pause_after(lost(retry_after=7.0), PeerStatus.ANSWER) == 7.0
    assert retry_of().pause_after(lost(retry_after=0.001), PeerStatus.ANSWER) == 0.05


def test_progress_starts_pauses_and_patience_anew() -> None:
    clock = Clock()
    retry = retry_of(30.0, clock=clock)
    for _ in range(5):
        retry.pause_after(lost(), PeerStatus.ANSWER)
    clock.now += 29.0
    retry.progressed()
    assert retry.pause_after(lost(), PeerStatus.ANSWER) == 0.05
    clock.now += 29.0
    assert retry.pause_after(lost(), PeerStatus.ANSWER) == 0.1


@pytest.mark.parametrize("reason", Reason)
def test_only_the_want_of_a_server_is_tried_again(reason: Reason) -> None:
    error = error_of(reason, "It failed.")
    if reason in ("CONNECTION_ERROR", "STREAM_INTERRUPTED", "SHUTTING_DOWN"):
        assert retry_of().pause_after(error, PeerStatus.ANSWER) == 0.05
        return
    with pytest.raises(RunAgentError) as caught:
        retry_of().pause_after(error, PeerStatus.ANSWER)
    assert caught.value is error
    assert error.message == "It failed."


def test_patience_ends_with_an_error_like_the_last_one_that_says_how_long_it_was_tried() -> None:
    clock = Clock()
    retry = retry_of(30.0, clock=clock)
    retry.pause_after(lost(), PeerStatus.ANSWER)
    clock.now += 28.0
    retry.pause_after(lost(), PeerStatus.ANSWER)
    clock.now += 1.95
    last = lost(retry_after=0.25).replace(invocation_id="i-1")
    with pytest.raises(UnavailableError) as caught:
        retry.pause_after(last, PeerStatus.ANSWER)

    error = caught.value
    assert str(error) == error.message == "The connection was lost. It was tried 3 times in 29.9 s."
    assert (error.reason, error.retry_after, error.invocation_id) == (last.reason, 0.25, "i-1")
    assert str(last) == last.message == "The connection was lost."


@pytest.mark.parametrize(("seconds", "contact"), [(0.0, PeerStatus.ANSWER), (30.0, PeerStatus.NONE)])
def test_where_nothing_is_tried_again_the_error_stays_as_it_is(seconds: float, contact: PeerStatus) -> None:
    error = lost()
    with pytest.raises(UnavailableError) as caught:
        retry_of(seconds).pause_after(error, contact)
    assert caught.value is error
    assert error.message == "The connection was lost."


def test_somebody_who_never_answered_is_tried_for_a_few_seconds() -> None:
    clock = Clock()
    retry = retry_of(30.0, clock=clock)
    retry.pause_after(lost(), PeerStatus.CONNECTION)
    clock.now += 5.0
    with pytest.raises(UnavailableError, match="It was tried 2 times"):
        retry.pause_after(lost(), PeerStatus.CONNECTION)


def test_a_pause_does_not_reach_beyond_the_deadline() -> None:
    clock = Clock()
    retry = retry_of(30.0, timeout=1.0, clock=clock)
    assert retry.pause_after(lost(), PeerStatus.ANSWER) == 0.05
    clock.now += 0.9
    with pytest.raises(UnavailableError, match=r"tried 2 times in 0\.9 s"):
        retry.pause_after(lost(), PeerStatus.ANSWER)


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), max_size=60), st.floats(0, 30), st.floats(0.1, 60))
def test_however_it_fails_patience_and_deadline_are_kept(
    tries: list[tuple[float, bool]], seconds: float, timeout: float
) -> None:
    clock = Clock()
    retry = retry_of(seconds, timeout=timeout, clock=clock)
    begun = since = clock.now
    for took, progresses in tries:
        clock.now += took
        if progresses:
            retry.progressed()
            since = clock.now
        try:
            pause = retry.pause_after(lost(), PeerStatus.ANSWER)
        except UnavailableError:
            break
        clock.now += pause
        assert clock.now - begun <= timeout + 1e-6
        # A failure that comes long after the last sign of life has not been tried for as long.
        assert clock.now - since <= seconds + sum(took for took, _ in tries) + 1e-6


def test_a_deadline_counts_down_for_all_tries_together() -> None:
    clock = Clock()
    deadline = Deadline(30, clock=clock)
    assert (deadline.remaining(), deadline.remaining(5.0), deadline.passed) == (30.0, 5.0, False)
    clock.now += 12.5
    assert (deadline.remaining(), deadline.run_timeout()) == (17.5, 18)
    clock.now += 20.0
    assert (deadline.remaining(), deadline.passed) == (0.0, True)
    assert str(deadline.error()) == "The call timed out after 30 s."
    deadline.begin()
    assert deadline.remaining() == 30.0


def test_no_timeout_is_no_deadline() -> None:
    deadline = Deadline(None)
    assert (deadline.remaining(), deadline.remaining(5.0), deadline.run_timeout()) == (None, 5.0, None)
    assert not deadline.passed


@pytest.mark.parametrize(("timeout", "told"), [(0.5, 0.5), (2.5, 2.5), (2.0, 2)])
def test_a_server_is_told_a_timeout_as_it_was_given(timeout: float, told: Any) -> None:
    came = Deadline(timeout, clock=Clock()).run_timeout()
    assert (came, type(came)) == (told, type(told))


def test_an_outage_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="runagent_grpc.client")
    retry = retry_of(30.0)
    retry.pause_after(lost(), PeerStatus.ANSWER)
    # A connection that was cut is made again at once: nothing to tell of.
    retry.progressed()
    assert caplog.messages == []
    for _ in range(4):
        retry.pause_after(lost(), PeerStatus.ANSWER)
    retry.progressed()
    retry.progressed()
    assert caplog.messages == ["The connection was lost. Trying again for up to 30 s.", "The server answers again."]
