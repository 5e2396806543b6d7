"""What a server at an address speaks: asked once, by an HTTP request that a gRPC port refuses at once."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from runagent_grpc.client.address import Address
from runagent_grpc.client.leases import living_server
from runagent_grpc.errors import RunAgentError

__all__ = ["discover", "find_again", "find_server", "resumes"]

_PROBE_SECONDS = 1.0

_MAX_ANSWER_BYTES = 64 * 1024

# How an HTTP/2 connection begins on either side: with a frame of settings, the client's behind its preface (RFC 9113).
_SETTINGS = b"\x04"
_FRAME_HEAD_BYTES = 9
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00" + _SETTINGS + bytes(5)


def find_server(address: Address, api_key: str | None, *, timeout: float | None = None) -> Address:
    """Returns the address to speak to, and what to speak: gRPC, unless its transport is "http".

    A gRPC port that the server names and that nothing can reach, behind a firewall perhaps, is passed over. Of the
    servers of this machine that have leases, it is the newest that lives; raises UnavailableError where none does.
    """
    if address.local is not None:
        found = living_server(address.local, address.transport, timeout=timeout)
        # A published server, which can be asked what it speaks like any other.
        return found if found.resumable else find_server(found, api_key, timeout=timeout)
    found = discover(address, api_key, timeout=timeout)
    if address.transport == "auto" and found.transport == "grpc" and not _answers(found):
        return replace(address, transport="http", resumable=found.resumable)
    return found


def find_again(address: Address, lookup: Callable[[], Address], api_key: str | None) -> Address | None:
    """Returns where a server is now that answers no more where it was found; None while nobody says so.

    Only one that was found by asking can be elsewhere. `lookup` says where to ask.
    """
    if address.transport != "auto" and address.local is None:
        return None
    try:
        address = lookup()
        if address.local is not None:
            address = living_server(address.local, address.transport)
    except RunAgentError:
        return None
    if address.resumable:
        return address
    answer = _ask(address, api_key, _PROBE_SECONDS)
    return None if answer is None else _told(address, answer)


def resumes(home: Mapping[str, Any]) -> bool:
    """Whether a server's description of itself is that of one that can take up calls and streams. Ours can."""
    return isinstance(home.get("grpc"), dict) or home.get("resumable") is True


def discover(address: Address, api_key: str | None, *, timeout: float | None = None) -> Address:
    """Returns the address that the server says to speak to, and what to speak there.

    Only a JSON object decides otherwise than for gRPC on the given port: one that names a gRPC port leads there, on
    the same host, for an answer must not send a key elsewhere, nor in clear where the caller asked for TLS; one that
    names none is a published server's, which speaks REST and WebSocket, as does one that refuses the key in the
    documented words. A proxy answers the question with errors of its own, so that no answer, or another one, means
    gRPC. Waits for a second at most, or for `timeout` where that is shorter.
    """
    if address.transport != "auto":
        return address
    answer = _ask(address, api_key, min(_PROBE_SECONDS, timeout or _PROBE_SECONDS))
    return address if answer is None else _told(address, answer)


def _told(address: Address, answer: Mapping[str, Any]) -> Address:
    """Returns the address that an answer leads to."""
    named = answer.get("grpc")
    port = named.get("port") if isinstance(named, dict) else None
    if isinstance(named, dict) and isinstance(port, int) and 0 < port < 65536:
        tls = address.tls or bool(named.get("tls"))
        return Address(host=address.host, port=port, tls=tls, transport="grpc", resumable=True)
    return replace(address, transport="http", resumable=resumes(answer))


def _ask(address: Address, api_key: str | None, timeout: float) -> dict[str, Any] | None:
    headers = {"accept": "application/json"}
    if api_key:
        headers["authorization"] = f"Bearer {api_key}"
    try:
        with contextlib.closing(_connection(address, timeout)) as connection:
            connection.request("GET", "/api/v1", headers=headers)
            response = connection.getresponse()
            body = response.read(_MAX_ANSWER_BYTES)
            answer = json.loads(body)
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    answers = response.status == http.client.OK or _refuses(answer)
    return answer if answers and isinstance(answer, dict) else None


def _refuses(answer: Any) -> bool:
    """Whether this is how a RunAgent server says that the key is missing or wrong. It will say so to the call, too."""
    error = answer.get("error") if isinstance(answer, dict) else None
    return isinstance(error, dict) and error.get("code") in ("AUTHENTICATION_ERROR", "PERMISSION_ERROR")


def _connection(address: Address, timeout: float) -> http.client.HTTPConnection:
    if not address.tls:
        return http.client.HTTPConnection(address.host, address.port, timeout=timeout)
    return http.client.HTTPSConnection(
        address.host, address.port, timeout=timeout, context=ssl.create_default_context()
    )


def _answers(address: Address) -> bool:
    """Whether somebody at the address speaks HTTP/2. A channel would tell, too, and take 200 ms for it."""
    try:
        with contextlib.ExitStack() as open_sockets:
            connection = socket.create_connection((address.host, address.port), timeout=_PROBE_SECONDS)
            open_sockets.enter_context(connection)
            if address.tls:
                context = ssl.create_default_context()
                context.set_alpn_protocols(["h2"])
                connection = open_sockets.enter_context(context.wrap_socket(connection, server_hostname=address.host))
            connection.sendall(_HELLO)
            with connection.makefile("rb") as answer:
                head = answer.read(_FRAME_HEAD_BYTES)
    except (OSError, ValueError):
        return False
    return head[3:4] == _SETTINGS
