"""The description at /openapi.json: it says what is served, and what is served is as it says."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from pydantic import BaseModel
from schemathesis.checks import CHECKS

from runagent_grpc.bridge import BridgeSettings
from runagent_grpc.bridge.rest import RestEndpoints
from runagent_grpc.bridge.routes import HttpRoute, routes_of
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import AGENT, ask, run


class Leaf(BaseModel):
    name: str


class Tree(BaseModel):
    leaf: Leaf
    branches: list[Tree] = []


def greet(name: str, times: int = 1, loud: bool = False) -> str:
    """Greets."""
    return name * min(max(times, 0), 10)


def prune(tree: Tree, weights: dict[str, float] | None = None) -> Any:
    return weights


def fail(text: str = "") -> None:
    raise ValueError(text)


def count_stream(numbers: int) -> Iterator[int]:
    yield from range(numbers)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "greet": greet,
    "prune": prune,
    "fail": fail,
    "a tag/with others": greet,
    "count_stream": count_stream,
}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(FUNCTIONS) as running:
        yield running


def description_of(server: RunningServer, **options: Any) -> Any:
    return ask(server, "GET", "/openapi.json", **options).json()


def test_every_reference_leads_somewhere(server: RunningServer) -> None:
    description = description_of(server)

    def references(part: Any) -> Iterator[str]:
        if isinstance(part, list):
            for item in part:
                yield from references(item)
        elif isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield part["$ref"]
            for item in part.values():
                yield from references(item)

    found = set(references(description))
    assert "#/components/schemas/input.prune/$defs/Tree" in found
    for reference in found:
        place = description
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]


def test_each_entrypoint_has_its_input(server: RunningServer) -> None:
    schemas = description_of(server)["components"]["schemas"]
    tags = [
        [variant["properties"]["entrypoint_tag"]["const"] for variant in schemas[name]["oneOf"]]
        for name in ("RunRequest", "RunStreamRequest")
    ]
    assert tags == [["greet", "prune", "fail", "a tag/with others"], ["count_stream"]]
    assert schemas["input.greet"]["required"] == ["name"]
    assert schemas["input.greet"]["properties"]["times"] == {"type": "integer", "default": 1}
    assert "input.a-20-tag-2f-with-20-others" in schemas


def test_every_route_is_described(server: RunningServer) -> None:
    rest = RestEndpoints(server.engine, settings=BridgeSettings(), history=None, grpc_port=None)
    routes = {
        (route.path.replace(":path", ""), route.method if isinstance(route, HttpRoute) else "WS")
        for route in routes_of(server.engine, rest, settings=BridgeSettings(), asks_for_key=False)
    }
    described = {
        (path, "WS" if "x-websocket" in operation else method.upper())
        for path, operations in description_of(server)["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }
    # The legacy WebSocket goes by the path of the legacy POST, and a plain GET of a stream says what is meant.
    assert routes - described == {(f"{AGENT.replace('test-agent', '{agent_id}')}/execute/{{tag}}", "WS")} | {
        (f"{AGENT.replace('test-agent', '{agent_id}')}/run-stream", "GET")
    }
    assert described - routes == set()


def test_a_server_with_keys_says_how_they_come() -> None:
    with serving(FUNCTIONS, api_keys=("a-long-enough-key",)) as server:
        description = description_of(server, params={"token": "a-long-enough-key"})
    assert description["security"] == [{"bearer": []}, {"token": []}]
    assert description["paths"]["/health"]["get"]["security"] == []


CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
)


def test_whatever_is_sent_is_answered_as_described(server: RunningServer) -> None:
    schema = schemathesis.openapi.from_dict(description_of(server))
    schema.config.base_url = server.http_url
    checks = CHECKS.get_by_names(CHECKED)
    count = int(os.environ.get("FUZZ_EXAMPLES", "8"))
    bounded = settings(
        max_examples=count,
        deadline=None,
        database=None,
        # The same every time where it guards a change, and new every time where it looks for trouble.
        derandomize=count < 10,
        suppress_health_check=list(HealthCheck),
    )
    answered: Counter[str] = Counter()

    def attack(case: Any) -> None:
        answer = case.call_and_validate(checks=checks, timeout=20)
        answered[case.operation.label] += answer.status_code < 500

    result: Any
    for result in schema.get_all_operations():
        bounded(given(case=result.ok().as_strategy())(attack))()
    assert set(answered) == {
        f"{method.upper()} {path}"
        for path, operations in description_of(server)["paths"].items()
        for method in operations
        if method != "parameters"
    }
    assert run(server, "greet", input_args=["a"]).json()["success"]
