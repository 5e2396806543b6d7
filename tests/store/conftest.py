from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runagent_grpc.store import HistoryStore


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "runagent_local.db"


@pytest.fixture
def store(database: Path) -> Iterator[HistoryStore]:
    with HistoryStore(database, agent_id="agent") as store:
        yield store
