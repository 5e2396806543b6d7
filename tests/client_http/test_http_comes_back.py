"""Clients of the HTTP wire whose connection is lost: our servers know them again, and published ones would not."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient, RunAgentError
from runagent_grpc.client.idle_watchdog import IdleWatchdog
from runagent_grpc.core.recorder import OutputLine
from runagent_grpc.engine import EngineSettings
from runagent_grpc.store import HistoryStore
from runagent_grpc.testing import serving
from tests.client.calling import FORMS, called, error_of_call
from tests.client_http.fakes import STARTED, Asked, data, failed, frame, streaming
from tests.waiting import eventually, on_a_loop, soon

OURS = {"agent_id": "chat", "resumable": True}
PUBLISHED = {"agent_id": "chat", "config": {}}

Script = Callable[[ServerConnection], None]

DONE = frame(type="status", status="stream_completed", total_chunks=3)
RESUME = {"wire": 2, "resume": {"invocation_id": "the-invocation", "after_sequence": 2}}


def cut(socket: ServerConnection) -> None:
    socket.socket.shutdown(2)


def saying(*frames: str, then: Script | None = None) -> Script:
    def script(socket: ServerConnection) -> None:
        for text in frames:
            socket.send(text)
        if then is not None:
            then(socket)

    return script


def server_of(home: dict[str, Any], *scripts: Script) -> Any:
    """A server that describes itself so, and answers each WebSocket with the next script, in the end the last."""
    conversations = iter(scripts)
    last = scripts[-1]

    def describe(socket: ServerConnection, request: Request) -> Response | None:
        if request.path != "/api/v1":
            return None
        response = socket.respond(HTTPStatus.OK, json.dumps(home))
        response.headers["connection"] = "close"
        return response

    return streaming(lambda socket: next(conversations, last)(socket), process_request=describe)


def options_of(server: Asked) -> dict[str, Any]:
    return {"base_url": server.base_url, "transport": "http"}


BEGINNING = (STARTED, data("a", sequence=1), data("b", sequence=2))
REST = saying(STARTED, data("c", sequence=3), DONE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "end",
    [cut, lambda socket: None, lambda socket: socket.close(1012), lambda socket: socket.close(1001)],
    ids=["cut", "ended", "draining", "going"],
)
def test_a_stream_of_ours_is_resumed_behind_its_last_chunk(form: str, end: Script) -> None:
    with server_of(OURS, saying(*BEGINNING, then=end), REST) as server:
        assert called(form, "any_stream", options=options_of(server)) == ["a", "b", "c"]
    assert server.bodies[1] == RESUME
    assert len(server.bodies) == 2


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_of_ours_that_had_not_started_is_the_same_call_again(form: str) -> None:
    draining = saying(failed(error="Going.", code="SHUTTING_DOWN", data={"code": "SHUTTING_DOWN", "message": "Going."}))
    whole = saying(*BEGINNING, data("c", sequence=3), DONE)
    with server_of(OURS, cut, draining, whole) as server:
        assert called(form, "any_stream", options=options_of(server)) == ["a", "b", "c"]
    assert server.bodies[0] == server.bodies[1] == server.bodies[2]
    assert len({headers["idempotency-key"] for headers in server.headers}) == 1


@pytest.mark.parametrize("form", FORMS)
def test_a_silent_stream_of_ours_is_resumed(form: str) -> None:
    begun = frame(type="status", status="stream_started", invocation_id="the-invocation", heartbeat_interval=0.02)

    def silent(socket: ServerConnection) -> None:
        threading.Event().wait(0.5)

    with server_of(OURS, saying(begun, *BEGINNING[1:], then=silent), REST) as server:
        assert read_impatiently(form, options_of(server)) == ["a", "b", "c"]
    assert server.bodies[1] == RESUME


def read_impatiently(form: str, options: dict[str, Any]) -> list[Any]:
    async def read_soon() -> list[Any]:
        async with AsyncRunAgentClient(None, "any_stream", **options) as client:
            return [chunk async for chunk in client.run_stream()]

    if form == "async":
        return asyncio.run(read_soon())
    with RunAgentClient(None, "any_stream", **options) as client:
        client._connection.watchdog = IdleWatchdog(interval=0.001)
        return list(client.run_stream())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("script", [saying(STARTED, data("a"), then=cut), cut], ids=["begun", "not begun"])
def test_a_published_server_is_asked_once(form: str, script: Script) -> None:
    with server_of(PUBLISHED, script) as server:
        error = error_of_call(form, "any_stream", options=options_of(server))
    assert error.reason in ("STREAM_INTERRUPTED", "CONNECTION_ERROR")
    assert "It was tried" not in error.message
    assert len(server.bodies) == 1


@pytest.mark.parametrize("form", FORMS)
def test_why_a_stream_of_ours_cannot_go_on_is_told_as_it_is(form: str) -> None:
    gone = {"code": "REPLAY_EXPIRED", "message": "Gone.", "reason": "REPLAY_EXPIRED"}
    came: list[Any] = []
    with server_of(OURS, saying(*BEGINNING, then=cut), saying(failed(error="Gone.", data=gone))) as server:
        error = error_of_call(form, "any_stream", chunks=came, options=options_of(server))
    assert (error.reason, error.message, error.invocation_id) == ("REPLAY_EXPIRED", "Gone.", "the-invocation")
    assert came == ["a", "b"]
    assert len(server.bodies) == 2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("on_disconnect", "code"), [("linger", 1000), ("detach", 1001), ("cancel", 1000)])
def test_the_close_says_whether_leaving_cancels(form: str, on_disconnect: Any, code: int) -> None:
    codes: list[int | None] = []

    def until_closed(socket: ServerConnection) -> None:
        list(socket)
        codes.append(socket.close_code)

    async def leave_soon(options: dict[str, Any]) -> None:
        client = AsyncRunAgentClient(None, "any_stream", **options)
        async with client, client.run_stream() as stream:
            assert await anext(stream) == "a"

    with server_of(OURS, saying(STARTED, data("a", sequence=1), then=until_closed)) as server:
        options = options_of(server) | {"on_disconnect": on_disconnect}
        if form == "async":
            asyncio.run(leave_soon(options))
        else:
            client = RunAgentClient(None, "any_stream", **options)
            with client, client.run_stream() as stream:
                assert next(stream) == "a"
        eventually(lambda: codes)
    assert codes == [code]
    assert server.bodies[0].get("on_disconnect") == (None if on_disconnect == "cancel" else on_disconnect)


@on_a_loop
async def test_a_run_whose_task_is_cancelled_ends_at_once_though_it_lingers() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def endless() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    with serving({"endless": endless}) as server:
        async with AsyncRunAgentClient(None, "endless", base_url=server.http_url, transport="http") as client:
            task = asyncio.create_task(client.run())
            await soon(begun.is_set)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await soon(ended.is_set, seconds=5)


def counted_stream(count: int) -> Any:
    yield from range(count)


def one(value: Any) -> Any:
    return value


def broken() -> None:
    raise LookupError("It broke.")


@pytest.mark.parametrize("wire", ["grpc", "http"])
@pytest.mark.parametrize("form", FORMS)
def test_what_has_run_can_be_looked_up(form: str, wire: str, tmp_path: Path) -> None:
    async def ask_soon(options: dict[str, Any], ids: list[str]) -> Any:
        async with AsyncRunAgentClient("test-agent", **options) as client:
            return [await client.get_invocation(each) for each in ids], await client.list_invocations(limit=2)

    def ask(options: dict[str, Any], ids: list[str]) -> Any:
        if form == "async":
            return asyncio.run(ask_soon(options, ids))
        with RunAgentClient("test-agent", **options) as client:
            return [client.get_invocation(each) for each in ids], client.list_invocations(limit=2)

    functions: dict[str, Any] = {"counted_stream": counted_stream, "one": one, "broken": broken}
    with (
        HistoryStore(tmp_path / "history.db", agent_id="test-agent") as store,
        serving(functions, recorder=store, history=store.served_history) as server,
    ):
        options: dict[str, Any] = {"base_url": server.http_url, "transport": "http"}
        options = options if wire == "http" else {"base_url": f"grpc://{server.target}"}
        with RunAgentClient(None, "one", **options) as client:
            assert client.run({"a": [1, 2.0]}) == {"a": [1, 2.0]}
        failure = error_of_call("sync", "broken", options=options)
        stream = RunAgentClient(None, "counted_stream", **options).run_stream(3)
        assert list(stream) == [0, 1, 2]
        store.flush()
        with RunAgentClient("test-agent", **options) as client:
            ids = [entry.invocation_id for entry in reversed(client.list_invocations())]
        (ran, failed_one, streamed), latest = ask(options, ids)
        with pytest.raises(RunAgentError) as caught, RunAgentClient(**options) as client:
            client.get_invocation("another")

    assert (ran.state, ran.entrypoint_tag, ran.result, ran.error) == ("COMPLETED", "one", {"a": [1, 2.0]}, None)
    assert ran.start_time <= ran.end_time
    assert (failed_one.state, failed_one.invocation_id) == ("FAILED", failure.invocation_id)
    assert (failed_one.error.reason, failed_one.error.message) == ("EXECUTION_FAILED", "It broke.")
    assert (streamed.state, streamed.chunk_count, streamed.result) == ("COMPLETED", 3, None)
    assert streamed.invocation_id == stream.invocation_id
    assert [entry.invocation_id for entry in latest] == [streamed.invocation_id, failed_one.invocation_id]
    assert all(entry.result is None for entry in latest)
    assert caught.value.reason == "INVOCATION_NOT_FOUND"


@pytest.mark.parametrize("form", FORMS)
def test_what_an_entrypoint_printed_can_be_looked_up_over_grpc(form: str, tmp_path: Path) -> None:
    async def ask_soon(invocation_id: str, options: dict[str, Any]) -> Any:
        async with AsyncRunAgentClient(**options) as client:
            return await client.list_logs(invocation_id)

    def ask(invocation_id: str, **options: Any) -> Any:
        if form == "async":
            return asyncio.run(ask_soon(invocation_id, options))
        with RunAgentClient(**options) as client:
            return client.list_logs(invocation_id)

    with (
        HistoryStore(tmp_path / "history.db", agent_id="test-agent") as store,
        serving({"one": one}, recorder=store, history=store.served_history) as server,
    ):
        server.client("one").run(1)
        store.flush()
        (entry,) = server.client().list_invocations()
        for text in ("It is said.", "And so is this."):
            store.logged(
                OutputLine(
                    invocation_id=entry.invocation_id,
                    time=datetime.now(UTC),
                    level="INFO",
                    text=text,
                )
            )
        store.flush()
        lines = ask(entry.invocation_id, base_url=f"grpc://{server.target}")
        with pytest.raises(RunAgentError) as caught:
            ask(entry.invocation_id, base_url=server.http_url, transport="http")

    assert [(line.invocation_id, line.level, line.text) for line in lines] == [
        (entry.invocation_id, "INFO", "It is said."),
        (entry.invocation_id, "INFO", "And so is this."),
    ]
    assert "cannot list logs" in caught.value.message


@pytest.mark.parametrize("client", [RunAgentClient, AsyncRunAgentClient])
@pytest.mark.parametrize("limit", [0, -1, 1001, "5"])
def test_a_limit_that_is_none_is_refused(client: Any, limit: Any) -> None:
    async def list_soon(asker: AsyncRunAgentClient) -> Any:
        return await asker.list_invocations(limit)

    asker = client(host="127.0.0.1", port=1)
    with pytest.raises(RunAgentError, match="limit"):
        asyncio.run(list_soon(asker)) if client is AsyncRunAgentClient else asker.list_invocations(limit)


def test_a_stream_of_our_own_server_says_when_it_counts_as_silent() -> None:
    with (
        serving({"counted_stream": counted_stream}, engine=EngineSettings(heartbeat_interval=2.5)) as server,
        RunAgentClient(None, "counted_stream", base_url=server.http_url, transport="http") as client,
    ):
        stream = client.run_stream(1)
        assert list(stream) == [0]
        assert stream._state.silence_limit == 7.5
