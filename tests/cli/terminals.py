"""Terminals for the commands under test to run at."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.cli.commands import PATIENCE_SECONDS, Cli

__all__ = ["Screen", "at_a_terminal"]


class Screen:
    """What a process shows on its terminal."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._shown = b""

    def wait_for(self, text: bytes) -> None:
        while text not in self._shown:
            self._shown += os.read(self._descriptor, 1024)

    def to_the_end(self) -> str:
        """Returns everything, once the process has ended."""
        # Linux says that a terminal has no process any more by an error.
        with contextlib.suppress(OSError):
            while read := os.read(self._descriptor, 1024):
                self._shown += read
        self.process.wait(PATIENCE_SECONDS)
        return self._shown.decode().replace("\r\n", "\n")


@contextlib.contextmanager
def at_a_terminal(cli: Cli, *arguments: str, **options: Any) -> Iterator[Screen]:
    """Runs a command whose standard output and error are a terminal, unless the options say otherwise."""
    master, slave = pty.openpty()
    try:
        with cli.started(*arguments, **{"stdout": slave, "stderr": slave, **options}) as process:
            os.close(slave)
            yield Screen(process, master)
    finally:
        os.close(master)
