"""An agent that is edited while it is called.

`EDITS=20` edits it as often; `make soak` does.
"""

from __future__ import annotations

import os
from pathlib import Path

from runagent_grpc.client import RunAgentClient
from tests.reliability.load import go_on, loaded
from tests.reliability.sites import AGENT_ID, Site, serving
from tests.waiting import eventually

EDITS = int(os.environ.get("EDITS", "3"))


def edit(site: Site, text: str, replacement: str) -> None:
    """Edits the agent's code as an editor does: beside it, and then all at once."""
    code = site.agent / "main.py"
    before = code.read_text()
    assert text in before
    beside = site.agent / "main.py.new"
    beside.write_text(before.replace(text, replacement))
    beside.replace(code)


def version_is(client: RunAgentClient, expected: int) -> None:
    """Waits until calls are answered by the code of an edit."""
    eventually(lambda: client.run() == expected, seconds=30)


def client_of(site: Site, tag: str) -> RunAgentClient:
    return RunAgentClient(AGENT_ID, tag, base_url=f"grpc://127.0.0.1:{site.grpc_port}")


def test_edits_under_load_lose_and_repeat_nothing(tmp_path: Path) -> None:
    with (
        serving(tmp_path, "--reload") as site,
        loaded(site, "grpc") as load,
        client_of(site, "version") as client,
    ):
        for number in range(EDITS):
            edit(site, f"VERSION = {number}\n", f"VERSION = {number + 1}\n")
            version_is(client, number + 1)
            go_on(load)


def test_what_runs_when_the_code_changes_ends_as_it_began(tmp_path: Path) -> None:
    with (
        serving(tmp_path, "--reload") as site,
        client_of(site, "count_stream") as count,
        client_of(site, "version") as version,
        count.run_stream(name="old", n=200, seconds=0.01) as stream,
    ):
        chunks = [next(stream)]
        edit(site, "        yield number\n        await", "        yield -number\n        await")
        edit(site, "VERSION = 0", "VERSION = 1")
        version_is(version, 1)
        chunks.extend(stream)
        assert chunks == list(range(1, 201))
        assert list(count.run_stream(name="new", n=3, seconds=0)) == [-1, -2, -3]


def test_code_that_cannot_be_loaded_leaves_what_there_was(tmp_path: Path) -> None:
    with serving(tmp_path, "--reload") as site, client_of(site, "version") as client:
        edit(site, "VERSION = 0", "VERSION = (")
        site.server.wait_for("main.py")
        assert client.run() == 0
        edit(site, "VERSION = (", "VERSION = 1")
        version_is(client, 1)
