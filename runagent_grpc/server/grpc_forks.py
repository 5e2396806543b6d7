"""gRPC in a process that forks: without its handlers for forks, which crash children of a server.

With many threads in gRPC, as a server has them, those handlers leave children that die by SIGSEGV (grpc/grpc#13873).
Without them a child is well as long as it leaves gRPC alone; a call would wait for threads that it does not have, past
any deadline. So a child can make no channel.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import NoReturn

__all__ = ["import_without_fork_handlers"]

_VARIABLE = "GRPC_ENABLE_FORK_SUPPORT"


def import_without_fork_handlers() -> None:
    """Imports gRPC for the first time in this process, so that forked children neither crash nor hang.

    Where the environment has GRPC_ENABLE_FORK_SUPPORT, or gRPC is there already, everything stays as it is. The
    environment that children see is unchanged.
    """
    if _VARIABLE in os.environ or "grpc" in sys.modules or sys.platform == "win32":
        return
    # Read once, when gRPC is loaded.
    os.environ[_VARIABLE] = "0"
    try:
        import grpc.aio  # noqa: F401 - loads gRPC
    finally:
        del os.environ[_VARIABLE]
    os.register_at_fork(after_in_child=_refuse_calls)


def _refuse_calls() -> None:
    """Refuses new channels and servers. One that was made before the fork must not be used in the child."""
    module = importlib.import_module("grpc._cython.cygrpc")
    # Private names, by which all of gRPC's public functions make them; a test says whether they still do.
    for name in ("Channel", "Server", "AioChannel", "AioServer"):
        setattr(module, name, _refuse)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise RuntimeError(
        "gRPC cannot be used in a forked child of the server. Start a process of its own for it (subprocess), or call"
        " over HTTP."
    )
