"""The JavaScript SDK means what the vectors say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.cases import Case
from tests.conformance.catalogue import RUNNERS, Runner
from tests.conformance.kit import Kit, cases_for, verdict
from tests.conformance.toolchains import prepare

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

OVER_EACH_WIRE = [RUNNERS["js"], RUNNERS["js-http"]]


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    prepare(RUNNERS["js"])


@pytest.mark.parametrize(
    ("runner", "case"),
    [
        pytest.param(runner, case, id=f"{runner.name}-{case.case_id}")
        for runner in OVER_EACH_WIRE
        for case in cases_for(runner)
    ],
)
def test_the_sdk_agrees_with_the_vectors(kit_of: Callable[[Runner], Kit], runner: Runner, case: Case) -> None:
    assert verdict(kit_of(runner).run(case), runner.known_failing) == ()
