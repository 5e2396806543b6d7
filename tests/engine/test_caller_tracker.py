from __future__ import annotations

import pytest

from runagent_grpc.core.call import OnDisconnect
from runagent_grpc.engine.caller_tracker import CallerTracker
from tests.engine.fake_clock import on_clockwork, passes


class Absence:
    """What is told when nobody waits any more."""

    def __init__(self, policy: OnDisconnect, window: float | None = None) -> None:
        self.causes: list[str] = []
        self.over = False
        self.callers = CallerTracker(policy, window=window, is_over=lambda: self.over, on_abandoned=self.causes.append)


@pytest.mark.parametrize("for_good", [False, True])
@on_clockwork
async def test_work_that_is_cancelled_without_its_caller_is_abandoned_by_the_last_one_at_once(for_good: bool) -> None:
    absence = Absence(OnDisconnect.CANCEL, 10.0)
    callers = absence.callers
    callers.join()
    callers.join()
    callers.leave("One.", for_good=True)
    assert (callers.present, absence.causes) == (1, [])
    callers.leave("Two.", for_good=for_good)
    assert (callers.present, absence.causes) == (0, ["Two."])


@on_clockwork
async def test_work_that_lingers_is_abandoned_when_nobody_comes_back_in_time() -> None:
    absence = Absence(OnDisconnect.LINGER, 2.5)
    callers = absence.callers
    callers.join()
    callers.leave("The connection was cut.", for_good=False)
    await passes(2.4)
    callers.join()
    await passes(100)
    assert absence.causes == []
    callers.leave("It was cut again", for_good=False)
    await passes(2.4)
    assert absence.causes == []
    await passes(0.2)
    assert absence.causes == ["It was cut again; nobody came back within 2.5 s."]


@on_clockwork
async def test_whoever_takes_over_before_the_earlier_one_leaves_is_still_counted() -> None:
    absence = Absence(OnDisconnect.LINGER)
    callers = absence.callers
    callers.join()
    for _ in range(3):
        callers.join()
        callers.leave("Replaced.", for_good=True)
    await passes(3600)
    assert (callers.present, absence.causes) == (1, [])
    callers.leave("Gone.", for_good=True)
    assert absence.causes == ["Gone."]


@on_clockwork
async def test_work_that_is_detached_is_never_abandoned() -> None:
    absence = Absence(OnDisconnect.DETACH)
    for for_good in (False, True):
        absence.callers.join()
        absence.callers.leave("Gone.", for_good=for_good)
    await passes(3600)
    assert absence.causes == []


@pytest.mark.parametrize("policy", OnDisconnect)
@on_clockwork
async def test_work_that_has_ended_is_abandoned_by_nobody(policy: OnDisconnect) -> None:
    absence = Absence(policy)
    absence.callers.join()
    absence.over = True
    absence.callers.leave("Gone.", for_good=True)
    await passes(3600)
    assert absence.causes == []


@on_clockwork
async def test_work_that_ends_while_it_lingers_waits_for_nobody_any_more() -> None:
    absence = Absence(OnDisconnect.LINGER)
    absence.callers.join()
    absence.callers.leave("Gone.", for_good=False)
    absence.over = True
    absence.callers.end()
    await passes(3600)
    assert absence.causes == []
