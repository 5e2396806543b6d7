"""Envoy, nginx and Caddy as people put them in front of a server, each with the one limit that cuts silent streams.

`make proxies` gets them.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

__all__ = ["KINDS", "Upstream", "passing"]

_ENVIRONMENT = Path(__file__).parents[2] / ".venv-proxies"
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A port of loopback to pass connections on to."""

    port: int
    grpc: bool
    """Whether it speaks gRPC, in clear; HTTP with WebSockets otherwise."""


@contextmanager
def passing(kind: str, folder: Path, upstreams: Sequence[Upstream], *, idle_seconds: int) -> Iterator[Sequence[int]]:
    """Runs a proxy that gives up a stream which was silent for so long. Yields its ports, one for each upstream."""
    configure, command = _KINDS[kind]
    program = _program(kind)
    folder.mkdir()
    # A port that is free now may be taken before the proxy has it.
    for _ in range(5):
        ports = _free_ports(len(upstreams))
        configuration = folder / "configuration"
        configuration.write_text(configure(folder, list(zip(ports, upstreams, strict=True)), idle_seconds))
        with (
            (folder / "said").open("w") as said,
            subprocess.Popen(
                [program, *command(folder, configuration)],
                env={"PATH": os.environ["PATH"], "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            ) as process,
        ):
            try:
                if _answers(process, ports):
                    yield ports
                    return
            finally:
                process.kill()
    raise AssertionError(f"{kind} does not answer:\n{(folder / 'said').read_text()[-2000:]}")


def _envoy(folder: Path, routes: Sequence[tuple[int, Upstream]], idle_seconds: int) -> str:
    types = "type.googleapis.com/envoy.extensions"

    def listener(port: int, upstream: Upstream) -> dict[str, Any]:
        name = str(upstream.port)
        manager = {
            "@type": f"{types}.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "stream_idle_timeout": f"{idle_seconds}s",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "route_config": {
                "virtual_hosts": [
                    {
                        "name": name,
                        "domains": ["*"],
                        # The route's own timeout bounds the whole answer, and is 15 s by default.
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}}],
                    }
                ]
            },
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{types}.filters.http.router.v3.Router"},
                }
            ],
        }
        filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
        return {"name": name, "address": address(port), "filter_chains": [{"filters": filters}]}

    def cluster(upstream: Upstream) -> dict[str, Any]:
        name = str(upstream.port)
        protocol = "http2_protocol_options" if upstream.grpc else "http_protocol_options"
        return {
            "name": name,
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream.port)}}]}],
            },
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": f"{types}.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {protocol: {}},
                }
            },
        }

    def address(port: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": port}}

    resources = {
        "listeners": [listener(port, upstream) for port, upstream in routes],
        "clusters": [cluster(upstream) for _, upstream in routes],
    }
    # JSON is YAML.
    return json.dumps({"static_resources": resources})


def _nginx(folder: Path, routes: Sequence[tuple[int, Upstream]], idle_seconds: int) -> str:
    def server(port: int, upstream: Upstream) -> str:
        if upstream.grpc:
            return f"""
            server {{
                listen 127.0.0.1:{port} http2;
                location / {{
                    grpc_pass grpc://127.0.0.1:{upstream.port};
                    grpc_read_timeout {idle_seconds}s;
                }}
            }}"""
        return f"""
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://127.0.0.1:{upstream.port};
                    proxy_http_version 1.1;
                    proxy_set_header Host $http_host;
                    proxy_set_header Upgrade $http_upgrade;
                    proxy_set_header Connection $connection_upgrade;
                    proxy_read_timeout {idle_seconds}s;
                }}
            }}"""

    scratch = "\n".join(
        f"{name}_temp_path {folder / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    servers = "".join(server(port, upstream) for port, upstream in routes)
    return f"""
        daemon off;
        # One process, which a signal ends for certain.
        master_process off;
        pid {folder / "pid"};
        error_log stderr;
        events {{}}
        http {{
            access_log off;
            {scratch}
            map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
            {servers}
        }}"""


def _caddy(folder: Path, routes: Sequence[tuple[int, Upstream]], idle_seconds: int) -> str:
    def server(port: int, upstream: Upstream) -> dict[str, Any]:
        transport: dict[str, Any] = {"protocol": "http", "read_timeout": f"{idle_seconds}s"}
        if upstream.grpc:
            transport |= {"versions": ["h2c"]}
        proxy = {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": f"127.0.0.1:{upstream.port}"}],
            "transport": transport,
        }
        return {
            "listen": [f"127.0.0.1:{port}"],
            "protocols": ["h1", "h2c"],
            "automatic_https": {"disable": True},
            "routes": [{"handle": [proxy]}],
        }

    servers = {str(port): server(port, upstream) for port, upstream in routes}
    admin = {"disabled": True, "config": {"persist": False}}
    return json.dumps({"admin": admin, "apps": {"http": {"servers": servers}}})


_Configure = Callable[[Path, Sequence[tuple[int, Upstream]], int], str]
_Command = Callable[[Path, Path], list[str]]

_KINDS: dict[str, tuple[_Configure, _Command]] = {
    "envoy": (
        _envoy,
        lambda _, file: ["-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"],
    ),
    "nginx": (_nginx, lambda folder, file: ["-p", str(folder), "-c", str(file), "-e", "stderr"]),
    "caddy": (_caddy, lambda _, file: ["run", "--config", str(file)]),
}

KINDS = sorted(_KINDS)
"""The proxies that there are."""


def _program(kind: str) -> str:
    """Returns the path of a proxy. Skips the test where there is none, or fails it where there has to be one."""
    places = [str(_ENVIRONMENT / "bin"), str(_ENVIRONMENT / "usr" / "sbin"), os.environ["PATH"], "/usr/sbin"]
    found = shutil.which(kind, path=os.pathsep.join(places))
    if found:
        return found
    reason = f"{kind} is not there; `make proxies` gets it."
    if os.environ.get("REQUIRE_TOOLCHAINS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def _answers(process: subprocess.Popen[bytes], ports: Sequence[int]) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    waiting = list(ports)
    while waiting and process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", waiting[-1]), timeout=1):
            waiting.pop()
            continue
        time.sleep(0.02)
    return not waiting and process.poll() is None
