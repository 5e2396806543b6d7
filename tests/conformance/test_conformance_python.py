"""The Python clients, and the wires without a client, mean what the vectors say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.cases import Case
from tests.conformance.catalogue import RUNNERS, Runner
from tests.conformance.kit import Kit, cases_for, verdict

OURS = [runner for name, runner in RUNNERS.items() if name.startswith(("python", "raw"))]


@pytest.mark.parametrize(
    ("runner", "case"),
    [pytest.param(runner, case, id=f"{runner.name}-{case.case_id}") for runner in OURS for case in cases_for(runner)],
)
def test_a_runner_of_ours_agrees_with_the_vectors(kit_of: Callable[[Runner], Kit], runner: Runner, case: Case) -> None:
    assert verdict(kit_of(runner).run(case), runner.known_failing) == ()
