"""What a server at an address speaks: asked once, by an HTTP request that a gRPC port refuses at once."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from typing import Any

from runagent_grpc.client.address import Address
from runagent_grpc.errors import UnavailableError

__all__ = ["discover"]

_PROBE_SECONDS = 1.0

_MAX_ANSWER_BYTES = 64 * 1024


def discover(address: Address, api_key: str | None, *, timeout: float | None = None) -> Address:
    """Returns the address to speak gRPC to.

    Only a JSON object decides otherwise than for the given port: one that names a gRPC port leads there, on the same
    host, for an answer must not send a key elsewhere, nor in clear where the caller asked for TLS. A proxy answers the
    question with errors of its own, so that no answer, or another one, means gRPC on the given port. Waits for a second
    at most, or for `timeout` where that is shorter.

    Raises UnavailableError for a server that serves REST and WebSocket alone, and where those are asked for.
    """
    if address.transport == "grpc":
        return address
    if address.transport == "http":
        raise UnavailableError(
            "This client speaks gRPC only.", suggestion='Leave the transport to "auto", or say "grpc".'
        )
    answer = _ask(address, api_key, min(_PROBE_SECONDS, timeout or _PROBE_SECONDS))
    if answer is None:
        return address
    grpc = answer.get("grpc")
    port = grpc.get("port") if isinstance(grpc, dict) else None
    if isinstance(grpc, dict) and isinstance(port, int) and 0 < port < 65536:
        return Address(host=address.host, port=port, tls=address.tls or bool(grpc.get("tls")), transport="grpc")
    raise UnavailableError(
        f"The server at {address} speaks REST and WebSocket only, and this client speaks gRPC.",
        suggestion="Name the server's gRPC port.",
    )


def _ask(address: Address, api_key: str | None, timeout: float) -> dict[str, Any] | None:
    headers = {"accept": "application/json"}
    if api_key:
        headers["authorization"] = f"Bearer {api_key}"
    try:
        with contextlib.closing(_connection(address, timeout)) as connection:
            connection.request("GET", "/api/v1", headers=headers)
            response = connection.getresponse()
            body = response.read(_MAX_ANSWER_BYTES)
            answer = json.loads(body) if response.status == http.client.OK else None
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _connection(address: Address, timeout: float) -> http.client.HTTPConnection:
    if not address.tls:
        return http.client.HTTPConnection(address.host, address.port, timeout=timeout)
    return http.client.HTTPSConnection(
        address.host, address.port, timeout=timeout, context=ssl.create_default_context()
    )
