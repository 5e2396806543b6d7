from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.engine.gates import close_connections, server
from tests.engine.process_runner import WorkerProcess
from tests.engine.running import worker_process


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


@pytest.fixture(scope="session", autouse=True)
def gates() -> Iterator[None]:
    """Ends the server of the gates, where a test has started it."""
    yield
    close_connections()
    if server.cache_info().currsize:
        server().close()


@pytest.fixture(scope="session", autouse=True)
def where_calls_run(request: pytest.FixtureRequest, gates: None) -> Iterator[None]:
    """Runs the calls in an interpreter of their own where `--runner=process` says so."""
    if request.config.getoption("--runner") == "in-process":
        yield
        return
    with WorkerProcess() as process:
        token = worker_process.set(process)
        yield
        worker_process.reset(token)


@pytest.fixture(autouse=True)
def needs_live_objects(request: pytest.FixtureRequest) -> None:
    """Skips a test that needs objects of the worker's own process where that is another one."""
    marker = request.node.get_closest_marker("in_process")
    if marker is not None and request.config.getoption("--runner") == "process":
        pytest.skip(f"in process alone: {marker.args[0]}")
