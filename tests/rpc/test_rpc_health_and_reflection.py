from __future__ import annotations

import json
from collections.abc import Iterator

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


def test_reflection_tells_the_contract() -> None:
    with serving({"describe": describe}) as server, connected_for_reflection(server) as ask:
        (services,) = ask({"list_services": ""})
        (files,) = ask({"file_containing_symbol": "runagent.v1.AgentService"})

    assert [service.name for service in services.list_services_response.service] == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "runagent.v1.AgentService",
        "runagent.v1.HistoryService",
    ]
    described = files.file_descriptor_response.file_descriptor_proto
    names = [descriptor_pb2.FileDescriptorProto.FromString(text).name for text in described]
    assert "runagent/v1/agent_service.proto" in names


def test_reflection_can_be_turned_off() -> None:
    with (
        serving({"describe": describe}, grpc=GrpcSettings(reflection=False)) as server,
        connected_for_reflection(server) as ask,
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
