"""Streams, answers and refusals that no server of ours would give."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import uuid
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient, RunAgentError
from runagent_grpc.client.address import Address
from runagent_grpc.client.http_aio import AsyncHttpTransport
from runagent_grpc.client.http_connection import KeepaliveTimeouts
from runagent_grpc.client.http_sync import HttpTransport
from runagent_grpc.contract.messages import MAX_MESSAGE_BYTES
from tests.client.calling import FORMS, error_of_call
from tests.client_http.fakes import (
    COMPLETED,
    STARTED,
    Asked,
    answering,
    data,
    dripping,
    failed,
    frame,
    mute,
    refusing,
    speaking,
    streaming,
)
from tests.waiting import on_a_loop

KEY = "right-key-5f1e"

IMPATIENT = KeepaliveTimeouts(ping_after=0.1, pong_within=0.2)


def sending(*frames: str | bytes, then: Callable[[ServerConnection], Any] = lambda socket: None) -> Any:
    def script(socket: ServerConnection) -> None:
        for text in frames:
            socket.send(text)
        then(socket)

    return streaming(script)


def read(form: str, server: Asked, **options: Any) -> tuple[list[Any], RunAgentError | None]:
    """Streams from a server that has an agent `chat`. Returns the chunks, and the error that came, if any."""
    options = {"agent_id": "chat", "entrypoint_tag": "any_stream", "base_url": server.base_url} | options
    chunks: list[Any] = []

    async def read_soon() -> None:
        async with AsyncRunAgentClient(**options, transport="http") as client:
            async for chunk in client.run_stream("Hi", times=2):
                chunks.append(chunk)  # noqa: PERF401 - what came is wanted even where the loop raises

    try:
        if form == "async":
            asyncio.run(read_soon())
        else:
            with RunAgentClient(**options, transport="http") as client:
                for chunk in client.run_stream("Hi", times=2):
                    chunks.append(chunk)  # noqa: PERF402 - same
    except RunAgentError as error:
        return chunks, error
    return chunks, None


def run(form: str, server: Asked, **options: Any) -> Any:
    options = {"agent_id": "chat", "entrypoint_tag": "any", "base_url": server.base_url} | options

    async def run_soon() -> Any:
        async with AsyncRunAgentClient(**options, transport="http") as client:
            return await client.run("Hi")

    if form == "async":
        return asyncio.run(run_soon())
    with RunAgentClient(**options, transport="http") as client:
        return client.run("Hi")


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_is_asked_for_by_one_frame_with_the_key_in_a_header(form: str) -> None:
    with sending(STARTED, data("a"), data([1]), COMPLETED) as server:
        assert read(form, server, api_key=KEY, timeout=30) == (["a", [1]], None)

    assert server.paths == ["/api/v1/agents/chat/run-stream"]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert server.headers[0]["user-agent"].startswith("runagent-python/")
    (first_frame,) = server.bodies
    assert first_frame["wire"] == 2
    assert (first_frame["entrypoint_tag"], first_frame["timeout_seconds"]) == ("any_stream", 30)
    assert (first_frame["input_args"], first_frame["input_kwargs"]) == (["Hi"], {"times": 2})
    assert (first_frame["on_disconnect"], first_frame["resume_window"]) == ("linger", 10)
    assert uuid.UUID(server.headers[0]["idempotency-key"]).version == 4


@pytest.mark.parametrize("form", FORMS)
def test_a_run_is_one_post_with_the_key_in_a_header(form: str) -> None:
    with answering(200, {"success": True, "data": '{"type":"array","payload":"[1.0]"}'}) as server:
        assert run(form, server, api_key=KEY) == [1.0]

    assert server.paths == ["/api/v1", "/api/v1/agents/chat/run"]
    assert [headers["authorization"] for headers in server.headers] == [f"Bearer {KEY}"] * 2
    assert uuid.UUID(server.headers[1]["idempotency-key"]).version == 4
    assert "wire" not in server.bodies[1]
    assert server.bodies[1]["input_args"] == ["Hi"]
    assert (server.bodies[1]["on_disconnect"], server.bodies[1]["resume_window"]) == ("linger", 10)


@pytest.mark.parametrize("form", FORMS)
def test_a_client_without_a_key_sends_none(form: str) -> None:
    with sending(STARTED, frame(type="status", status="stream_completed", total_chunks=0)) as server:
        assert read(form, server) == ([], None)
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize("form", FORMS)
def test_the_only_agent_is_asked_for_its_id_once(form: str) -> None:
    with answering(200, {"success": True, "config": {"agent_id": "the/one"}, "data": None}) as server:
        assert run(form, server, agent_id=None) is None
    assert server.paths == ["/api/v1", "/api/v1/agents/the%2Fone/run"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("frames", "chunks", "words"),
    [
        ([], [], "ended before the entrypoint did"),
        ([STARTED], [], "ended before the entrypoint did"),
        ([STARTED, data("a")], ["a"], "ended before the entrypoint did"),
        ([STARTED, data("a"), frame(type="status", status="heartbeat")], ["a"], "ended before the entrypoint did"),
        ([STARTED, data("a"), COMPLETED], ["a"], "produced 2 chunks, and 1 came"),
        ([STARTED, data("a", sequence=1), data("c", sequence=3)], ["a"], "Chunk 2 is missing"),
    ],
)
def test_a_stream_without_all_of_its_chunks_or_its_end_was_interrupted(
    form: str, frames: list[str], chunks: list[Any], words: str
) -> None:
    with sending(*frames) as server:
        came, error = read(form, server)
    assert came == chunks
    assert error is not None
    assert (error.reason, words in error.message) == ("STREAM_INTERRUPTED", True)
    assert error.invocation_id == ("the-invocation" if frames else None)


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_whose_connection_breaks_was_interrupted(form: str) -> None:
    with sending(STARTED, data("a"), then=lambda socket: socket.socket.shutdown(2)) as server:
        came, error = read(form, server)
    assert came == ["a"]
    assert error is not None
    assert (error.reason, error.message) == ("STREAM_INTERRUPTED", "The connection to the server was lost.")
    assert error.invocation_id == "the-invocation"


@pytest.mark.parametrize("form", FORMS)
def test_a_connection_that_breaks_before_the_stream_began_is_told_as_such(form: str) -> None:
    with sending(then=lambda socket: socket.socket.shutdown(2)) as server:
        _, error = read(form, server)
    assert error is not None
    assert error.reason == "CONNECTION_ERROR"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, "STREAM_INTERRUPTED"),
        (1001, "STREAM_INTERRUPTED"),
        (1009, "PAYLOAD_TOO_LARGE"),
        (1011, "STREAM_INTERRUPTED"),
        (1012, "SHUTTING_DOWN"),
    ],
)
def test_a_close_without_a_word_is_told_by_its_code(form: str, code: int, reason: str) -> None:
    with sending(STARTED, then=lambda socket: socket.close(code)) as server:
        _, error = read(form, server)
    assert error is not None
    assert error.reason == reason


@pytest.mark.parametrize("form", FORMS)
def test_an_error_frame_ends_a_stream_though_the_socket_stays_open(form: str) -> None:
    gone = threading.Event()

    def until_gone(socket: ServerConnection) -> None:
        list(socket)
        gone.set()

    with sending(STARTED, data("a"), failed(error="Streaming error: It broke."), then=until_gone) as server:
        came, error = read(form, server)
        assert gone.wait(10)
    assert came == ["a"]
    assert error is not None
    assert (error.reason, error.message) == ("EXECUTION_FAILED", "It broke.")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("nonsense", ["hello", b"\x00\xff", "[]", "{}"])
def test_frames_of_another_kind_end_a_stream(form: str, nonsense: str | bytes) -> None:
    with sending(STARTED, nonsense, COMPLETED) as server:
        _, error = read(form, server)
    assert error is not None
    # What was lost is a stream, whatever the reason.
    assert error.reason == "STREAM_INTERRUPTED"


@pytest.mark.parametrize("form", FORMS)
def test_a_stream_that_takes_longer_than_its_timeout_is_left(form: str) -> None:
    gone = threading.Event()

    def until_gone(socket: ServerConnection) -> None:
        list(socket)
        gone.set()

    with sending(STARTED, data("a"), then=until_gone) as server:
        came, error = read(form, server, timeout=0.2)
        assert gone.wait(10)
    assert came == ["a"]
    assert error is not None
    assert (error.reason, error.message) == ("TIMEOUT", "The call timed out after 0.2 s.")


@pytest.mark.parametrize("form", FORMS)
def test_a_server_that_accepts_and_says_nothing_times_out(form: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = {"host": "127.0.0.1", "port": silent.getsockname()[1], "transport": "http"}
        for tag in ("any", "any_stream"):
            error = error_of_call(form, tag, options=address | {"timeout": 0.2})
            assert (error.reason, error.message) == ("TIMEOUT", "The call timed out after 0.2 s.")


@pytest.mark.parametrize("form", FORMS)
def test_an_answer_that_drips_times_out(form: str) -> None:
    with dripping() as address:
        error = error_of_call(
            form, "any", options={"base_url": f"http://{address}", "timeout": 0.3, "transport": "http"}
        )
    assert error.reason == "TIMEOUT"


def published(address: Address) -> Address:
    """The address of a server that was asked already, and is none of ours."""
    return replace(address, resumable=False)


def patient_client(address: Address, patience: KeepaliveTimeouts) -> RunAgentClient:
    client = RunAgentClient("chat", "any_stream", base_url=f"http://{address}", transport="http")
    client._connection._transport = HttpTransport(address, None, patience=patience)
    return client


def patient_async_client(address: Address, patience: KeepaliveTimeouts) -> AsyncRunAgentClient:
    client = AsyncRunAgentClient("chat", "any_stream", base_url=f"http://{address}", transport="http")
    connection = client._connection
    connection._transport = AsyncHttpTransport(address, None, patience=patience)
    connection._loop = asyncio.get_running_loop()
    return client


def test_a_server_that_answers_no_ping_fell_silent() -> None:
    with mute(STARTED, data("a")) as address, patient_client(published(address), IMPATIENT) as client:
        stream = client.run_stream()
        assert next(stream) == "a"
        with pytest.raises(RunAgentError) as caught:
            next(stream)
    assert (caught.value.reason, caught.value.message) == (
        "STREAM_INTERRUPTED",
        "The server fell silent for 0.3 s.",
    )
    assert caught.value.invocation_id == "the-invocation"


@on_a_loop
async def test_a_server_that_answers_no_ping_fell_silent_on_a_loop() -> None:
    with mute(STARTED, data("a")) as address:
        async with patient_async_client(published(address), IMPATIENT) as client:
            stream = client.run_stream()
            assert await anext(stream) == "a"
            with pytest.raises(RunAgentError) as caught:
                await anext(stream)
    assert (caught.value.reason, caught.value.message) == (
        "STREAM_INTERRUPTED",
        "The server fell silent for 0.3 s.",
    )


def after_many_pings(socket: ServerConnection) -> None:
    threading.Event().wait(0.3)
    socket.send(data("b"))
    socket.send(COMPLETED)


def test_a_silent_server_that_answers_pings_is_waited_for() -> None:
    patience = KeepaliveTimeouts(ping_after=0.02, pong_within=10)
    with (
        sending(STARTED, data("a"), then=after_many_pings) as server,
        patient_client(server.address, patience) as client,
    ):
        assert list(client.run_stream()) == ["a", "b"]


@on_a_loop
async def test_a_silent_server_that_answers_pings_is_waited_for_on_a_loop() -> None:
    patience = KeepaliveTimeouts(ping_after=0.02, pong_within=10)
    with sending(STARTED, data("a"), then=after_many_pings) as server:
        async with patient_async_client(server.address, patience) as client:
            assert [chunk async for chunk in client.run_stream()] == ["a", "b"]


def test_a_caller_who_takes_their_time_is_not_a_server_that_fell_silent() -> None:
    with (
        sending(STARTED, data("a"), data("b"), COMPLETED) as server,
        patient_client(server.address, IMPATIENT) as client,
    ):
        stream = client.run_stream()
        came = [next(stream)]
        # For longer than a server may be silent.
        threading.Event().wait(0.5)
        came += stream
    assert came == ["a", "b"]


TOLD = {"code": "AUTHENTICATION_ERROR", "message": "The key is wrong."}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("status", "body", "reason", "words"),
    [
        (401, {"success": False, "error": TOLD}, "AUTHENTICATION_ERROR", "The key is wrong."),
        (403, None, "PERMISSION_ERROR", "HTTP status 403"),
        (404, {"detail": "Not Found"}, "AGENT_NOT_FOUND", "Agent not found"),
        (404, None, "CONNECTION_ERROR", "is not a RunAgent server"),
        (429, None, "OVERLOADED", "HTTP status 429"),
        (503, None, "CONNECTION_ERROR", "HTTP status 503"),
    ],
)
def test_a_refusal_is_the_same_error_for_a_run_and_a_stream(
    form: str, status: int, body: Any, reason: str, words: str
) -> None:
    text = b"" if body is None else json.dumps(body).encode()
    with refusing(status, text, {"retry-after": "7"}) as server:
        _, of_stream = read(form, server)
    with answering(status, text, {"retry-after": "7"}) as server, pytest.raises(RunAgentError) as caught:
        run(form, server)
    assert of_stream is not None
    for error in (of_stream, caught.value):
        assert (error.reason, words in error.message) == (reason, True)
        assert error.retry_after == (7.0 if "RunAgent server" not in error.message else None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(form: str, status: int) -> None:
    with sending(STARTED, COMPLETED) as elsewhere, answering(200, {"success": True, "data": None}) as another:
        with refusing(status, b"", {"location": f"ws://{elsewhere.address}/"}) as server:
            _, error = read(form, server, api_key=KEY)
        redirecting = answering(status, b"", {"location": f"http://{another.address}/"})
        with redirecting as server, pytest.raises(RunAgentError) as caught:
            run(form, server, api_key=KEY)
        assert elsewhere.paths == another.paths == []
    assert error is not None
    assert error.reason == caught.value.reason == "CONNECTION_ERROR"


@pytest.mark.parametrize("form", FORMS)
def test_what_a_client_takes_has_a_limit(form: str) -> None:
    large = "x" * (MAX_MESSAGE_BYTES + 1)
    with sending(STARTED, large) as server:
        _, error = read(form, server)
    with answering(200, large.encode()) as server, pytest.raises(RunAgentError) as caught:
        run(form, server)
    assert error is not None
    assert error.reason == caught.value.reason == "PAYLOAD_TOO_LARGE"


@pytest.mark.parametrize("form", FORMS)
def test_what_speaks_no_http_is_no_runagent_server(form: str) -> None:
    for tag in ("any", "any_stream"):
        with speaking(b"SSH-2.0-OpenSSH_9.0\r\n\r\n") as address:
            error = error_of_call(form, tag, options={"base_url": f"http://{address}", "transport": "http"})
        assert (error.reason, error.message) == (
            "CONNECTION_ERROR",
            f"What answers at {address} is not a RunAgent server.",
        )
