from __future__ import annotations

import asyncio
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import grpc
import pytest

from runagent_grpc import errors
from runagent_grpc._gen.runagent.v1 import payload_pb2
from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient, RunAgentError
from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import serving
from tests.client.calling import FORMS, called, error_of_call
from tests.client.fakes import INVOCATION_ID, chunks, completed, heartbeat, scripted, started
from tests.waiting import eventually

KEY = "right-key-5f1e"


def one(value: Any = None) -> Any:
    return value


def typed(count: int) -> int:
    return count


def fail(text: str) -> None:
    raise LookupError(text)


def fail_stream(*before: int) -> Iterator[int]:
    yield from before
    raise LookupError("It broke.")


async def endless() -> None:
    await asyncio.Event().wait()


ENTRYPOINTS: dict[str, Any] = {
    "one": one,
    "one_stream": one,
    "typed": typed,
    "fail": fail,
    "fail_stream": fail_stream,
    "endless": endless,
    "endless_stream": endless,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("tag", "args", "error", "reason", "code", "field"),
    [
        ("nothing", (), errors.NotFoundError, "ENTRYPOINT_NOT_FOUND", "NOT_FOUND", None),
        ("nothing_stream", (), errors.NotFoundError, "ENTRYPOINT_NOT_FOUND", "NOT_FOUND", None),
        ("typed", ("many",), errors.InvalidRequestError, "VALIDATION_ERROR", "VALIDATION_ERROR", "count"),
        ("typed", (), errors.InvalidRequestError, "VALIDATION_ERROR", "VALIDATION_ERROR", "count"),
        ("one", ("\ud800",), errors.InvalidRequestError, "VALIDATION_ERROR", "VALIDATION_ERROR", "args[0]"),
        ("one", (10**4300,), errors.InvalidRequestError, "VALIDATION_ERROR", "VALIDATION_ERROR", "args[0]"),
        ("", (), errors.InvalidRequestError, "VALIDATION_ERROR", "VALIDATION_ERROR", "entrypoint_tag"),
        ("fail", ("It broke.",), errors.ExecutionFailedError, "EXECUTION_FAILED", "INTERNAL_ERROR", None),
        ("fail_stream", (), errors.ExecutionFailedError, "EXECUTION_FAILED", "INTERNAL_ERROR", None),
        ("one", (bytes(33 << 20),), errors.ResourceExhaustedError, "PAYLOAD_TOO_LARGE", "PAYLOAD_TOO_LARGE", None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_every_failure_is_told_by_its_class_its_reason_and_its_code(
    form: str, tag: str, args: tuple[Any, ...], error: type[RunAgentError], reason: str, code: str, field: str | None
) -> None:
    with serving(ENTRYPOINTS) as server:
        raised = error_of_call(form, tag, *args, options={"base_url": f"grpc://{server.target}"})

    assert type(raised) is error
    assert (raised.reason, raised.code, raised.field) == (reason, code, field)
    assert raised.message == str(raised) != ""


def test_an_unknown_agent_is_told() -> None:
    with serving(ENTRYPOINTS) as server, RunAgentClient("other", "one", base_url=f"grpc://{server.target}") as client:
        for call in (client.run, client.get_agent):
            with pytest.raises(errors.NotFoundError, match="Agent not found"):
                call()


@pytest.mark.parametrize("form", FORMS)
def test_a_plain_entrypoint_is_not_streamed(form: str) -> None:
    async def stream_soon() -> None:
        async with AsyncRunAgentClient(None, "one", base_url=f"grpc://{server.target}") as client:
            await anext(client.run_stream())

    def stream() -> None:
        asyncio.run(stream_soon()) if form == "async" else next(server.client("one").run_stream())

    with serving(ENTRYPOINTS) as server, pytest.raises(errors.InvalidRequestError) as caught:
        stream()

    assert caught.value.reason == "NON_STREAM_ENTRYPOINT"
    assert "is not a streaming entrypoint" in caught.value.message


@pytest.mark.parametrize("form", FORMS)
def test_a_failed_run_knows_its_invocation(form: str) -> None:
    with serving(ENTRYPOINTS) as server:
        raised = error_of_call(form, "fail", "ünï\n" * 1000, options={"base_url": f"grpc://{server.target}"})
        assert raised.invocation_id
        record = server.engine.find(raised.invocation_id)

    assert record.error is not None
    assert record.error.message == "ünï\n" * 1000
    assert raised.message.startswith("ünï\n")


@pytest.mark.parametrize("form", FORMS)
def test_a_failed_stream_gives_its_chunks_first_and_knows_its_invocation(form: str) -> None:
    came: list[Any] = []
    with serving(ENTRYPOINTS) as server:
        options = {"base_url": f"grpc://{server.target}"}
        raised = error_of_call(form, "fail_stream", 1, 2, 3, chunks=came, options=options)
        assert raised.invocation_id
        assert server.engine.find(raised.invocation_id).chunk_count == 3

    assert came == [1, 2, 3]
    assert raised.message == "It broke."


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", ["endless", "endless_stream"])
def test_a_timeout_is_kept_and_ends_the_work(form: str, tag: str) -> None:
    with serving(ENTRYPOINTS) as server:
        raised = error_of_call(form, tag, options={"base_url": f"grpc://{server.target}", "timeout": 0.2})
        eventually(lambda: server.engine.active == 0)

    assert isinstance(raised, errors.DeadlineExceededError)
    assert (raised.reason, raised.code) == ("TIMEOUT", "TIMEOUT_ERROR")
    assert "timed out after 0." in raised.message


@pytest.mark.parametrize("form", FORMS)
def test_a_full_server_tells_when_to_come_back(form: str) -> None:
    with serving(ENTRYPOINTS, engine=EngineSettings(max_invocations=0, max_queued=0)) as server:
        raised = error_of_call(form, "one", options={"base_url": f"grpc://{server.target}"})

    assert (raised.reason, raised.code) == ("OVERLOADED", "OVERLOADED")
    assert raised.retry_after == 1.0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", ["one", "one_stream"])
@pytest.mark.parametrize("key", [None, "wrong-key"])
def test_a_refused_key_is_told_with_what_to_do(form: str, tag: str, key: str | None) -> None:
    with serving(ENTRYPOINTS, api_keys=(KEY,)) as server:
        options = {"base_url": f"grpc://{server.target}"}
        raised = error_of_call(form, tag, options=options | ({"api_key": key} if key else {}))
        assert called(form, "one", 1, options=options | {"api_key": KEY}) == 1

    assert isinstance(raised, errors.AuthenticationError)
    assert raised.code == "AUTHENTICATION_ERROR"
    assert raised.suggestion is not None
    assert "RUNAGENT_API_KEY" in raised.suggestion
    assert "wrong-key" not in raised.message + raised.suggestion


def test_the_key_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNAGENT_API_KEY", KEY)
    with serving(ENTRYPOINTS, api_keys=(KEY,)) as server:
        assert called("sync", "one", 1, options={"base_url": f"grpc://{server.target}"}) == 1
        raised = error_of_call("sync", "one", options={"base_url": f"grpc://{server.target}", "api_key": "wrong-key"})
    assert raised.code == "AUTHENTICATION_ERROR"


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", ["one", "one_stream"])
@pytest.mark.parametrize("transport", ["auto", "grpc"])
def test_a_server_that_is_not_there_is_told_with_its_address(form: str, tag: str, transport: str) -> None:
    port = free_port()
    raised = error_of_call(form, tag, options={"host": "127.0.0.1", "port": port, "transport": transport})

    assert isinstance(raised, errors.UnavailableError)
    assert (raised.reason, raised.code) == ("CONNECTION_ERROR", "CONNECTION_ERROR")
    assert raised.message == f"No server answers at 127.0.0.1:{port}."
    assert raised.suggestion
    assert "runagent serve" in raised.suggestion


@contextmanager
def web_server() -> Iterator[int]:
    """Somebody else's server, which answers 404 to everything."""

    class NotFound(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NotFound) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def other_grpc_server() -> Iterator[int]:
    """A gRPC server of somebody else's, with none of our services."""
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port
        server.stop(None).wait()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tag", ["one", "one_stream"])
@pytest.mark.parametrize("somebody_else", [web_server, other_grpc_server])
def test_a_port_of_somebody_elses_is_told(form: str, tag: str, somebody_else: Any) -> None:
    with somebody_else() as port:
        raised = error_of_call(form, tag, options={"host": "127.0.0.1", "port": port})

    assert isinstance(raised, errors.UnavailableError)
    assert raised.message == f"What answers at 127.0.0.1:{port} is not a RunAgent server's gRPC port."
    assert raised.suggestion
    assert "port" in raised.suggestion


@pytest.mark.parametrize("form", FORMS)
def test_a_server_that_dies_mid_stream_is_never_a_silent_end(form: str) -> None:
    script = """
import sys, time
from runagent_grpc.testing import serving

def endless_stream():
    yield 1
    time.sleep(60)

with serving({"endless_stream": endless_stream}) as server:
    print(server.target, flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            target = process.stdout.readline().strip()

            class Killing(list[Any]):
                def append(self, chunk: Any) -> None:
                    super().append(chunk)
                    os.kill(process.pid, signal.SIGKILL)

            came = Killing()
            options = {"base_url": f"grpc://{target}", "retry_seconds": 0}
            raised = error_of_call(form, "endless_stream", chunks=came, options=options)
        finally:
            process.kill()

    assert came == [1]
    assert (raised.reason, raised.code) == ("STREAM_INTERRUPTED", "CONNECTION_ERROR")
    assert raised.message == "The connection to the server was lost."
    assert raised.invocation_id
    assert raised.details


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("events", "chunks_before", "words"),
    [
        ([], [], "ended before the entrypoint did"),
        ([started()], [], "ended before the entrypoint did"),
        ([started(), chunks(1, "a", "b")], ["a", "b"], "ended before the entrypoint did"),
        ([started(), chunks(2, "b")], [], "Chunk 1 is missing"),
        ([started(), chunks(1, "a"), chunks(3, "c"), completed(3)], ["a"], "Chunk 2 is missing"),
        ([started(), chunks(1, "a"), completed(2)], ["a"], "produced 2 chunks, and 1 came"),
    ],
)
def test_a_stream_with_something_missing_is_never_a_success(
    form: str, events: list[Any], chunks_before: list[str], words: str
) -> None:
    came: list[Any] = []
    with scripted(*events) as server:
        options = {"base_url": server.base_url, "retry_seconds": 0}
        raised = error_of_call(form, "any_stream", chunks=came, options=options)

    assert raised.reason == "STREAM_INTERRUPTED"
    assert words in raised.message
    assert came == chunks_before
    assert raised.invocation_id == (INVOCATION_ID if events else None)


@pytest.mark.parametrize("form", FORMS)
def test_a_chunk_that_comes_again_is_dropped(form: str) -> None:
    events = [started(), chunks(1, "a", "b"), chunks(1, "a", "b"), chunks(2, "b", "c"), started(), completed(3)]
    with scripted(*events) as server:
        assert called(form, "any_stream", options={"base_url": server.base_url}) == ["a", "b", "c"]


@pytest.mark.parametrize("form", FORMS)
def test_an_event_of_a_later_contract_is_ignored(form: str) -> None:
    unknown = type(started()).FromString(b"\xc2\x3e\x02hi")  # field 1000
    events = [started(), unknown, chunks(1, "a"), unknown, heartbeat(), completed(1)]
    with scripted(*events) as server:
        assert called(form, "any_stream", options={"base_url": server.base_url}) == ["a"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, "9" * 5000])
def test_a_value_that_is_none_is_an_error_of_ours(form: str, text: str) -> None:
    broken = payload_pb2.Payload(json=text)
    event = chunks(1, "")
    event.chunks.values[0].CopyFrom(broken)
    with scripted(started(), event, completed(1), result=broken) as server:
        server.go_on.set()
        for tag in ("any", "any_stream"):
            raised = error_of_call(form, tag, options={"base_url": server.base_url})
            assert isinstance(raised, errors.InternalError)
            assert raised.message == "The server sent a value that is no JSON."


@pytest.mark.parametrize("client", [RunAgentClient, AsyncRunAgentClient])
@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": "5"}, "timeout"),
        ({"retry_seconds": -1}, "retry_seconds"),
        ({"retry_seconds": float("nan")}, "retry_seconds"),
        ({"retry_seconds": None}, "retry_seconds"),
        ({"on_disconnect": "stay"}, "on_disconnect"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"port": "80"}, "port"),
        ({"port": None}, "port"),
        ({"host": ""}, "host"),
        ({"host": "http://localhost"}, "host"),
        ({"transport": "smoke"}, "transport"),
        ({"api_key": "two\nlines"}, "api_key"),
        ({"api_key": "ünï"}, "api_key"),
        ({"agent_id": 5}, "agent_id"),
        ({"entrypoint_tag": "\ud800"}, "entrypoint_tag"),
        ({"user_id": "\ud800"}, "user_id"),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_named_at_once(client: Any, options: dict[str, Any], field: str) -> None:
    with pytest.raises(errors.InvalidRequestError) as caught:
        client(**{"host": "127.0.0.1", "port": 1} | options)

    assert (caught.value.field, caught.value.code) == (field, "VALIDATION_ERROR")
    assert f"`{field}`" in caught.value.message
    if field == "api_key":
        assert options["api_key"] not in str(caught.value)


def test_a_name_that_no_message_holds_is_refused() -> None:
    with serving(ENTRYPOINTS) as server, pytest.raises(errors.InvalidRequestError, match="kwargs"):
        server.client("one").run(**{"\ud800": 1})
