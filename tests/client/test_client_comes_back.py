"""Clients whose connection is lost: what they ask for then, what their callers get, and when they give up."""

from __future__ import annotations

import asyncio
import socket
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from runagent_grpc import errors
from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2
from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient
from runagent_grpc.client.idle_watchdog import IdleWatchdog
from runagent_grpc.errors import Reason, error_of
from runagent_grpc.local.registry import RegisteredAgent, Registry
from runagent_grpc.testing import serving
from tests.client.calling import FORMS, called, error_of_call
from tests.client.fakes import INVOCATION_ID, answering, chunks, completed, failing, heartbeat, sending, started
from tests.waiting import eventually

REST = sending(started(), chunks(3, "c"), completed(3))


def resume_of(after: int) -> pb.RunStreamRequest:
    return pb.RunStreamRequest(resume=pb.ResumePoint(invocation_id=INVOCATION_ID, after_sequence=after))


def read(form: str, stream_of: Any, options: dict[str, Any]) -> list[Any]:
    """Reads the stream that `stream_of` gets from a client."""

    async def read_soon() -> list[Any]:
        async with AsyncRunAgentClient(None, "any_stream", **options) as client:
            return [chunk async for chunk in stream_of(client)]

    if form == "async":
        return asyncio.run(read_soon())
    with RunAgentClient(None, "any_stream", **options) as client:
        return list(stream_of(client))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "end",
    [
        sending(),
        failing(),
        failing(errors.UnavailableError("Going.", reason=Reason.SHUTTING_DOWN, retry_after=0.01)),
    ],
    ids=["nothing", "cut", "draining"],
)
def test_a_stream_that_is_cut_is_resumed_behind_its_last_chunk(form: str, end: Any) -> None:
    with answering(sending(started(), chunks(1, "a", "b"), then=end), REST) as server:
        assert called(form, "any_stream", options={"base_url": server.base_url}) == ["a", "b", "c"]

    assert server.requests[1] == resume_of(2)
    assert len(server.requests) == 2
    assert server.farewells == []


@pytest.mark.parametrize("form", FORMS)
def test_chunks_that_come_again_after_a_cut_are_dropped(form: str) -> None:
    again = sending(started(), chunks(1, "a", "b"), heartbeat(), chunks(2, "b", "c"), completed(3))
    with answering(sending(started(), chunks(1, "a", "b"), then=failing()), again) as server:
        assert called(form, "any_stream", options={"base_url": server.base_url}) == ["a", "b", "c"]


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_that_is_cut_before_it_has_started_is_the_same_call_again(form: str) -> None:
    whole = sending(started(), chunks(1, "a"), completed(1))
    with answering(failing(), failing(), whole) as server:
        assert called(form, "any_stream", options={"base_url": server.base_url}) == ["a"]

    assert [request.WhichOneof("source") for request in server.requests] == ["call"] * 3
    assert len({request.call.request_id for request in server.requests}) == 1
    assert uuid.UUID(server.requests[0].call.request_id).version == 4


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "reason",
    ["REPLAY_EXPIRED", "INVOCATION_NOT_FOUND", "INVOCATION_LOST", "INVALID_CURSOR", "READER_REPLACED", "CANCELLED"],
)
def test_why_a_stream_cannot_go_on_is_told_as_it_is(form: str, reason: str) -> None:
    came: list[Any] = []
    refusal = failing(error_of(Reason(reason), "It cannot."))
    with answering(sending(started(), chunks(1, "a"), then=failing()), refusal) as server:
        raised = error_of_call(form, "any_stream", chunks=came, options={"base_url": server.base_url})

    assert (raised.reason, raised.message, raised.invocation_id) == (reason, "It cannot.", INVOCATION_ID)
    assert came == ["a"]
    assert len(server.requests) == 2
    assert server.farewells == []


@pytest.mark.parametrize("form", FORMS)
def test_a_silent_stream_is_resumed_on_another_connection(form: str) -> None:
    peers: list[str] = []

    def falls_silent(context: Any) -> Iterator[Any]:
        peers.append(context.peer())
        yield from (started(0.02), chunks(1, "a", "b"))
        threading.Event().wait(0.5)

    def goes_on(context: Any) -> Any:
        peers.append(context.peer())
        return REST(context)

    def stream_of(client: Any) -> Any:
        client._connection.watchdog = IdleWatchdog(interval=0.001)
        return client.run_stream()

    with answering(falls_silent, goes_on) as server:
        assert read(form, stream_of, {"base_url": server.base_url}) == ["a", "b", "c"]

    assert server.requests[1] == resume_of(2)
    assert len(set(peers)) == 2


@pytest.mark.parametrize("form", FORMS)
def test_patience_ends_with_the_last_error_and_says_how_long_it_was_tried(form: str) -> None:
    options: dict[str, Any] = {"retry_seconds": 0.3}
    with answering(sending(started(), then=failing())) as server:
        stream = error_of_call(form, "any_stream", options=options | {"base_url": server.base_url})
    with answering(failing()) as server:
        run = error_of_call(form, "any", options=options | {"base_url": server.base_url})
        assert len({call.request_id for call in server.calls}) == 1
        assert len(server.calls) > 1

    assert (stream.reason, run.reason) == ("STREAM_INTERRUPTED", "CONNECTION_ERROR")
    for error in (stream, run):
        assert "It was tried " in error.message
        assert "s." in error.message
    assert stream.invocation_id == INVOCATION_ID


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("options", [{"retry_seconds": 0}, {"on_disconnect": "cancel"}], ids=str)
def test_who_does_not_want_to_come_back_does_not(form: str, options: dict[str, Any]) -> None:
    with answering(sending(started(), chunks(1, "a"), then=failing())) as server:
        stream = error_of_call(form, "any_stream", options=options | {"base_url": server.base_url})
        run = error_of_call(form, "any", options=options | {"base_url": server.base_url})
        assert len(server.calls) == 2

    assert (stream.reason, stream.message) == ("STREAM_INTERRUPTED", "The connection to the server was lost.")
    assert (run.reason, run.invocation_id) == ("CONNECTION_ERROR", INVOCATION_ID)


@pytest.mark.parametrize("form", FORMS)
def test_a_run_is_made_again_with_its_id_until_it_is_answered(form: str) -> None:
    draining = failing(errors.UnavailableError("Going.", reason=Reason.SHUTTING_DOWN, retry_after=0.01))
    with answering(failing(), draining, sending()) as server:
        assert called(form, "any", 1, options={"base_url": server.base_url}) == "done"

    assert len(server.calls) == 3
    assert server.calls[0] == server.calls[1] == server.calls[2]
    assert server.calls[0].on_disconnect == call_pb2.ON_DISCONNECT_LINGER
    assert server.calls[0].resume_window.seconds == 10


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reason", ["OVERLOADED", "INVOCATION_LOST", "EXECUTION_FAILED", "INTERNAL_ERROR", "TIMEOUT"])
def test_a_run_that_failed_otherwise_is_not_made_again(form: str, reason: str) -> None:
    with answering(failing(error_of(Reason(reason), "It failed.", retry_after=0.01))) as server:
        raised = error_of_call(form, "any", options={"base_url": server.base_url})
    assert (raised.reason, raised.message) == (reason, "It failed.")
    assert len(server.calls) == 1


@pytest.mark.parametrize("form", FORMS)
def test_all_tries_together_have_the_callers_time(form: str) -> None:
    with answering(failing()) as server:
        raised = error_of_call(form, "any", options={"base_url": server.base_url, "timeout": 0.3})
    assert (raised.reason, "It was tried" in raised.message) == ("CONNECTION_ERROR", True)


@pytest.mark.parametrize("form", FORMS)
def test_each_call_has_an_id_of_its_own_unless_the_caller_gives_one(form: str) -> None:
    async def call_soon(base_url: str) -> None:
        async with AsyncRunAgentClient(None, "any", base_url=base_url) as client:
            for each in (client, client, client.with_request_id("mine"), client.with_request_id("mine")):
                await each.run()

    with answering(sending()) as server:
        if form == "async":
            asyncio.run(call_soon(server.base_url))
        else:
            with RunAgentClient(None, "any", base_url=server.base_url) as client:
                for each in (client, client, client.with_request_id("mine"), client.with_request_id("mine")):
                    each.run()

    ids = [call.request_id for call in server.calls]
    assert ids[2:] == ["mine", "mine"]
    assert len(set(ids)) == 3


@pytest.mark.parametrize("client", [RunAgentClient, AsyncRunAgentClient])
@pytest.mark.parametrize("request_id", ["", "\ud800"])
def test_an_id_that_is_none_is_refused(client: Any, request_id: str) -> None:
    with pytest.raises(errors.InvalidRequestError, match="request_id"):
        client(None, "any", host="127.0.0.1", port=1).with_request_id(request_id)


@pytest.mark.parametrize("form", FORMS)
def test_a_server_that_is_restarted_is_waited_for(form: str) -> None:
    with ExitStack() as first, ThreadPoolExecutor(1) as pool:
        server = first.enter_context(answering(sending()))
        port = int(server.base_url.rpartition(":")[2])

        async def call_twice() -> list[Any]:
            async with AsyncRunAgentClient(None, "any", base_url=server.base_url) as client:
                answers = [await client.run()]
                await asyncio.to_thread(first.close)
                return [*answers, await client.run()]

        def call_twice_blocking() -> list[Any]:
            with RunAgentClient(None, "any", base_url=server.base_url) as client:
                answers = [client.run()]
                first.close()
                return [*answers, client.run()]

        calling = pool.submit((lambda: asyncio.run(call_twice())) if form == "async" else call_twice_blocking)
        # Down, until it is refused.
        eventually(lambda: refused(port))
        with answering(sending(), port=port):
            assert calling.result(30) == ["done", "done"]


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("form", FORMS)
def test_a_server_of_this_machine_is_found_where_it_is_served_now(form: str) -> None:
    def register(port: int) -> None:
        Registry().register(RegisteredAgent(agent_id="test-agent", agent_path="", host="127.0.0.1", port=port))

    entrypoints = {"one": lambda value: value}

    async def call_twice(servers: ExitStack) -> list[Any]:
        async with AsyncRunAgentClient("test-agent", "one") as client:
            answers = [await client.run(1)]
            await asyncio.to_thread(move, servers)
            return [*answers, await client.run(2)]

    def move(servers: ExitStack) -> None:
        servers.close()
        register(servers.enter_context(serving(entrypoints)).http_port)

    with ExitStack() as servers:
        register(servers.enter_context(serving(entrypoints)).http_port)
        if form == "async":
            answers = asyncio.run(call_twice(servers))
        else:
            with RunAgentClient("test-agent", "one") as client:
                answers = [client.run(1)]
                move(servers)
                answers.append(client.run(2))
    assert answers == [1, 2]


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_can_be_taken_up_by_whoever_knows_its_id(form: str) -> None:
    options: dict[str, Any] = {}
    with answering(REST) as server:
        options = {"base_url": server.base_url}
        assert read(form, lambda client: client.resume(INVOCATION_ID, 2), options) == ["c"]
    assert server.requests == [resume_of(2)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("arguments", "field"),
    [(("",), "invocation_id"), (("a", -1), "after"), (("a", 2**63), "after"), (("a", "1"), "after")],
)
def test_a_place_that_is_none_is_refused(form: str, arguments: tuple[Any, ...], field: str) -> None:
    client: Any = (AsyncRunAgentClient if form == "async" else RunAgentClient)(host="127.0.0.1", port=1)
    with pytest.raises(errors.InvalidRequestError) as caught:
        client.resume(*arguments)
    assert caught.value.field == field
