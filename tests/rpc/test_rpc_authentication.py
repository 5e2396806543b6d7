from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.testing import RunningServer, serving
from tests.rpc.calls import (
    announced_id,
    bearer,
    connected,
    connected_for_health,
    connected_for_reflection,
    failing,
    failure_of,
    run_request,
    stream_request,
    value_of,
)
from tests.waiting import eventually

KEY, OTHER_KEY, WRONG_KEY = "right-key-5f1e", "other-key-77aa", "wrong-key-0b0b"

REQUESTS = {
    "ListAgents": pb.ListAgentsRequest(),
    "GetAgent": pb.GetAgentRequest(),
    "Run": run_request("echo", 1),
    "RunStream": stream_request("count_stream"),
    "CancelInvocation": pb.CancelInvocationRequest(invocation_id="never-was"),
}

NO_KEYS = {
    "nothing": (),
    "a wrong key": bearer(WRONG_KEY),
    "half a key": bearer(KEY[:-1]),
    "more than a key": bearer(KEY + "x"),
    "another case": bearer(KEY.upper()),
    "an empty key": bearer(""),
    "no scheme": (("authorization", KEY),),
    "another scheme": (("authorization", f"Basic {KEY}"),),
    "another header": (("x-api-key", KEY),),
    "two keys in one": bearer(f"{KEY}, {KEY}"),
}


def echo(value: Any) -> Any:
    return value


def count_stream() -> Iterator[int]:
    yield from itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving({"echo": echo, "count_stream": count_stream}, api_keys=(KEY, OTHER_KEY)) as running:
        yield running


def test_every_method_of_the_contract_is_tried_here() -> None:
    assert set(REQUESTS) == set(pb.DESCRIPTOR.services_by_name["AgentService"].methods_by_name)


@pytest.mark.parametrize("metadata", NO_KEYS.values(), ids=NO_KEYS.keys())
@pytest.mark.parametrize("method", REQUESTS)
def test_no_method_answers_without_a_known_key(server: RunningServer, method: str, metadata: Any) -> None:
    with connected(server) as stub:
        failure = failing(getattr(stub, method), REQUESTS[method], metadata=metadata)

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "AUTHENTICATION_ERROR")
    assert "api_key" in failure.suggestion
    assert "-key-" not in failure.text + failure.suggestion
    assert server.engine.active == 0


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_no_reflection_without_a_known_key(server: RunningServer, version: str) -> None:
    with connected_for_reflection(server, version) as ask:
        failure = failing(ask, {"list_services": ""})
        (answer,) = ask({"list_services": ""}, metadata=bearer(KEY))

    assert failure.reason == "AUTHENTICATION_ERROR"
    assert "runagent.v1.AgentService" in [service.name for service in answer.list_services_response.service]


def test_a_caller_without_a_key_is_refused_before_it_has_sent_anything(server: RunningServer) -> None:
    sending = threading.Event()

    def never_sends() -> Iterator[bytes]:
        sending.wait(20)
        yield from ()

    with grpc.insecure_channel(server.target) as channel:
        methods: list[Any] = [
            channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
            channel.stream_stream("/runagent.v1.AgentService/Run"),
        ]
        for method in methods:
            with pytest.raises(grpc.RpcError) as caught:
                next(method(never_sends(), timeout=10))
            assert failure_of(caught.value).reason == "AUTHENTICATION_ERROR"
        sending.set()


def test_an_unknown_method_tells_nothing_without_a_key(server: RunningServer) -> None:
    with grpc.insecure_channel(server.target) as channel:
        call: Any = channel.unary_unary("/runagent.v1.AgentService/Nothing")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"")
        with pytest.raises(grpc.RpcError) as known:
            call(b"", metadata=bearer(KEY))

    assert failure_of(caught.value).reason == "AUTHENTICATION_ERROR"
    assert isinstance(known.value, grpc.Call)
    assert known.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_health_needs_no_key(server: RunningServer) -> None:
    with connected_for_health(server) as stub:
        assert stub.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        assert next(stub.Watch(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_known_key_opens_every_method(server: RunningServer, scheme: str) -> None:
    metadata = (("authorization", f"{scheme} {KEY}"),)
    with connected(server) as stub:
        assert value_of(stub.Run(run_request("echo", 1), metadata=metadata).result) == 1
        assert [agent.agent_id for agent in stub.ListAgents(pb.ListAgentsRequest(), metadata=metadata).agents]
        assert stub.GetAgent(pb.GetAgentRequest(), metadata=metadata).agent.entrypoints
        call = stub.RunStream(stream_request("count_stream"), metadata=metadata)
        assert next(call).started.invocation_id
        request = pb.CancelInvocationRequest(invocation_id=announced_id(call))
        assert stub.CancelInvocation(request, metadata=metadata).invocation.invocation_id == announced_id(call)


def test_an_invocation_is_hidden_from_every_key_but_its_own(server: RunningServer) -> None:
    with connected(server) as stub:
        call = stub.RunStream(stream_request("count_stream"), metadata=bearer(KEY))
        next(call)
        cancel = pb.CancelInvocationRequest(invocation_id=announced_id(call))
        resume = pb.RunStreamRequest(resume=pb.ResumePoint(invocation_id=announced_id(call)))
        hidden = failing(stub.CancelInvocation, cancel, metadata=bearer(OTHER_KEY))
        assert failing(stub.RunStream, resume, metadata=bearer(OTHER_KEY)) == hidden
        # The answer is the same as for an invocation that never was.
        assert failing(stub.CancelInvocation, REQUESTS["CancelInvocation"], metadata=bearer(OTHER_KEY)) == hidden
        assert call.is_active()

        stub.CancelInvocation(cancel, metadata=bearer(KEY))
        eventually(lambda: server.engine.active == 0)
        # Nor is it shown once it has ended.
        assert failing(stub.CancelInvocation, cancel, metadata=bearer(OTHER_KEY)) == hidden

    assert (hidden.code, hidden.reason) == (grpc.StatusCode.NOT_FOUND, "INVOCATION_NOT_FOUND")


def test_no_key_reaches_a_log_or_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("It broke.")

    caplog.set_level(logging.DEBUG)
    sent = []
    with serving({"fail": fail}, api_keys=(KEY,)) as server, connected(server) as stub:
        for key in (KEY, WRONG_KEY):
            call = stub.Run.future(run_request("fail"), metadata=bearer(key))
            sent.append(f"{call.exception()} {call.trailing_metadata()!r} {call.initial_metadata()!r}")
        settings = repr(server) + repr(vars(server.engine))

    assert caplog.records
    logged = "\n".join([caplog.text, *(repr(vars(record)) for record in caplog.records), *sent, settings])
    assert KEY not in logged
    assert WRONG_KEY not in logged


def test_without_keys_a_key_is_ignored() -> None:
    with serving({"echo": echo}) as server, connected(server) as stub:
        assert value_of(stub.Run(run_request("echo", 1), metadata=bearer(WRONG_KEY)).result) == 1
