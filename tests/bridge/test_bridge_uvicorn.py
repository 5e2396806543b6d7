"""What the HTTP server uses of uvicorn that is not for others: named here, so that an upgrade that lacks it says so."""

from __future__ import annotations

import ast
import inspect
import textwrap

import pytest
import uvicorn
from uvicorn.protocols.http import h11_impl, httptools_impl
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

from runagent_grpc.bridge import server
from runagent_grpc.bridge.connections import HttpConnection, WebSocketConnection

OF_HTTP = {
    "connection_lost",
    "connection_made",
    "connections",
    "cycle",
    "data_received",
    "handle_websocket_upgrade",
    "loop",
    "transport",
}
# h11 reads no request before its turn, and has neither.
OF_HTTPTOOLS = OF_HTTP | {"on_headers_complete", "pipeline"}
OF_CYCLE = {"more_body", "response_complete"}
OF_WEBSOCKETS = {
    "close_sent",
    "close_timeout",
    "conn",
    "curr_msg_data_type",
    "data_received",
    "frames",
    "handle_close",
    "handle_parser_exception",
    "handshake_complete",
    "handshake_initiated",
    "loop",
    "send",
    "send_receive_event_to_app",
    "shutdown",
    "transport",
    "writable",
}
OF_SERVER = {"lifespan", "on_tick", "server_state", "servers", "startup"}
OF_STATE = {"connections", "tasks"}
OF_CONFIG = {"lifespan_class", "load"}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (httptools_impl.HttpToolsProtocol, OF_HTTPTOOLS),
        (httptools_impl.RequestResponseCycle, OF_CYCLE),
        (h11_impl.H11Protocol, OF_HTTP),
        (h11_impl.RequestResponseCycle, OF_CYCLE),
        (WebSocketsSansIOProtocol, OF_WEBSOCKETS),
        (uvicorn.Server, OF_SERVER),
        (ServerState, OF_STATE),
        (uvicorn.Config, OF_CONFIG),
    ],
    ids=lambda value: f"{value.__module__}.{value.__name__}" if isinstance(value, type) else "",
)
def test_uvicorn_has_what_the_server_builds_upon(kind: type, names: set[str]) -> None:
    missing = names - attributes_of(kind)
    assert not missing, (
        f"uvicorn {uvicorn.__version__} has no {', '.join(sorted(missing))} in {kind.__qualname__}. Find what has "
        "become of it, and change bridge/connections.py or bridge/server.py, before the upper bound is raised."
    )


def test_nothing_else_of_uvicorns_protocols_is_used() -> None:
    assert public_names_in(HttpConnection) == OF_HTTPTOOLS
    assert public_names_in(WebSocketConnection) - {"asked"} == OF_WEBSOCKETS


def test_nothing_else_of_uvicorns_server_is_used() -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(server)))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self._server", "config", "state")
    }
    assert used == OF_SERVER | OF_STATE | OF_CONFIG


def attributes_of(kind: type) -> set[str]:
    """Returns the names of one of uvicorn's classes: its members, and what its methods set."""
    bases = [base for base in kind.__mro__ if base.__module__.startswith("uvicorn")]
    return set(dir(kind)) | {node.attr for base in bases for node in _of_self(base) if isinstance(node.ctx, ast.Store)}


def public_names_in(kind: type) -> set[str]:
    """Returns the names that a class of ours overrides or uses of itself, but for those with an underscore."""
    return {name for name in {*vars(kind), *(node.attr for node in _of_self(kind))} if not name.startswith("_")}


def _of_self(kind: type) -> list[ast.Attribute]:
    nodes = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind))))
    return [
        node for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("self", "super()")
    ]
