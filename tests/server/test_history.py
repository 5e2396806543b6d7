"""The history of a server as its HTTP face tells it, and a server that can keep none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runagent_grpc.errors import RunAgentError
from runagent_grpc.local.registry import Registry
from runagent_grpc.local.registry_file import registry_path
from runagent_grpc.server.history import open_history
from runagent_grpc.store import HistoryStore, RecordingSettings
from runagent_grpc.testing import serving
from runagent_grpc.worker import Agent


def login(user: str, password: str) -> str:
    if not password:
        raise ValueError(f"no password of {user}")
    return f"Hello, {user}!"


def count_stream(to: int) -> Iterator[int]:
    yield from range(to)


def test_the_http_face_tells_what_has_run(tmp_path: Path) -> None:
    with (
        HistoryStore(tmp_path / "runagent_local.db", agent_id="test-agent") as store,
        serving({"login": login, "count_stream": count_stream}, recorder=store, history=store.served_history) as server,
        httpx.Client(base_url=f"{server.http_url}/api/v1") as http,
    ):
        server.client("login").run(user="ada", password="hunter2")  # noqa: S106 - so that it can be masked
        with pytest.raises(RunAgentError):
            server.client("login", user_id="bob").run("bob", "")
        list(server.client("count_stream").run(to=20))

        told = http.get("/agents/test-agent/invocations").raise_for_status().json()
        streamed, failed, completed = told["invocations"]
        assert told["total_count"] == 3
        assert completed["input_data"] == {"args": [], "kwargs": {"user": "ada", "password": "***"}}
        assert (completed["status"], completed["output_data"]) == ("completed", "Hello, ada!")
        assert (failed["status"], failed["state"], failed["error_detail"]) == ("failed", "FAILED", "no password of bob")
        assert failed["client_info"]["user_id"] == "bob"
        assert (streamed["chunk_count"], streamed["sdk_type"]) == (20, "grpc")
        assert streamed["output_data"] == {"first_chunks": [*range(8)], "last_chunks": [*range(12, 20)]}

        only_failed = http.get("/agents/test-agent/invocations", params={"status": "failed"}).json()
        assert only_failed["invocations"] == [failed]
        one = http.get(f"/invocations/{failed['invocation_id']}").raise_for_status().json()
        assert one == failed
        stats = http.get("/agents/test-agent/invocations/stats").raise_for_status().json()["stats"]
        assert [stats[f"{name}_invocations"] for name in ("total", "completed", "failed", "pending")] == [3, 2, 1, 0]
        assert http.get("/invocations/none").status_code == 404


def test_arguments_without_a_name_are_masked_by_their_parameters() -> None:
    store = open_history(Agent.from_functions({"login": login}).manifest, Registry(), RecordingSettings())
    assert store is not None
    with store, serving({"login": login}, recorder=store) as server:
        server.client("login").run("ada", "hunter2")
        (told,) = store.history.page(payloads=True).invocations
    assert told.input == '{"args":["ada","***"],"kwargs":{}}'


def test_a_server_whose_history_cannot_be_opened_serves_without(caplog: pytest.LogCaptureFixture) -> None:
    registry_path().parent.mkdir(parents=True)
    registry_path().mkdir()
    assert open_history(Agent.from_functions({"login": login}).manifest, Registry(), RecordingSettings()) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_a_server_whose_folder_others_can_change_says_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    registry_path().parent.mkdir(parents=True)
    registry_path().parent.chmod(0o777)
    assert open_history(Agent.from_functions({"login": login}).manifest, Registry(), RecordingSettings()) is None
    (warning,) = caplog.messages
    assert "can be written to by other users" in warning
    assert "chmod go-w" in warning
