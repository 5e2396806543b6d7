"""A server that is restarted under load, and callers that notice nothing of it.

`RESTARTS=20` restarts it as often; `make soak` does.
"""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.client import RunAgentClient
from runagent_grpc.errors import AbortedError, Reason, UnavailableError
from tests.reliability.load import go_on, loaded
from tests.reliability.sites import AGENT_ID, Site, serving

RESTARTS = int(os.environ.get("RESTARTS", "1"))


@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_a_restart_under_load_loses_and_repeats_nothing(tmp_path: Path, wire: str) -> None:
    with serving(tmp_path, "--drain-grace", "5") as site, loaded(site, wire) as load:
        for _ in range(RESTARTS):
            site.restart()
            go_on(load)


def streaming(site: Site, name: str, n: int, **options: Any) -> tuple[RunAgentClient, Any]:
    """A client, and its stream of ticks, 5 ms apart."""
    client = RunAgentClient(AGENT_ID, "tick_stream", base_url=f"grpc://127.0.0.1:{site.grpc_port}", **options)
    return client, client.run_stream(name=name, n=n, seconds=0.005)


def test_a_stream_that_outlives_the_grace_ends_as_lost(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-grace", "0.2") as site:
        client, stream = streaming(site, "long", n=100_000)
        with client:
            chunks = [next(stream)]
            site.tell(signal.SIGTERM)
            with pytest.raises(AbortedError) as lost:
                chunks.extend(stream)
            assert lost.value.reason is Reason.INVOCATION_LOST
            assert chunks == list(range(1, len(chunks) + 1))
            assert site.server.wait() == 0
            # And so it stays, for whoever asks the next server.
            site.start()
            with pytest.raises(AbortedError) as still:
                list(client.resume(stream.invocation_id))
            assert still.value.reason is Reason.INVOCATION_LOST
    assert site.runs == {"long": 1}


@pytest.mark.slow
def test_callers_outlast_a_restart_with_the_defaults_under_a_stream_longer_than_the_grace(tmp_path: Path) -> None:
    with serving(tmp_path) as site, ThreadPoolExecutor() as callers:
        client, stream = streaming(site, "long", n=100_000)
        with client:
            next(stream)
            site.tell(signal.SIGTERM)
            site.server.wait_for("Stopping")
            told = time.monotonic()
            urls = [f"grpc://127.0.0.1:{site.grpc_port}", f"http://127.0.0.1:{site.http_port}"]
            waiting = [callers.submit(worked, url) for url in urls]
            with pytest.raises(AbortedError) as lost:
                list(stream)
            assert lost.value.reason is Reason.INVOCATION_LOST
            assert site.server.wait() == 0
            # Kubernetes kills after 30.
            assert time.monotonic() - told < 25
            site.start()
            assert [future.result() for future in waiting] == urls
    assert site.runs == {"long": 1, **dict.fromkeys(urls, 1)}


def worked(url: str) -> Any:
    with RunAgentClient(AGENT_ID, "work", base_url=url) as client:
        return client.run(name=url)


def test_a_second_signal_ends_the_server_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-grace", "60") as site:
        client, stream = streaming(site, "long", n=100_000, retry_seconds=0)
        with client:
            next(stream)
            site.tell(signal.SIGTERM)
            site.server.wait_for("Stopping")
            site.tell(signal.SIGTERM)
            assert site.server.process.wait(5) == 128 + signal.SIGTERM
            with pytest.raises(UnavailableError):
                list(stream)
