from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conformance.catalogue import Runner
from tests.conformance.kit import Kit


@pytest.fixture(scope="module")
def kit_of() -> Iterator[Callable[[Runner], Kit]]:
    """Returns the kit of a runner, the same for all cases of a module."""
    kits: dict[str, Kit] = {}
    # Failures are asked for here by the dozen; what the servers have to say of them helps nobody.
    logger = logging.getLogger("runagent_grpc")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        stack.callback(logger.setLevel, level)

        def kit_of(runner: Runner) -> Kit:
            if runner.name not in kits:
                kits[runner.name] = stack.enter_context(Kit(runner))
            return kits[runner.name]

        yield kit_of
