"""History over HTTP, from a real store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.store import HistoryStore
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import AGENT, ask, bearer, conversation, masked, run
from tests.waiting import eventually

KEY, OTHER_KEY = "one-long-enough", "other-long-enough"

HISTORY_OF_AN_AGENT = f"{AGENT}/invocations"


def echo(value: Any = None) -> Any:
    return value


def fail() -> None:
    raise ValueError("It broke ü.")


def echo_stream(*values: Any) -> Iterator[Any]:
    yield from values


FUNCTIONS: dict[str, Callable[..., Any]] = {"echo": echo, "fail": fail, "echo_stream": echo_stream}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HistoryStore]:
    with HistoryStore(tmp_path / "history.db", agent_id="test-agent") as store:
        yield store


def recorded(server: RunningServer, count: int, **options: Any) -> list[dict[str, Any]]:
    """The invocations, once there are so many and all have ended."""

    def there() -> bool:
        found = ask(server, "GET", HISTORY_OF_AN_AGENT, **options).json()["invocations"]
        return len(found) == count and all(entry["status"] != "pending" for entry in found)

    eventually(there)
    return list(ask(server, "GET", HISTORY_OF_AN_AGENT, **options).json()["invocations"])


def test_an_invocation_is_told_with_its_input_and_output(store: HistoryStore) -> None:
    with serving(FUNCTIONS, recorder=store, history=store.served_history) as server:
        invocation_id = run(server, "echo", input_kwargs={"value": "é"}, user_id="ada").headers["x-invocation-id"]
        recorded(server, 1)
        answer = ask(server, "GET", f"/api/v1/invocations/{invocation_id}")
    assert answer.status_code == 200
    body = answer.json()
    assert isinstance(body.pop("execution_time_ms"), float)
    assert body.pop("request_timestamp") <= body.pop("response_timestamp")
    assert body == {
        "invocation_id": invocation_id,
        "agent_id": "test-agent",
        "entrypoint_tag": "echo",
        "status": "completed",
        "state": "COMPLETED",
        "error_detail": None,
        "chunk_count": 0,
        "sdk_type": "http",
        "client_info": {"user_id": "ada", "request_id": ""},
        "input_data": {"args": [], "kwargs": {"value": "é"}},
        "output_data": "é",
    }
    assert answer.text.isascii()


def test_invocations_are_listed_newest_first_and_by_status(store: HistoryStore) -> None:
    with serving(FUNCTIONS, recorder=store, history=store.served_history) as server:
        run(server, "echo")
        run(server, "fail")
        conversation(server, {"entrypoint_tag": "echo_stream", "input_args": [1, 2]})
        entries = recorded(server, 3)
        failures = ask(server, "GET", HISTORY_OF_AN_AGENT, params={"status": "failed"}).json()
        newest = ask(server, "GET", HISTORY_OF_AN_AGENT, params={"limit": 1}).json()
    assert [entry["entrypoint_tag"] for entry in entries] == ["echo_stream", "fail", "echo"]
    assert [entry["sdk_type"] for entry in entries] == ["websocket", "http", "http"]
    assert entries[0]["chunk_count"] == 2
    (failure,) = failures["invocations"]
    assert (failure["state"], failure["error_detail"], failure["output_data"]) == ("FAILED", "It broke ü.", None)
    assert (newest["agent_id"], newest["total_count"]) == ("test-agent", 3)
    assert failures["total_count"] == 1
    assert newest["invocations"] == entries[:1]


def test_statistics_count_what_was_recorded(store: HistoryStore) -> None:
    with serving(FUNCTIONS, recorder=store, history=store.served_history) as server:
        run(server, "echo")
        run(server, "fail")
        recorded(server, 2)
        body = ask(server, "GET", f"{HISTORY_OF_AN_AGENT}/stats").json()
    assert isinstance(body["stats"].pop("avg_execution_time_ms"), float)
    assert body == {
        "agent_id": "test-agent",
        "stats": {
            "total_invocations": 2,
            "completed_invocations": 1,
            "failed_invocations": 1,
            "pending_invocations": 0,
            "success_rate": 50.0,
            "agent_id": "test-agent",
        },
    }


def test_each_key_sees_what_it_started_and_no_more(store: HistoryStore) -> None:
    with serving(FUNCTIONS, recorder=store, history=store.served_history, api_keys=(KEY, OTHER_KEY)) as server:
        body = {"entrypoint_tag": "echo"}
        answer = ask(server, "POST", f"{AGENT}/run", json=body, headers=bearer(KEY))
        path = f"/api/v1/invocations/{answer.headers['x-invocation-id']}"
        recorded(server, 1, headers=bearer(KEY))
        assert recorded(server, 0, headers=bearer(OTHER_KEY)) == []
        stats = ask(server, "GET", f"{HISTORY_OF_AN_AGENT}/stats", headers=bearer(OTHER_KEY)).json()["stats"]
        assert stats["total_invocations"] == 0
        assert ask(server, "GET", path, headers=bearer(KEY)).status_code == 200
        hidden = ask(server, "GET", path, headers=bearer(OTHER_KEY))
        unknown = ask(server, "GET", "/api/v1/invocations/never-was", headers=bearer(OTHER_KEY))
    assert (hidden.status_code, hidden.json()["detail"]) == (404, "Invocation not found")
    assert masked(hidden.text) == masked(unknown.text)


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"status": "lost"}, "status"),
    ],
)
def test_a_parameter_that_does_not_fit_is_named(store: HistoryStore, parameters: dict[str, str], field: str) -> None:
    with serving(FUNCTIONS, recorder=store, history=store.served_history) as server:
        answer = ask(server, "GET", HISTORY_OF_AN_AGENT, params=parameters)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)


@pytest.mark.parametrize("path", [HISTORY_OF_AN_AGENT, f"{HISTORY_OF_AN_AGENT}/stats", "/api/v1/invocations/x"])
def test_a_server_without_history_says_so(path: str) -> None:
    with serving(FUNCTIONS) as server:
        answer = ask(server, "GET", path)
    assert (answer.status_code, answer.json()["detail"]) == (404, "This server keeps no history.")
    assert json.loads(answer.text)["error"]["code"] == "NOT_FOUND"
