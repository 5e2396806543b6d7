"""Servers as processes, so that what is measured shares nothing with what measures it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["ServerProcess", "running"]


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that listens on a port of loopback."""

    port: int
    _process: subprocess.Popen[str]

    @property
    def target(self) -> str:
        """The address as gRPC channels take it."""
        return f"127.0.0.1:{self.port}"

    def state(self) -> dict[str, Any]:
        """Returns what the server says about itself: active invocations, HTTP port, threads, memory, processor time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        state: dict[str, Any] = json.loads(self._process.stdout.readline())
        return state


@contextmanager
def running(module: str, *arguments: str) -> Iterator[ServerProcess]:
    """Runs `python -m module arguments`, which prints its port, until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield ServerProcess(int(process.stdout.readline()), process)
        finally:
            process.stdin.close()
            process.wait(timeout=30)
