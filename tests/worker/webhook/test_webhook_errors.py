"""How a webhook's call fails: each trouble by its own text, and none that gives the address away."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.lint import review_agent
from runagent_grpc.worker import InvalidAgentError
from runagent_grpc.worker.webhook.errors import WebhookError, WebhookTimeoutError
from runagent_grpc.worker.webhook.function import webhook_function
from tests.waiting import on_a_loop, soon
from tests.worker.webhook.target import Answer, Request, answering, begin, chunk, hook, listening, reply, target

SECRET = "5f2c-secret-9a"  # noqa: S105 - stands for one


async def failure_at(url: str, payload: Any = None, **changes: Any) -> WebhookError:
    """Calls a webhook at an address that is full of secrets, and returns what it failed with."""
    scheme, _, rest = url.partition("://")
    url = f"{scheme}://user:{SECRET}@{rest}/{SECRET}?token={SECRET}"
    with pytest.raises(WebhookError) as caught:
        await webhook_function(hook(url, **changes))(payload)
    error: BaseException | None = caught.value
    assert str(error).endswith(".")
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return caught.value


async def failure_of(answer: Answer, payload: Any = None, **changes: Any) -> str:
    async with target(answer) as there:
        error = await failure_at(there.url, payload, **changes)
        assert str(there.port) not in str(error)
    return str(error)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, "The webhook answered 500 Internal Server Error. Try again later, or see its own log."),
        (502, "The webhook answered 502 Bad Gateway. Try again later, or see its own log."),
        (404, "The webhook answered 404 Not Found. Correct `webhook_url` and `method`, and see that"),
        (401, "The webhook answered 401 Unauthorized. Put the credentials that it asks for into"),
        # Its number would make published clients speak of a key of their own.
        (403, "The webhook answered Forbidden. Put the credentials that it asks for into"),
        (422, "The webhook answered 422 Unprocessable Entity. See which payload it expects."),
        (429, "The webhook answered 429 Too Many Requests. Try again later, and less often."),
        (599, "The webhook answered 599. Try again later, or see its own log."),
        (302, "The webhook answered 302: it is somewhere else. Name the place itself in `webhook_url`, or set"),
        (304, "The webhook answered 304: it is somewhere else."),
    ],
)
def test_a_status_that_is_no_success_is_said_with_what_to_do(status: int, text: str) -> None:
    @on_a_loop
    async def test() -> None:
        said = await failure_of(answering(f"details {SECRET}", "text/plain", status=status, Location="/elsewhere"))
        assert said.startswith(text)

    test()


@on_a_loop
async def test_a_host_that_refuses_is_told_from_one_that_is_not_found() -> None:
    refused = await failure_at(f"http://127.0.0.1:{unused_port()}")
    assert str(refused).startswith("The webhook's host 127.0.0.1 refuses connections. Start what answers there")
    nowhere = await failure_at("http://no-such-host.invalid")
    assert str(nowhere).startswith("The webhook's host no-such-host.invalid has no address. Correct `webhook_url`")


@on_a_loop
async def test_a_host_without_tls_is_told_apart() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reply(writer, "", status=400)

    async with listening(serve) as port:
        error = await failure_at(f"https://127.0.0.1:{port}")
    assert "speaks no TLS that is understood" in str(error)


@on_a_loop
async def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reply(writer, "hello", "text/plain", Connection="close")

    async with listening(serve, own_certificate(tmp_path)) as port:
        error = await failure_at(f"https://localhost:{port}")
        assert "cannot be trusted: self-signed certificate. Correct its certificate" in str(error)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        assert await webhook_function(hook(f"https://localhost:{port}"))() == "hello"
        error = await failure_at(f"https://127.0.0.1:{port}")
        assert "cannot be trusted: IP address mismatch" in str(error)


@on_a_loop
async def test_what_a_target_sends_beyond_its_answer_reaches_no_other_call_by_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                # In two of TLS's records, of which the first is the answer.
                reply(writer, "ours", "text/plain")
                reply(writer, "someone's", "text/plain")

    async with listening(serve, own_certificate(tmp_path)) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        call = webhook_function(hook(f"https://localhost:{port}"))
        assert [await call() for _ in range(3)] == ["ours"] * 3


def own_certificate(folder: Path) -> ssl.SSLContext:
    """Returns what a server for localhost needs, with a certificate of its own making."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", key, "-out", cert),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def raw(data: bytes, *, close: bool = True) -> Answer:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if close:
            await writer.drain()
            writer.close()
        else:
            await asyncio.Event().wait()

    return answer


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "broke off before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Ty", "broke off before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "broke off before its answer was complete"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nha", "broke off before its answer was complete"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "is no HTTP that can be read"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", "is no HTTP that can be read"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Flood: " + b"x" * 200_000, "is no HTTP that can be read"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Flood: 1\r\n" * 100_000, "is no HTTP that can be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "is no HTTP that can be read"),
    ],
)
def test_an_answer_that_breaks_the_rules_of_http_is_a_failure(data: bytes, text: str) -> None:
    @on_a_loop
    async def test() -> None:
        assert text in await failure_of(raw(data))

    test()


@on_a_loop
async def test_a_target_that_ends_its_half_of_the_connection_has_ended_its_answer() -> None:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        writer.write_eof()
        await asyncio.Event().wait()

    assert "broke off" in await failure_of(answer)


async def silent(_: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def dripping(_: Request, writer: asyncio.StreamWriter) -> None:
    begin(writer, "text/plain")
    while True:
        await chunk(writer, "x")
        await asyncio.sleep(0.01)


async def promising(_: Request, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [silent, dripping, promising])
def test_the_timeout_is_for_the_whole_of_a_plain_call(answer: Answer) -> None:
    @on_a_loop
    async def test() -> None:
        async with target(answer) as there:
            began = asyncio.get_running_loop().time()
            error = await failure_at(there.url, timeout=0.3)
            assert asyncio.get_running_loop().time() - began < 2.0
            assert isinstance(error, WebhookTimeoutError)
            assert "timed out" in str(error)
            await soon(lambda: there.ended == 1)

    test()


@on_a_loop
async def test_a_target_that_accepts_and_then_reads_nothing_times_out() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        error = await failure_at(f"http://127.0.0.1:{listener.getsockname()[1]}", "x" * 2**24, timeout=0.3)
    assert isinstance(error, WebhookTimeoutError)


@on_a_loop
async def test_a_target_that_never_gets_to_tls_is_let_go_of() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()
        ended.set()

    async with listening(serve) as port:
        error = await failure_at(f"https://127.0.0.1:{port}", timeout=0.3)
        assert isinstance(error, WebhookTimeoutError)
        await asyncio.wait_for(ended.wait(), 10)


def test_authorities_that_cannot_be_read_are_told_when_the_agent_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all.pem")
    with pytest.raises(InvalidAgentError, match="SSL_CERT_FILE and SSL_CERT_DIR name no certificates"):
        webhook_function(hook("https://localhost/hook"))
    webhook_function(hook("http://localhost/hook"))


def test_authorities_that_cannot_be_read_hide_no_other_mistake_and_are_told_once(
    monkeypatch: pytest.MonkeyPatch, make_folder: Callable[..., Path], problems_of: Callable[[Path], tuple[str, ...]]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/at/all.pem")
    hooks = [{"tag": tag, "webhook_url": "https://example.com/x", "method": "POST"} for tag in "ab"]
    folder = make_folder(entrypoints=[*hooks, {"tag": "c", "file": "missing.py", "module": "c"}])
    authorities, missing = problems_of(folder)
    assert authorities.startswith("The environment's SSL_CERT_FILE")
    assert "`missing.py`" in missing
    assert [finding.kind for finding in review_agent(folder).findings] == ["environment", "entrypoint"]


@on_a_loop
async def test_a_target_may_answer_before_it_has_read_the_payload() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reply(writer, "early", "text/plain")
        while await reader.read(2**16):
            pass

    async with listening(serve) as port:
        call = webhook_function(hook(f"http://127.0.0.1:{port}"))
        assert await call("x" * 2**22) == "early"


@on_a_loop
async def test_a_caller_that_leaves_takes_the_connection_along() -> None:
    async with target(silent) as there:
        calling = asyncio.ensure_future(webhook_function(hook(there.url))())
        await soon(lambda: there.requests)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await soon(lambda: there.ended == 1)


Call = Callable[..., Awaitable[Any]]


@on_a_loop
async def test_a_failure_costs_the_next_call_nothing() -> None:
    answers = iter([raw(b"SSH-2.0\r\n"), answering("no", "text/plain", status=500), silent, answering("1")])

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        await next(answers)(request, writer)

    async with target(answer) as there:
        call: Call = webhook_function(hook(there.url, timeout=0.3))
        for _ in range(3):
            with pytest.raises(WebhookError):
                await call()
        assert await call() == 1
