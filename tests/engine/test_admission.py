from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runagent_grpc.engine.admission import ConcurrencyLimiter, RateLimit
from runagent_grpc.errors import Reason, ResourceExhaustedError


def slots_of(most: int, most_waiting: int = 10) -> ConcurrencyLimiter[str]:
    return ConcurrencyLimiter(most=most, most_waiting=most_waiting)


def test_slots_are_taken_until_there_are_none_and_then_work_waits_in_order() -> None:
    slots = slots_of(2)
    assert [slots.take(work, "t", most=None) for work in "abcd"] == [True, True, False, False]
    assert (slots.running, slots.waiting, slots.holders()) == (2, 2, ["a", "b"])

    assert slots.release("b") == ["c"]
    assert slots.release("a") == ["d"]
    assert (slots.running, slots.waiting, slots.holders()) == (2, 0, ["c", "d"])
    assert slots.release("c") == slots.release("d") == []
    assert (slots.running, slots.waiting) == (0, 0)


def test_work_of_a_full_entrypoint_does_not_hold_up_the_work_behind_it() -> None:
    slots = slots_of(3)
    assert slots.take("a1", "a", most=1)
    assert not slots.take("a2", "a", most=1)
    assert not slots.take("a3", "a", most=1)
    assert slots.take("b1", "b", most=None)
    assert slots.take("b2", "b", most=None)
    assert not slots.take("b3", "b", most=None)

    assert slots.release("b1") == ["b3"]
    assert slots.release("a1") == ["a2"]
    assert slots.release("b2") == []
    assert slots.release("a2") == ["a3"]


def test_work_that_waits_may_go_and_gives_nobody_a_slot() -> None:
    slots = slots_of(1)
    for work in "abc":
        slots.take(work, "t", most=None)
    assert slots.release("b") == []
    assert slots.waiting == 1
    assert slots.release("a") == ["c"]


def test_what_was_released_may_be_released_again() -> None:
    slots = slots_of(1)
    slots.take("a", "t", most=None)
    assert slots.release("a") == slots.release("a") == slots.release("unknown") == []
    assert slots.running == 0


def test_a_place_in_the_queue_is_as_good_as_a_slot_and_beyond_it_there_is_none() -> None:
    slots = slots_of(1, most_waiting=1)
    slots.check("t", most=None)
    slots.take("a", "t", most=None)
    slots.check("t", most=None)
    slots.take("b", "t", most=None)
    with pytest.raises(ResourceExhaustedError) as caught:
        slots.check("t", most=None)
    assert caught.value.message == "The server runs 1 invocations already, and 1 wait."
    assert (caught.value.reason, caught.value.retry_after) == (Reason.OVERLOADED, 1.0)

    slots.release("a")
    slots.check("t", most=None)


def test_a_full_entrypoint_is_refused_where_there_is_no_queue_and_another_is_not() -> None:
    slots = slots_of(5, most_waiting=0)
    slots.take("a", "t", most=1)
    with pytest.raises(ResourceExhaustedError):
        slots.check("t", most=1)
    slots.check("other", most=1)
    slots.check("t", most=2)


WORK = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=60)


@given(WORK, st.integers(1, 5), st.dictionaries(st.sampled_from("abc"), st.integers(1, 3)))
def test_no_slot_is_lost_and_nobody_waits_who_could_run(
    steps: list[tuple[str, int]], most: int, caps: dict[str, int]
) -> None:
    slots: ConcurrencyLimiter[Any] = ConcurrencyLimiter(most=most, most_waiting=100)
    running: dict[int, str] = {}
    waiting: dict[int, str] = {}
    for number, (entrypoint, victim) in enumerate(steps):
        if victim < number and (victim in running or victim in waiting):
            running.pop(victim, None)
            waiting.pop(victim, None)
            for admitted in slots.release(victim):
                running[admitted] = waiting.pop(admitted)
        else:
            admitted = slots.take(number, entrypoint, most=caps.get(entrypoint))
            (running if admitted else waiting)[number] = entrypoint
        in_use = [*running.values()]
        assert (slots.running, slots.waiting) == (len(running), len(waiting))
        assert len(running) <= most
        assert all(in_use.count(each) <= caps.get(each, most) for each in "abc")
        if len(running) < most:
            assert all(in_use.count(each) == caps[each] for each in waiting.values())


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def allowed(limit: RateLimit, caller: str, calls: int) -> int:
    """How many of so many calls at once are let through."""
    count = 0
    for _ in range(calls):
        try:
            limit.take(caller)
        except ResourceExhaustedError:
            continue
        count += 1
    return count


def test_a_caller_may_make_as_many_calls_at_once_as_come_in_a_second_and_then_so_many_a_second() -> None:
    clock = Clock()
    limit = RateLimit(5.0, clock=clock)
    assert allowed(limit, "one", 50) == 5
    clock.now += 0.41
    assert allowed(limit, "one", 50) == 2
    # What was saved up is a second's worth, however long nothing came.
    clock.now += 3600
    assert allowed(limit, "one", 50) == 5
    assert allowed(limit, "two", 50) == 5


@pytest.mark.parametrize("per_second", [0.1, 1.0, 2.5, 1000.0])
def test_a_caller_that_is_too_fast_hears_when_to_come_back(per_second: float) -> None:
    clock = Clock()
    limit = RateLimit(per_second, clock=clock)
    assert allowed(limit, "one", 10_000) == max(1, int(per_second))
    with pytest.raises(ResourceExhaustedError) as caught:
        limit.take("one")
    assert caught.value.reason is Reason.RATE_LIMITED
    assert caught.value.message == f"More than {per_second:g} calls a second came."
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 1 / per_second

    clock.now += caught.value.retry_after * 0.9
    assert allowed(limit, "one", 1) == 0
    clock.now += caught.value.retry_after * 0.11
    assert allowed(limit, "one", 10) == 1


def test_without_a_rate_there_is_no_bound_and_nothing_is_remembered() -> None:
    limit = RateLimit(None, clock=Clock())
    assert allowed(limit, "one", 10_000) == 10_000
    assert limit._buckets == {}
