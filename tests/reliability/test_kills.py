"""What is left when a server was killed: what it had journaled, what it had recorded, and the truth about the rest."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import agent_service_pb2_grpc
from runagent_grpc.client import ChunkStream, RunAgentClient
from runagent_grpc.errors import AbortedError, Reason
from runagent_grpc.store import History
from tests.reliability.sites import AGENT_ID, Site, serving
from tests.rpc.calls import call_of, failing
from tests.waiting import eventually

CHUNKS = 300

# Twice what is promised, for the clock of whoever writes it down is another's.
MOST_LOST_SECONDS = 0.1


def client_of(site: Site, wire: str, **options: Any) -> RunAgentClient:
    address: dict[str, Any] = {"base_url": f"grpc://127.0.0.1:{site.grpc_port}"}
    if wire == "http":
        address = {"base_url": f"http://127.0.0.1:{site.http_port}", "transport": "http"}
    return RunAgentClient(AGENT_ID, "tick_stream", on_disconnect="detach", **address, **options)


def id_of(stream: ChunkStream) -> str:
    assert stream.invocation_id is not None
    return stream.invocation_id


def lost_after(chunks: Any, seen: list[int]) -> None:
    """Reads what there is, which must end with the news that the rest is lost."""
    with pytest.raises(AbortedError) as lost:
        seen.extend(chunks)
    assert lost.value.reason is Reason.INVOCATION_LOST


@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_a_killed_server_replays_what_it_journaled_and_then_says_that_the_rest_is_lost(
    tmp_path: Path, wire: str
) -> None:
    with serving(tmp_path, "--journal") as site, client_of(site, wire) as client:
        stream = client.run_stream(name="ticks", n=100_000, seconds=0.003)
        seen = list(itertools.islice(stream, CHUNKS))
        killed = time.time()
        site.kill()
        ticks = [line.split() for line in site.lines if line.startswith("ticks ")]
        journaled = max(int(number) for _, number, when in ticks if float(when) < killed - MOST_LOST_SECONDS)
        site.start()

        # Whoever was reading resumes by itself, and does not ask again.
        lost_after(stream, seen)
        assert seen == list(range(1, len(seen) + 1))
        assert len(seen) >= CHUNKS
        # Whoever asks later is told the same, as often as they ask.
        for after in (0, 0, 100):
            replayed: list[int] = []
            lost_after(client.resume(id_of(stream), after), replayed)
            assert replayed == list(range(after + 1, after + 1 + len(replayed)))
            assert after + len(replayed) >= journaled
    assert site.runs == {"ticks": 1}


@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_without_a_journal_a_killed_server_has_nothing_to_replay(tmp_path: Path, wire: str) -> None:
    with serving(tmp_path) as site, client_of(site, wire) as client:
        stream = client.run_stream(name="ticks", n=100_000, seconds=0.003)
        seen = list(itertools.islice(stream, CHUNKS))
        recorded(site, id_of(stream))
        site.kill()
        site.start()
        lost_after(stream, seen)
        assert seen == list(range(1, len(seen) + 1))
        lost_after(client.resume(id_of(stream)), [])
    assert site.runs == {"ticks": 1}


def recorded(site: Site, invocation_id: str, *, state: str | None = None) -> None:
    """Waits until an invocation is in the history on disk, in a state, where one is named."""
    history = History(site.database)

    def is_there() -> bool:
        return any(
            told.invocation_id == invocation_id and state in (None, told.state.name)
            for told in history.page().invocations
        )

    eventually(is_there)


def with_stub(site: Site, use: Callable[[agent_service_pb2_grpc.AgentServiceStub], Any]) -> Any:
    with grpc.insecure_channel(f"127.0.0.1:{site.grpc_port}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        return use(agent_service_pb2_grpc.AgentServiceStub(channel))


def request(name: str) -> pb.RunRequest:
    return pb.RunRequest(call=call_of("work", name=name, fields={"request_id": "the same"}))


def test_a_call_that_was_answered_is_not_run_again_by_the_next_server(tmp_path: Path) -> None:
    with serving(tmp_path) as site:
        first = with_stub(site, lambda stub: stub.Run(request("once")))
        recorded(site, first.invocation_id, state="COMPLETED")
        site.kill()
        site.start()
        again = with_stub(site, lambda stub: stub.Run(request("once")))
        assert (again.invocation_id, again.result) == (first.invocation_id, first.result)
        other = with_stub(site, lambda stub: failing(stub.Run, request("another")))
        assert other.reason == "REQUEST_ID_REUSED"
    assert site.runs == {"once": 1}


def test_a_call_that_was_lost_stays_lost(tmp_path: Path) -> None:
    fields = {"request_id": "the same"}
    call = call_of("tick_stream", name="ticks", n=100_000, seconds=0.003, fields=fields)
    repeated = pb.RunStreamRequest(call=call)
    with serving(tmp_path) as site:

        def start(stub: agent_service_pb2_grpc.AgentServiceStub) -> None:
            stream = stub.RunStream(repeated)
            recorded(site, next(stream).started.invocation_id)
            site.kill()

        with_stub(site, start)
        site.start()
        assert with_stub(site, lambda stub: failing(stub.RunStream, repeated)).reason == "INVOCATION_LOST"
    assert site.runs == {"ticks": 1}
