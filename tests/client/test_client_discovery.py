from __future__ import annotations

import asyncio
import dataclasses
import http.client
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from runagent_grpc.client import AsyncRunAgentClient
from runagent_grpc.client.address import Address
from runagent_grpc.client.discovery import discover, find_server
from runagent_grpc.testing import serving
from tests.client.calling import FORMS, called, error_of_call


class WebServer(http.server.ThreadingHTTPServer):
    """Answers `GET /api/v1` as it is told, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status, self.body, self.headers = status, body, headers
        self.asked: list[tuple[str, str | None]] = []
        """The paths, each with the authorization that came along."""

    @property
    def address(self) -> Address:
        return Address(host="127.0.0.1", port=self.server_port)


class _Answer(http.server.BaseHTTPRequestHandler):
    server: WebServer

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("authorization")))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None: ...


@contextmanager
def answering(body: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Iterator[WebServer]:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    with WebServer(status, text, headers or {}) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("tls", [True, False])
def test_a_server_that_names_a_grpc_port_is_spoken_to_there_on_the_same_host(tls: bool) -> None:
    with answering({"grpc": {"port": 1234, "tls": tls, "host": "elsewhere"}, "more": 1}) as server:
        found = discover(server.address, None)
        assert server.asked == [("/api/v1", None)]

    assert found == Address(host="127.0.0.1", port=1234, tls=tls, transport="grpc")


@pytest.mark.parametrize("form", FORMS)
def test_a_client_finds_its_way_from_the_http_port(form: str) -> None:
    with serving({"one": lambda value: value}) as server, answering({"grpc": {"port": server.grpc_port}}) as web:
        assert called(form, "one", 1, options={"host": "127.0.0.1", "port": web.server_port}) == 1
        assert called(form, "one", 1, options={"base_url": f"http://127.0.0.1:{web.server_port}"}) == 1


@pytest.mark.parametrize(
    "body",
    [{}, {"agent": "x"}, {"grpc": None}, {"grpc": {}}, {"grpc": {"port": "1"}}, {"grpc": {"port": 0}}, {"grpc": [1]}],
)
def test_a_server_that_names_no_grpc_port_speaks_rest_and_websocket(body: dict[str, Any]) -> None:
    with answering(body) as server:
        assert discover(server.address, None) == replace(server.address, transport="http")


@pytest.mark.parametrize(("status", "code"), [(401, "AUTHENTICATION_ERROR"), (403, "PERMISSION_ERROR")])
def test_a_server_that_refuses_the_key_is_left_to_say_so(status: int, code: str) -> None:
    with answering({"success": False, "error": {"code": code, "message": "No."}}, status=status) as server:
        assert discover(server.address, "wrong") == replace(server.address, transport="http")


@pytest.mark.parametrize("form", FORMS)
def test_a_client_with_the_wrong_key_is_told_so_by_either_port(form: str) -> None:
    with serving({"one": lambda: 1}, api_keys=("right-enough",)) as server:
        for port in (server.grpc_port, server.http_port):
            error = error_of_call(form, "one", options={"host": server.host, "port": port, "api_key": "wrong"})
            assert error.reason == "AUTHENTICATION_ERROR"
        assert (
            called(form, "one", options={"host": server.host, "port": server.http_port, "api_key": "right-enough"}) == 1
        )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (503, b"upstream connect error"),
        (404, b"{}"),
        (401, {"grpc": {"port": 1234}}),
        (500, {"grpc": {"port": 1234}}),
        (401, {"error": {"code": "NO_KEY"}}),
        (401, {"error": "AUTHENTICATION_ERROR"}),
        (204, b""),
        (200, b"<html></html>"),
        (200, b""),
        (200, ["grpc"]),
        (200, "grpc"),
        (200, 1),
        (200, None),
        (200, b'{"grpc": {"port": 1234}'),
        (200, b"\xff\xfe"),
        (200, b"[" * 60_000),
        (200, b'{"grpc": {"port": 1234}, "more": "' + b"x" * 100_000 + b'"}'),
    ],
    ids=lambda value: str(value)[:30],
)
def test_any_other_answer_means_grpc_on_the_given_port(status: int, body: Any) -> None:
    with answering(body, status=status) as server:
        assert discover(server.address, None) == server.address


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with answering({"grpc": {"port": 1234}}) as elsewhere:
        target = {"location": f"http://127.0.0.1:{elsewhere.server_port}/api/v1"}
        with answering(b"", status=status, headers=target) as server:
            assert discover(server.address, "key") == server.address
        assert elsewhere.asked == []


def test_a_grpc_port_is_told_by_its_refusal() -> None:
    with serving({"one": lambda: 1}) as server:
        address = Address(host=server.host, port=server.grpc_port)
        assert discover(address, None) == address


def test_nobody_there_means_grpc_on_the_given_port() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        address = Address(host="127.0.0.1", port=listener.getsockname()[1])
    assert discover(address, None) == address


def test_a_server_that_says_nothing_means_grpc_on_the_given_port() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        address = Address(host="127.0.0.1", port=listener.getsockname()[1])
        assert discover(address, None) == address


@pytest.mark.parametrize("host", ["a b", "nul\x00", "x" * 300, "no.such.host.invalid"])
def test_a_host_that_is_none_means_grpc_which_will_say_so(host: str) -> None:
    address = Address(host=host, port=1)
    assert discover(address, None) == address


def test_a_port_that_speaks_no_tls_means_grpc_on_the_given_port() -> None:
    with answering({}) as server:
        address = Address(host="127.0.0.1", port=server.server_port, tls=True)
        assert discover(address, None) == address
        assert server.asked == []


def test_a_client_told_to_speak_grpc_asks_nobody() -> None:
    with answering({}) as server:
        address = Address(host="127.0.0.1", port=server.server_port, transport="grpc")
        assert discover(address, None) == address
        assert server.asked == []


def test_a_client_told_to_speak_http_asks_nobody() -> None:
    with answering({"grpc": {"port": 1234}}) as server:
        address = Address(host="127.0.0.1", port=server.server_port, transport="http")
        assert find_server(address, None) == address
        assert server.asked == []


def test_a_grpc_port_that_answers_is_spoken_to() -> None:
    with serving({"one": lambda: 1}) as server, answering({"grpc": {"port": server.grpc_port}}) as web:
        assert find_server(web.address, None).port == server.grpc_port


def test_a_grpc_port_where_nobody_is_leads_back_to_rest_and_websocket() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with answering({"grpc": {"port": port}}) as web:
        assert find_server(web.address, None) == replace(web.address, transport="http")


@pytest.mark.parametrize("tls", [True, False])
def test_a_grpc_port_that_says_nothing_or_something_else_leads_back_within_a_second(tls: bool) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        for port in (silent.getsockname()[1], None):
            with answering({}) as web:
                web.body = json.dumps({"grpc": {"port": port or web.server_port, "tls": tls}}).encode()
                began = time.monotonic()
                assert find_server(web.address, None) == replace(web.address, transport="http")
                assert time.monotonic() - began < 1.5


def test_the_key_goes_along_where_there_is_one() -> None:
    with answering({"grpc": {"port": 1234}}) as server:
        discover(server.address, "right-key")
        assert server.asked == [("/api/v1", "Bearer right-key")]


def test_a_client_asks_once() -> None:
    async def twice(port: int) -> None:
        async with AsyncRunAgentClient(None, "one", host="127.0.0.1", port=port) as client:
            await asyncio.gather(client.run(), client.run())
            await client.run()

    with serving({"one": lambda: 1}) as server, answering({"grpc": {"port": server.grpc_port}}) as web:
        asyncio.run(twice(web.server_port))
        # Two tasks that begin at once may both ask, and whoever comes later does not.
        assert 1 <= len(web.asked) <= 2


def test_a_caller_who_asks_for_tls_gets_no_connection_without_it() -> None:
    with answering({"grpc": {"port": 4711, "tls": False}}) as server:
        asked_in_clear = discover(server.address, None)
        with pytest.MonkeyPatch.context() as patch:
            # The question goes out in clear, for the fake server has no certificate; the answer is taken as TLS's.
            patch.setattr(http.client, "HTTPSConnection", _in_clear)
            asked_in_tls = discover(dataclasses.replace(server.address, tls=True), None)

    assert (asked_in_clear.port, asked_in_clear.tls) == (4711, False)
    assert (asked_in_tls.port, asked_in_tls.tls) == (4711, True)


def _in_clear(host: str, port: int, *, timeout: float, context: Any) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(host, port, timeout=timeout)
