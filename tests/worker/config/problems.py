"""What tests say about configurations that are read, and not loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from runagent_grpc.worker import InvalidAgentError, read_config

__all__ = ["only_problem_of", "problems_of"]


def problems_of(folder: Path) -> tuple[str, ...]:
    """Returns everything that is wrong with the configuration in a folder."""
    with pytest.raises(InvalidAgentError) as caught:
        read_config(folder)
    return tuple(map(str, caught.value.problems))


def only_problem_of(folder: Path) -> str:
    (problem,) = problems_of(folder)
    return problem
