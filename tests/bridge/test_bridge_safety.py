"""Hosts and origins: what a web page that the user happens to visit can do to a server on this machine. Nothing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from runagent_grpc.testing import RunningServer, serving
from tests.bridge.http_helpers import AGENT, ask, conversation, masked

METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]
PATHS = ["/", "/health", "/api/v1", f"{AGENT}/run", f"{AGENT}/run-stream", "/docs", "/nothing"]

FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil.example",
    "evil.example@127.0.0.1:{port}",
    "127.0.0.1:{port}/evil",
    "0.0.0.0:{port}",
    "192.168.0.1:{port}",
    "[::2]:{port}",
    "[::1",
    "localhost:99999",
    "",
]

FOREIGN_ORIGINS = [
    "http://evil.example",
    "https://evil.example:8450",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "http://evil.example#localhost",
    "http://evil.example@localhost",
    "http://localhost/path",
    "null",
    "file://",
    "chrome-extension://localhost",
    "",
    "http://",
]

CROSS_SITE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
NAVIGATION = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}

LOCAL_ORIGINS = ["http://localhost:3000", "http://127.0.0.1:5173", "https://localhost", "http://[::1]:8080"]


def echo(value: Any = None) -> Any:
    return value


def echo_stream(*values: Any) -> Any:
    yield from values


def of(server: RunningServer, host: str) -> dict[str, str]:
    return {"host": host.format(port=server.http_port)}


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_request_that_names_another_host_is_refused_whatever_it_asks(host: str) -> None:
    with serving({"echo": echo}) as server:
        for method in METHODS:
            for path in PATHS:
                answer = ask(server, method, path, headers=of(server, host))
                # httptools itself refuses some.
                assert answer.status_code in (400, 403), (method, path)
        with pytest.raises(InvalidStatus) as caught:
            conversation(server, additional_headers=of(server, host))
    assert caught.value.response.status_code in (400, 403)


def test_a_refused_host_has_the_documented_body() -> None:
    with serving({"echo": echo}) as server:
        answer = ask(server, "GET", "/", headers={"host": "evil.example"})
    message = "The request names a host that this server is not known by."
    assert masked(answer.text) == (
        f'{{"success":false,"data":null,"message":"{message}","error":{{"code":"PERMISSION_ERROR","message":"{message}",'
        '"suggestion":"Call it by the address that it printed, or allow the name with --allowed-host.",'
        f'"details":null,"field":null,"reason":"PERMISSION_ERROR"}},"detail":"{message}",'
        '"timestamp":"TIME","request_id":"ID"}'
    )


def test_a_request_with_two_hosts_or_none_is_refused() -> None:
    with serving({"echo": echo}) as server:
        for head in (b"host: localhost\r\nhost: evil.example\r\n", b"host: evil.example\r\nhost: localhost\r\n", b""):
            with socket.create_connection((server.host, server.http_port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n" + head + b"connection: close\r\n\r\n")
                answer = connection.makefile("rb").read()
            assert answer.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize("path", ["/live", "/ready", "//ready/"])
@pytest.mark.parametrize("host", [b"host: evil.example\r\n", b"host: 10.0.0.7:8450\r\n", b"host:\r\n", b""])
def test_a_probe_may_name_any_host_or_none(host: bytes, path: str) -> None:
    with serving({"echo": echo}) as server, socket.create_connection((server.host, server.http_port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\n".encode() + host + b"connection: close\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.split(b" ", 2)[1] == b"200"
    assert b"access-control-allow-origin" not in answer


@pytest.mark.parametrize("path", ["/ready/x", "/live/../docs", "/api/v1/ready", "/health"])
def test_nothing_else_may_be_asked_by_any_name(path: str) -> None:
    with serving({"echo": echo}) as server:
        assert ask(server, "GET", path, headers={"host": "evil.example"}).status_code == 403
        assert ask(server, "POST", "/ready", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:{port}", "127.0.0.1:{port}", "127.0.0.2", "[::1]:{port}"])
def test_this_machine_goes_by_several_names(host: str) -> None:
    with serving({"echo": echo}) as server:
        assert ask(server, "GET", "/", headers=of(server, host)).status_code == 200


def test_a_host_may_be_allowed() -> None:
    with serving({"echo": echo}, allowed_hosts=("agent.internal",)) as server:
        assert ask(server, "GET", "/", headers={"host": "agent.internal:80"}).status_code == 200
        assert ask(server, "GET", "/", headers={"host": "other.internal"}).status_code == 403
    with serving({"echo": echo}, allowed_hosts=("*",)) as server:
        assert ask(server, "GET", "/", headers={"host": "any.example"}).status_code == 200


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_a_page_from_elsewhere_is_refused_whatever_it_asks(origin: str) -> None:
    with serving({"echo": echo}) as server:
        for method in METHODS:
            for path in PATHS:
                answer = ask(server, method, path, headers={"origin": origin})
                assert answer.status_code == 403, (method, path)
                assert "access-control-allow-origin" not in answer.headers
        with pytest.raises(InvalidStatus) as caught:
            conversation(server, additional_headers={"origin": origin})
        assert server.engine.active == 0
    assert caught.value.response.status_code == 403


def test_a_rebound_name_that_calls_itself_its_origin_is_refused() -> None:
    with serving({"echo": echo}) as server:
        headers = {"host": f"evil.example:{server.http_port}", "origin": f"http://evil.example:{server.http_port}"}
        assert ask(server, "POST", f"{AGENT}/run", json={"entrypoint_tag": "echo"}, headers=headers).status_code == 403


@pytest.mark.parametrize("origin", [*LOCAL_ORIGINS, "https://app.example"])
def test_local_pages_and_allowed_ones_may_call_and_read_the_answer(origin: str) -> None:
    with serving({"echo": echo, "echo_stream": echo_stream}, cors_origins=("https://app.example/",)) as server:
        headers = {"origin": origin}
        answer = ask(server, "POST", f"{AGENT}/run", json={"entrypoint_tag": "echo"}, headers=headers)
        failure = ask(server, "POST", f"{AGENT}/run", json={}, headers=headers)
        heard = conversation(server, {"entrypoint_tag": "echo_stream"}, additional_headers=headers)
    assert answer.json()["success"]
    assert answer.headers["access-control-allow-origin"] == failure.headers["access-control-allow-origin"] == origin
    assert "origin" in answer.headers["vary"].lower()
    assert "x-invocation-id" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert json.loads(heard.frames[-1])["status"] == "stream_completed"


def test_a_preflight_is_answered_without_a_key_and_promises_what_is_served() -> None:
    with serving({"echo": echo}, api_keys=("a-long-enough-key",)) as server:
        headers = {
            "origin": "http://localhost:3000",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type",
            "access-control-request-private-network": "true",
        }
        answer = ask(server, "OPTIONS", f"{AGENT}/run", headers=headers)
        refused = ask(server, "POST", f"{AGENT}/run", headers={"origin": "http://localhost:3000"})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-private-network"] == "true"
    # A page reads why it was refused, too.
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "http://localhost:3000")


def test_a_page_of_another_site_is_refused_whatever_it_asks_without_an_origin() -> None:
    with serving({"echo": echo}) as server:
        for method in METHODS:
            for path in [*PATHS, "/openapi.json", f"{AGENT}/invocations", "/api/v1/invocations/ID/stream"]:
                assert ask(server, method, path, headers=CROSS_SITE).status_code == 403, (method, path)
        with pytest.raises(InvalidStatus) as caught:
            conversation(server, additional_headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "websocket"})
        assert server.engine.active == 0
    assert caught.value.response.status_code == 403


def test_a_page_of_another_site_cannot_take_a_stream_over() -> None:
    go_on = threading.Event()

    def gated_stream() -> Iterator[int]:
        yield 1
        go_on.wait(30)
        yield 2

    with serving({"gated_stream": gated_stream}) as server:
        stream = server.client("gated_stream").run()
        assert next(stream) == 1
        for headers in (CROSS_SITE, {"sec-fetch-site": "cross-site", **NAVIGATION}):
            path = f"/api/v1/invocations/{stream.invocation_id}/stream"
            assert ask(server, "GET", path, headers=headers).status_code == 403
        go_on.set()
        assert list(stream) == [2]


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/", "/docs?token=a-key", "/openapi.json"])
def test_a_link_on_another_site_may_lead_to_the_pages(path: str) -> None:
    with serving({"echo": echo}) as server:
        headers = {"sec-fetch-site": "cross-site", **NAVIGATION}
        assert ask(server, "GET", path, headers=headers).status_code == 200
        assert ask(server, "POST", path, headers=headers).status_code == 403
        # Another site's page must not frame ours.
        assert ask(server, "GET", path, headers={**headers, "sec-fetch-dest": "iframe"}).status_code == 403


@pytest.mark.parametrize("path", ["/health", "/api/v1", f"{AGENT}/invocations", "/api/v1/invocations/ID/stream"])
def test_a_link_on_another_site_leads_nowhere_else(path: str) -> None:
    with serving({"echo": echo}) as server:
        headers = {"sec-fetch-site": "cross-site", **NAVIGATION}
        assert ask(server, "GET", path, headers=headers).status_code == 403


@pytest.mark.parametrize("site", ["none", "same-origin", "same-site"])
def test_a_person_and_local_pages_may_ask_without_an_origin(site: str) -> None:
    with serving({"echo": echo}) as server:
        assert ask(server, "GET", "/api/v1", headers={"sec-fetch-site": site}).status_code == 200


def test_a_sibling_of_a_public_name_is_another_site() -> None:
    with serving({"echo": echo}, allowed_hosts=("agent.example.com",)) as server:
        headers = {"host": "agent.example.com", "sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}
        assert ask(server, "GET", "/api/v1", headers=headers).status_code == 403
        assert ask(server, "GET", "/docs", headers={**headers, **NAVIGATION}).status_code == 200


def test_an_allowed_origin_is_allowed_across_sites() -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
    with serving({"echo": echo}, cors_origins=("https://app.example",)) as server:
        for origin in (*LOCAL_ORIGINS, "https://app.example"):
            assert ask(server, "GET", "/api/v1", headers={**headers, "origin": origin}).status_code == 200
        assert ask(server, "GET", "/api/v1", headers=headers).status_code == 403
    with serving({"echo": echo}, cors_origins=("*",)) as server:
        assert ask(server, "GET", "/api/v1", headers=CROSS_SITE).status_code == 200
