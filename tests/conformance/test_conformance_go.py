"""The Go SDK means what the vectors say."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conformance.cases import Case
from tests.conformance.catalogue import RUNNERS, Runner, known_failing
from tests.conformance.kit import Kit, cases_for, verdict
from tests.conformance.toolchains import prepare

RUNNER = RUNNERS["go"]


@pytest.fixture(scope="module")
def kit(kit_of: Callable[[Runner], Kit]) -> Kit:
    prepare(RUNNER)
    return kit_of(RUNNER)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.case_id) for case in cases_for(RUNNER)])
def test_the_sdk_agrees_with_the_vectors(kit: Kit, case: Case) -> None:
    assert verdict(kit.run(case), known_failing(RUNNER.name)) == ()
