"""Two agents whose servers share one file, and one caller who may call both: each server answers for its own agent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as agents
from runagent_grpc._gen.runagent.v1 import history_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import history_service_pb2_grpc
from runagent_grpc.store import History, HistoryStore
from runagent_grpc.testing import RunningServer, serving
from runagent_grpc.worker import Agent
from runagent_grpc.worker.output import OutputCapture
from tests.bridge.http_helpers import ask, conversation
from tests.rpc.calls import announced_id, connected, failing, stream_request

KEY = "the-key-of-both-agents"
PRIVATE = "what only the first agent's callers may read"
AGENTS = ("first", "second")
NOT_FOUND = "INVOCATION_NOT_FOUND"


def secrets_stream(text: str) -> Iterator[str]:
    print(text)  # noqa: T201 - what authors do
    yield text


class Site(NamedTuple):
    """Two servers over one file, each with a stream that has ended."""

    servers: dict[str, RunningServer]
    ids: dict[str, str]
    database: Path
    headers: dict[str, str]

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.headers.items())

    @contextmanager
    def history_of(self, agent: str) -> Iterator[Any]:
        with grpc.insecure_channel(self.servers[agent].target) as channel:
            yield history_service_pb2_grpc.HistoryServiceStub(channel)


@pytest.fixture(params=["no keys", "one key"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    keys = (KEY,) if request.param == "one key" else ()
    headers = {"authorization": f"Bearer {KEY}"} if keys else {}
    database = tmp_path / "runagent_local.db"
    with ExitStack() as stack:
        servers, ids, stores = {}, {}, {}
        for name in AGENTS:
            stores[name] = store = stack.enter_context(HistoryStore(database, agent_id=name))
            capture = OutputCapture(store.logged)
            stack.enter_context(capture.installed())
            servers[name] = stack.enter_context(
                serving(
                    Agent.from_functions({"secrets_stream": secrets_stream}, agent_id=name),
                    api_keys=keys,
                    recorder=store,
                    output=capture,
                    history=store.served_history,
                    store=store.invocations,
                    journal=store.journal,
                )
            )
        for name, server in servers.items():
            with connected(server) as stub:
                fields = {"request_id": "the same request of both"}
                call = stub.RunStream(
                    stream_request("secrets_stream", f"{name}: {PRIVATE}", fields=fields),
                    metadata=tuple(headers.items()),
                )
                list(call)
                ids[name] = announced_id(call)
            stores[name].flush()
        yield Site(servers, ids, database, headers)


@pytest.mark.parametrize(("asked", "other"), [AGENTS, AGENTS[::-1]])
def test_history_service_tells_of_the_agent_that_it_serves(site: Site, asked: str, other: str) -> None:
    with site.history_of(asked) as history:
        options = {"metadata": site.metadata}
        unknown = failing(history.GetInvocation, pb.GetInvocationRequest(invocation_id="never-was"), **options)
        hidden = failing(history.GetInvocation, pb.GetInvocationRequest(invocation_id=site.ids[other]), **options)
        assert hidden == unknown
        assert history.GetInvocation(pb.GetInvocationRequest(invocation_id=site.ids[asked]), **options).call.input
        for agent_id, expected in (("", [asked]), (asked, [asked]), (other, [])):
            page = history.ListInvocations(pb.ListInvocationsRequest(agent_id=agent_id), **options)
            assert [each.agent_id for each in page.invocations] == expected
            lines = history.ListLogs(pb.ListLogsRequest(agent_id=agent_id), **options).lines
            # A set: in this process both recorders hear every line.
            assert {line.agent_id for line in lines} == {*expected}
        request = pb.ListLogsRequest(invocation_id=site.ids[other])
        assert not history.ListLogs(request, **options).lines


@pytest.mark.parametrize(("asked", "other"), [AGENTS, AGENTS[::-1]])
def test_http_tells_of_the_agent_that_it_serves(site: Site, asked: str, other: str) -> None:
    server, options = site.servers[asked], {"headers": site.headers}
    assert ask(server, "GET", f"/api/v1/invocations/{site.ids[asked]}", **options).status_code == 200
    for path in (
        f"/api/v1/invocations/{site.ids[other]}",
        f"/api/v1/invocations/{site.ids[other]}/stream",
        f"/api/v1/agents/{other}/invocations",
        f"/api/v1/agents/{other}/invocations/stats",
    ):
        answer = ask(server, "GET", path, **options)
        assert (answer.status_code, PRIVATE in answer.text) == (404, False), path
    answer = ask(server, "POST", f"/api/v1/invocations/{site.ids[other]}/cancel", **options)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(("asked", "other"), [AGENTS, AGENTS[::-1]])
def test_a_stream_resumes_on_a_server_of_its_agent_alone(site: Site, asked: str, other: str) -> None:
    server = site.servers[asked]
    resume = agents.RunStreamRequest(resume=agents.ResumePoint(invocation_id=site.ids[other]))
    with connected(server) as stub:
        assert failing(stub.RunStream, resume, metadata=site.metadata).reason == NOT_FOUND
    frames = conversation(
        server,
        {"resume": {"invocation_id": site.ids[other]}},
        path=f"/api/v1/agents/{asked}/run-stream",
        additional_headers=site.headers,
    ).frames
    assert "Invocation not found" in frames[-1]
    assert PRIVATE not in "".join(frames)


def test_an_agents_next_server_resumes_its_streams_and_no_other(site: Site) -> None:
    functions = {"secrets_stream": secrets_stream}
    with (
        HistoryStore(site.database, agent_id="second") as store,
        serving(
            Agent.from_functions(functions, agent_id="second"),
            api_keys=(KEY,) if site.headers else (),
            store=store.invocations,
            history=store.served_history,
        ) as server,
        connected(server) as stub,
    ):
        own, foreign = (
            agents.RunStreamRequest(resume=agents.ResumePoint(invocation_id=site.ids[name]))
            for name in ("second", "first")
        )
        assert failing(stub.RunStream, foreign, metadata=site.metadata).reason == NOT_FOUND
        events = list(stub.RunStream(own, metadata=site.metadata))
    assert [event.WhichOneof("event") for event in events][-1] == "completed"


def test_a_request_id_is_known_to_the_agent_that_it_was_sent_to(site: Site) -> None:
    assert len(set(site.ids.values())) == 2


def test_whoever_has_the_file_sees_all_agents(site: Site) -> None:
    found = History(site.database).page().invocations
    assert {each.agent_id for each in found} == set(AGENTS)
