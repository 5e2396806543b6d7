from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from tests.published.packages import Package, PublishedServer

CURRENT = "0.1.49"


@pytest.fixture(scope="session")
def package() -> Callable[[str], Package]:
    """Returns a version of the published package, installed when it is first asked for."""
    return functools.cache(Package)


@pytest.fixture(scope="session")
def published(package: Callable[[str], Package]) -> Package:
    """The published package that new users get."""
    return package(CURRENT)


@pytest.fixture(scope="session")
def published_server(published: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublishedServer]:
    """The published server, which serves the agent `probe`."""
    with published.serving(tmp_path_factory.mktemp("published")) as server:
        yield server
