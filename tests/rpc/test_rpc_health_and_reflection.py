from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc.rpc import GrpcSettings
from runagent_grpc.testing import serving
from runagent_grpc.worker import Agent
from tests.rpc.calls import connected, connected_for_health, connected_for_reflection

SERVING = health_pb2.HealthCheckResponse.SERVING


def describe(count: int, name: str = "x") -> str:
    """Repeats a name."""
    return name * count


def names_stream() -> Iterator[str]:
    yield "a"


@pytest.mark.parametrize("service", ["", "runagent.v1.AgentService"])
def test_a_server_that_runs_is_healthy(service: str) -> None:
    with serving({"describe": describe}) as server, connected_for_health(server) as stub:
        assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING


def test_the_health_of_an_unknown_service_is_not_known() -> None:
    with (
        serving({"describe": describe}) as server,
        connected_for_health(server) as stub,
        pytest.raises(grpc.RpcError, match="NOT_FOUND"),
    ):
        stub.Check(health_pb2.HealthCheckRequest(service="other"))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_tells_the_contract(version: str) -> None:
    with serving({"describe": describe}) as server, connected_for_reflection(server, version) as ask:
        (services,) = ask({"list_services": ""})
        (files,) = ask({"file_containing_symbol": "runagent.v1.AgentService"})

    assert [service.name for service in services.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "runagent.v1.AgentService",
        "runagent.v1.HistoryService",
    ]
    assert "runagent/v1/agent_service.proto" in names_of(files)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("runagent.v1.AgentService.Run", "runagent/v1/agent_service.proto"),
        ("runagent.v1.HistoryService.ListInvocations", "runagent/v1/history_service.proto"),
        ("runagent.v1.RunRequest.call", "runagent/v1/agent_service.proto"),
        ("runagent.v1.Call", "runagent/v1/call.proto"),
        ("grpc.health.v1.Health.Check", "grpc_health/v1/health.proto"),
        ("grpc.reflection.v1.ServerReflection.ServerReflectionInfo", "grpc/reflection/v1/reflection.proto"),
        ("grpc.reflection.v1.ErrorResponse", "grpc/reflection/v1/reflection.proto"),
        ("grpc.reflection.v1alpha.ServerReflection", "grpc_reflection/v1alpha/reflection.proto"),
    ],
)
def test_reflection_finds_every_kind_of_symbol(version: str, symbol: str, file: str) -> None:
    with serving({"describe": describe}) as server, connected_for_reflection(server, version) as ask:
        (found,) = ask({"file_containing_symbol": symbol})

    assert names_of(found)[0] == file
    assert found.original_request.file_containing_symbol == symbol


@pytest.mark.parametrize(
    "symbol", ["", "Run", "runagent.v1.AgentService.Nothing", "runagent.v1.AgentService.Run.x", "runagent.v1.Nothing"]
)
def test_reflection_finds_no_symbol_that_is_not_there(symbol: str) -> None:
    with serving({"describe": describe}) as server, connected_for_reflection(server, "v1") as ask:
        unknown, known = ask({"file_containing_symbol": symbol}, {"file_containing_symbol": "runagent.v1.Call"})

    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert names_of(known)[0] == "runagent/v1/call.proto"


def names_of(response: Any) -> list[str]:
    """Returns the names of the files that an answer describes."""
    described = response.file_descriptor_response.file_descriptor_proto
    return [descriptor_pb2.FileDescriptorProto.FromString(text).name for text in described]


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_can_be_turned_off(version: str) -> None:
    with (
        serving({"describe": describe}, grpc=GrpcSettings(reflection=False)) as server,
        connected_for_reflection(server, version) as ask,
        pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"),
    ):
        next(ask({"list_services": ""}))


def test_the_agents_are_listed_without_their_schemas() -> None:
    with serving({"describe": describe, "names_stream": names_stream}) as server, connected(server) as stub:
        (agent,) = stub.ListAgents(pb.ListAgentsRequest()).agents

    assert agent.agent_id == "test-agent"
    assert [(entry.tag, entry.streaming, entry.input_schema) for entry in agent.entrypoints] == [
        ("describe", False, ""),
        ("names_stream", True, ""),
    ]


@pytest.mark.parametrize("agent_id", ["", "words"])
def test_an_agent_is_described_whole(agent_id: str) -> None:
    described = Agent.from_functions(
        {"describe": describe, "names_stream": names_stream},
        agent_id="words",
        agent_name="Words",
        description="Says words.",
        version="1.2",
        framework="langgraph",
    )
    with serving(described) as server, connected(server) as stub:
        agent = stub.GetAgent(pb.GetAgentRequest(agent_id=agent_id)).agent

    assert (agent.agent_id, agent.agent_name, agent.description) == ("words", "Words", "Says words.")
    assert (agent.version, agent.framework) == ("1.2", "langgraph")
    entrypoint, stream = agent.entrypoints
    assert (entrypoint.tag, entrypoint.description, stream.streaming) == ("describe", "Repeats a name.", True)
    schema = json.loads(entrypoint.input_schema)
    assert schema["required"] == ["count"]
    assert set(schema["properties"]) == {"count", "name"}
