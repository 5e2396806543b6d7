"""REST: what a run answers, raw bodies and all."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationRecord
from runagent_grpc.core.recorder import NullRecorder
from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import AGENT, ask, masked, run

JSON = "application/json"


def echo(value: Any = None) -> Any:
    return value


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


def fail(text: str) -> None:
    raise ValueError(text)


def special(name: str) -> Any:
    return {
        "nan": math.nan,
        "inf": math.inf,
        "minus inf": -math.inf,
        "bytes": b"\x00\xff",
        "uuid": UUID(int=0),
        "time": datetime(2024, 2, 29, tzinfo=UTC),
        "keys": {True: 1, None: 2, 3: 4},
        "tuple": (1, 1.0),
    }[name]


def slow() -> None:
    time.sleep(20)


async def slow_async() -> None:
    import asyncio

    await asyncio.sleep(20)


def words_stream() -> Iterator[str]:
    yield "word"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    functions: dict[str, Callable[..., Any]] = {
        "echo": echo,
        "add": add,
        "fail": fail,
        "special": special,
        "slow_async": slow_async,
        "words_stream": words_stream,
    }
    with serving(functions) as running:
        yield running


def failed(code: str, message: str, reason: str, *, suggestion: str = "null", field: str = "null") -> str:
    text = json.dumps(message)
    # Of what an entrypoint raised, the details name the type.
    details = '"ValueError"' if reason == "EXECUTION_FAILED" else "null"
    return (
        f'{{"success":false,"data":null,"message":{text},"error":{{"code":"{code}","message":{text},'
        f'"suggestion":{suggestion},"details":{details},"field":{field},"reason":"{reason}"}},"detail":{text},'
        '"timestamp":"TIME","request_id":"ID"}'
    )


def test_a_run_answers_with_the_documented_body(server: RunningServer) -> None:
    answer = run(server, "add", input_args=[1], input_kwargs={"b": 2})
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
    assert masked(answer.text) == (
        r'{"success":true,"data":"{\"type\":\"integer\",\"payload\":\"3\"}",'
        '"message":"Agent execution completed successfully","error":null,"timestamp":"TIME","request_id":"ID"}'
    )
    assert UUID(answer.headers["x-invocation-id"])


@pytest.mark.parametrize(
    ("value", "kind", "payload"),
    [
        ("text", "string", '"text"'),
        ("", "string", '""'),
        ('quoted "twice" \\', "string", '"quoted \\"twice\\" \\\\"'),
        ("grüß 你 🙂", "string", '"grüß 你 🙂"'),
        (0, "integer", "0"),
        (2**64 + 1, "integer", "18446744073709551617"),
        (-(10**4299), "integer", f"-1{'0' * 4299}"),
        (1.0, "number", "1.0"),
        (1e300, "number", "1e+300"),
        (True, "boolean", "true"),
        (False, "boolean", "false"),
        (None, "null", "null"),
        ([], "array", "[]"),
        ({}, "object", "{}"),
        ({"ключ": ["é", 1, 1.0]}, "object", '{"ключ":["é",1,1.0]}'),
    ],
)
def test_every_kind_of_result_is_structured(server: RunningServer, value: Any, kind: str, payload: str) -> None:
    answer = run(server, "echo", input_kwargs={"value": value})
    assert answer.text.isascii()
    assert json.loads(answer.json()["data"]) == {"type": kind, "payload": payload}


@pytest.mark.parametrize(
    ("name", "kind", "payload"),
    [
        ("nan", "null", "null"),
        ("inf", "string", '"inf"'),
        ("minus inf", "string", '"-inf"'),
        ("bytes", "string", '"AP8="'),
        ("uuid", "string", '"00000000-0000-0000-0000-000000000000"'),
        ("time", "string", '"2024-02-29T00:00:00+00:00"'),
        ("keys", "object", '{"3":4,"true":1,"null":2}'),
        ("tuple", "array", "[1,1.0]"),
    ],
)
def test_values_that_json_has_no_word_for_follow_the_table(
    server: RunningServer, name: str, kind: str, payload: str
) -> None:
    data = json.loads(run(server, "special", input_kwargs={"name": name}).json()["data"])
    assert data["type"] == kind
    assert json.loads(data["payload"]) == json.loads(payload)


@pytest.mark.parametrize("prefix", ["", "/", "//"])
@pytest.mark.parametrize("agent", ["test-agent", "None", "default", "_"])
def test_an_agent_has_aliases_and_doubled_slashes_collapse(server: RunningServer, agent: str, prefix: str) -> None:
    path = f"{prefix}/api{prefix}/v1/agents/{agent}/run"
    assert ask(server, "POST", path, json={"entrypoint_tag": "echo"}).json()["success"]


def test_unknown_fields_are_ignored_and_null_means_the_default(server: RunningServer) -> None:
    nothing = dict.fromkeys(
        ("input_args", "input_kwargs", "timeout_seconds", "user_id", "persistent_memory", "on_disconnect", "resume")
    )
    answer = run(server, "echo", id="x", async_execution=False, something={"else": 1}, **nothing)
    assert json.loads(answer.json()["data"])["type"] == "null"


def test_what_the_entrypoint_raised_is_a_200_that_failed(server: RunningServer) -> None:
    answer = run(server, "fail", input_kwargs={"text": "It \x1b[31mbroke ü."})
    assert answer.status_code == 200
    assert UUID(answer.headers["x-invocation-id"])
    assert masked(answer.text) == failed(
        "INTERNAL_ERROR", "Agent execution failed: It \x1b[31mbroke ü.", "EXECUTION_FAILED"
    )


def test_a_run_that_takes_too_long_is_a_200_that_timed_out(server: RunningServer) -> None:
    answer = run(server, "slow_async", timeout_seconds=0.05)
    assert answer.status_code == 200
    assert masked(answer.text) == failed("TIMEOUT_ERROR", "Entrypoint `slow_async` timed out after 0.05 s.", "TIMEOUT")


def test_an_unknown_tag_is_told_with_the_tags_that_there_are(server: RunningServer) -> None:
    answer = run(server, "nope")
    assert answer.status_code == 404
    tags = '"The agent\'s entrypoints are: echo, add, fail, special, slow_async, words_stream."'
    assert masked(answer.text) == failed(
        "NOT_FOUND", "Entrypoint nope not found", "ENTRYPOINT_NOT_FOUND", suggestion=tags
    )


def test_an_unknown_agent_is_told_before_anything_else(server: RunningServer) -> None:
    answer = ask(server, "POST", "/api/v1/agents/nobody/run", content="{")
    assert answer.status_code == 404
    assert masked(answer.text) == failed("NOT_FOUND", "Agent not found", "AGENT_NOT_FOUND")


def test_a_streaming_tag_is_told_before_its_arguments(server: RunningServer) -> None:
    answer = run(server, "words_stream", input_args="no array")
    assert answer.status_code == 400
    assert masked(answer.text) == failed(
        "VALIDATION_ERROR",
        "Can't use Streaming Entrypoint `words_stream` through non-streaming endpoint.",
        "STREAM_ENTRYPOINT",
    )


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        ("{", 400, "Expecting property name enclosed in double quotes (line 1, column 2)."),
        ("", 400, "Expecting value (line 1, column 1)."),
        (b"\xff", 400, "byte 0 is not UTF-8."),
        ('{"entrypoint_tag":"echo","input_args":[NaN]}', 400, "NaN is not allowed."),
        ("[]", 422, "expected an object, got an array."),
        ("null", 422, "expected an object, got null."),
        ('{"a":1,"a":2}', 422, "the key 'a' stands twice in one object."),
    ],
)
def test_a_body_that_is_no_request_is_told(
    server: RunningServer, content: str | bytes, status: int, message: str
) -> None:
    answer = ask(server, "POST", f"{AGENT}/run", content=content)
    reason = "MALFORMED_REQUEST" if status == 400 else "VALIDATION_ERROR"
    assert answer.status_code == status
    assert masked(answer.text) == failed("VALIDATION_ERROR", f"Invalid JSON format: {message}", reason)


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"entrypoint_tag": None}, "entrypoint_tag", "Missing required field: entrypoint_tag"),
        ({"entrypoint_tag": 1}, "entrypoint_tag", "`entrypoint_tag`: expected a string, got a number."),
        ({"input_args": "abc"}, "input_args", "`input_args`: expected an array, got a string."),
        ({"input_args": {}}, "input_args", "`input_args`: expected an array, got an object."),
        ({"input_kwargs": []}, "input_kwargs", "`input_kwargs`: expected an object, got an array."),
        ({"user_id": 5}, "user_id", "`user_id`: expected a string, got a number."),
        (
            {"persistent_memory": "yes"},
            "persistent_memory",
            "`persistent_memory`: expected true or false, got a string.",
        ),
        ({"timeout_seconds": 0}, "timeout_seconds", "`timeout_seconds`: expected a number of seconds above 0."),
        ({"timeout_seconds": True}, "timeout_seconds", "`timeout_seconds`: expected a number of seconds above 0."),
        ({"timeout_seconds": "5"}, "timeout_seconds", "`timeout_seconds`: expected a number of seconds above 0."),
        ({"on_disconnect": "stay"}, "on_disconnect", "`on_disconnect`: expected cancel, linger or detach."),
        ({"resume_window": -1}, "resume_window", "`resume_window`: expected a number of seconds above 0."),
        (
            {"entrypoint_tag": "add", "input_args": [1, "x"]},
            "b",
            "Argument `b`: expected an integer, got the string 'x'.",
        ),
        ({"input_kwargs": {"other": 1}}, "other", "Argument `other`: unknown. Known: `value`."),
    ],
)
def test_a_field_or_an_argument_that_does_not_fit_is_named(
    server: RunningServer, fields: dict[str, Any], field: str, message: str
) -> None:
    answer = ask(server, "POST", f"{AGENT}/run", json={"entrypoint_tag": "echo", **fields})
    assert answer.status_code == 422
    assert masked(answer.text) == failed("VALIDATION_ERROR", message, "VALIDATION_ERROR", field=f'"{field}"')


def test_a_timeout_of_any_length_is_taken(server: RunningServer) -> None:
    for seconds in (10**400, 1e300, 5, 0.5):
        body = json.dumps({"entrypoint_tag": "echo", "timeout_seconds": seconds})
        assert ask(server, "POST", f"{AGENT}/run", content=body).json()["success"]


def test_a_body_over_the_limit_is_refused(server: RunningServer) -> None:
    answer = ask(server, "POST", f"{AGENT}/run", content=b"x" * (20 * 1024 * 1024 + 1))
    assert answer.status_code == 413
    assert masked(answer.text) == failed(
        "PAYLOAD_TOO_LARGE", "The request's body is larger than 20,971,520 bytes.", "PAYLOAD_TOO_LARGE"
    )
    # Without a length, too.
    answer = ask(server, "POST", f"{AGENT}/run", content=(b"x" * 1024 * 1024 for _ in range(21)))
    assert answer.status_code == 413


def test_nineteen_mebibytes_pass_in_both_directions(server: RunningServer) -> None:
    text = "x" * 19 * 1024 * 1024
    answer = run(server, "echo", input_kwargs={"value": text})
    assert json.loads(json.loads(answer.json()["data"])["payload"]) == text


def test_a_full_server_says_when_to_come_back() -> None:
    with serving({"echo": echo}, engine=EngineSettings(max_invocations=0, max_queued=0)) as server:
        answer = run(server, "echo")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert masked(answer.text) == failed("OVERLOADED", "The server runs 0 invocations already.", "OVERLOADED")


def test_our_own_fault_is_scrubbed_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(NullRecorder):
        def started(self, record: InvocationRecord, call: Call) -> None:
            raise RuntimeError("secret")

    with serving({"echo": echo}, recorder=Broken()) as server:
        answer = run(server, "echo")
    assert answer.status_code == 500
    assert masked(answer.text) == failed("INTERNAL_ERROR", "Internal error.", "INTERNAL_ERROR")
    assert "RuntimeError: secret" in caplog.text


def test_the_callers_request_id_comes_back_and_its_key_is_the_calls(server: RunningServer) -> None:
    calls: list[Call] = []

    class Keeping(NullRecorder):
        def started(self, record: InvocationRecord, call: Call) -> None:
            calls.append(call)

    headers = {"x-request-id": 'trace "1"', "idempotency-key": "once"}
    with serving({"echo": echo}, recorder=Keeping()) as keeping:
        fields = {"user_id": "ada", "persistent_memory": True, "timeout_seconds": 5, "on_disconnect": "detach"}
        body = {"entrypoint_tag": "echo", "input_args": [1], **fields}
        answer = ask(keeping, "POST", f"{AGENT}/run", json=body, headers=headers)
        failure = ask(keeping, "POST", f"{AGENT}/run", json={}, headers=headers)
    assert answer.json()["request_id"] == failure.json()["request_id"] == 'trace "1"'
    (call,) = calls
    assert (call.request_id, call.user_id, call.persistent_memory) == ("once", "ada", True)
    assert (call.run_timeout, call.on_disconnect.name, call.transport) == (5.0, "DETACH", "http")


def test_the_architecture_lists_every_tag_and_repeats_itself_at_the_top() -> None:
    with serving({"add": add, "words_stream": words_stream}) as server:
        answer = ask(server, "GET", f"{AGENT}/architecture")
    entrypoints = (
        '[{"tag":"add","file":"","module":"","extractor":null,"description":"Adds.","input_schema":'
        '{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",'
        '"properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"required":["a","b"],"additionalProperties":false},'
        '"streaming":false},{"tag":"words_stream","file":"","module":"","extractor":null,"description":null,'
        '"input_schema":{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object","properties":{},'
        '"additionalProperties":false},"streaming":true}]'
    )
    assert answer.status_code == 200
    assert masked(answer.text) == (
        f'{{"success":true,"data":{{"agent_id":"test-agent","entrypoints":{entrypoints}}},'
        '"message":"Agent architecture retrieved successfully","error":null,"timestamp":"TIME","request_id":"ID",'
        f'"agent_id":"test-agent","entrypoints":{entrypoints}}}'
    )


@pytest.mark.parametrize("path", ["/api/v1", "/", "/api/v1/", "//api/v1"])
def test_the_server_says_where_grpc_is(server: RunningServer, path: str) -> None:
    answer = ask(server, "GET", path)
    assert answer.status_code == 200
    assert answer.json()["agent_id"] == "test-agent"
    assert answer.json()["grpc"] == {"port": server.grpc_port, "tls": False}


@pytest.mark.parametrize("path", ["/api/v1/health", "/health"])
def test_health_says_healthy(server: RunningServer, path: str) -> None:
    answer = ask(server, "GET", path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
    assert masked(answer.text) == '{"status":"healthy","timestamp":"TIME","instance_id":"ID"}'
    assert answer.json()["instance_id"] == server.instance_id == ask(server, "GET", "/api/v1").json()["instance_id"]


@pytest.mark.parametrize(("path", "status"), [("/live", "live"), ("/ready", "ready")])
def test_a_probe_is_answered(server: RunningServer, path: str, status: str) -> None:
    answer = ask(server, "GET", path)
    assert answer.status_code == 200
    assert masked(answer.text) == f'{{"status":"{status}","timestamp":"TIME"}}'


def test_an_address_without_anything_and_a_wrong_method_are_told_as_any_failure(server: RunningServer) -> None:
    nothing = ask(server, "GET", "/nothing")
    assert nothing.status_code == 404
    assert masked(nothing.text) == failed("NOT_FOUND", "There is nothing at this address.", "ROUTE_NOT_FOUND")
    wrong = ask(server, "DELETE", f"{AGENT}/run")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert masked(wrong.text) == failed("VALIDATION_ERROR", "This address takes another method.", "MALFORMED_REQUEST")
    stream = ask(server, "GET", f"{AGENT}/run-stream")
    assert (stream.status_code, stream.headers["upgrade"]) == (426, "websocket")
