from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def silent_asyncio(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails a test that leaves a task pending, an exception unread or a callback broken: asyncio says so in its log."""
    # Everything older is none of this test's, and would make the search slow.
    gc.freeze()
    yield
    # asyncio says so when the task is collected.
    gc.collect()
    gc.unfreeze()
    said = [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"]
    assert said == []
