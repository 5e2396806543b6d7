"""Whether the server of a lease lives: it does if who answers at its address names the same `instance_id`.

The question carries no key, since another program may have the port by now. A server with HTTP answers it at
`/api/v1/health`; one without HTTP, as a gRPC health check of a service that is named after its instance.
"""

from __future__ import annotations

import contextlib
import enum
import http.client
import json
import os
import socket
import ssl
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from runagent_grpc.local.grpc_health import HealthProtocolError, serves
from runagent_grpc.local.lease import Lease

__all__ = ["LeaseState", "probe", "probe_all"]

_PROBE_SECONDS = 3.0
_MAX_ANSWER_BYTES = 64 * 1024
_AT_ONCE = 16


class LeaseState(enum.Enum):
    """What asking at a lease's address has shown."""

    LIVES = "lives"
    ENDED = "ended"
    """Nobody is there, or another program."""
    SILENT = "silent"
    """Somebody is there who does not answer: a server that hangs, perhaps."""


def probe(lease: Lease, timeout: float = _PROBE_SECONDS) -> LeaseState:
    """Asks at the lease's address. Waits `timeout` seconds at most for each step: to connect, and to be answered."""
    try:
        same = _http_names_it(lease, timeout) if lease.http_port is not None else _grpc_names_it(lease, timeout)
    except (ConnectionRefusedError, http.client.HTTPException, HealthProtocolError, ValueError, RecursionError):
        return LeaseState.ENDED
    except OSError:
        return LeaseState.ENDED if _has_no_process(lease) else LeaseState.SILENT
    return LeaseState.LIVES if same else LeaseState.ENDED


def probe_all(leases: Sequence[Lease], timeout: float = _PROBE_SECONDS) -> list[tuple[Lease, LeaseState]]:
    """Probes all of them at once. Returns them in the same order."""
    if len(leases) <= 1:
        return [(lease, probe(lease, timeout)) for lease in leases]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(zip(leases, threads.map(lambda lease: probe(lease, timeout), leases), strict=True))


def _has_no_process(lease: Lease) -> bool:
    """Whether the server's process has ended on this machine, where a child that it forked may hold its port still."""
    if sys.platform == "win32" or lease.hostname != socket.gethostname():
        return False
    try:
        os.kill(lease.pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        # It is another user's by now, perhaps.
        return False
    return False


def _http_names_it(lease: Lease, timeout: float) -> bool:
    connection = (
        http.client.HTTPSConnection(lease.host, lease.port, timeout=timeout, context=_tls_of(lease))
        if lease.tls
        else http.client.HTTPConnection(lease.host, lease.port, timeout=timeout)
    )
    with contextlib.closing(connection):
        connection.request("GET", "/api/v1/health", headers={"accept": "application/json"})
        answer = json.loads(connection.getresponse().read(_MAX_ANSWER_BYTES))
    return isinstance(answer, dict) and answer.get("instance_id") == lease.instance_id


def _grpc_names_it(lease: Lease, timeout: float) -> bool:
    tls = _tls_of(lease) if lease.tls else None
    return serves(lease.host, lease.port, service=lease.instance_id, timeout=timeout, tls=tls)


def _tls_of(lease: Lease) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=lease.ca_file)
