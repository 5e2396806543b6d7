"""The installed command as tests run it: a process of its own, with a home of its own, that always ends."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runagent_grpc.client import RunAgentClient

__all__ = ["AGENTS", "EXAMPLES", "PATIENCE_SECONDS", "Cli", "Outcome", "ServeProcess"]

AGENTS = Path(__file__).parent / "agents"
EXAMPLES = Path(__file__).parents[2] / "examples"

PATIENCE_SECONDS = 60.0
"""When a process that has not ended counts as one that never will."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    @property
    def error(self) -> str:
        """The error as docs/wire.md has it: the first line of a failure, the last one of a usage error."""
        lines = self.err.splitlines()
        return lines[0] if self.code == 1 else lines[-1]


class ServeProcess:
    """A `runagent serve` whose standard error is read as it comes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._heard = threading.Condition()
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def err(self) -> str:
        """What it has said so far."""
        with self._heard:
            return "".join(self._lines)

    @property
    def port(self) -> int:
        found = re.search(r"grpc://127\.0\.0\.1:(\d+)", self.err)
        assert found, self.err
        return int(found[1])

    @property
    def http_port(self) -> int:
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.err)
        assert found, self.err
        return int(found[1])

    def client(self, wire: str, agent_id: str, tag: str) -> RunAgentClient:
        """Returns a client of the server, over "grpc" or "http"."""
        address: dict[str, Any] = {"base_url": f"grpc://127.0.0.1:{self.port}"}
        if wire == "http":
            address = {"base_url": f"http://127.0.0.1:{self.http_port}", "transport": "http"}
        return RunAgentClient(agent_id, tag, timeout=PATIENCE_SECONDS, **address)

    def wait_for(self, text: str) -> None:
        """Waits until it says `text`."""
        with self._heard:
            self._heard.wait_for(lambda: text in "".join(self._lines) or self._ended, PATIENCE_SECONDS)
            assert text in "".join(self._lines), f"It never said {text!r}, but:\n{''.join(self._lines)}"

    def wait(self) -> int:
        """Waits until it has ended and everything it said is read, and returns its exit code."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code

    @property
    def _ended(self) -> bool:
        return bool(self._lines) and not self._lines[-1]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in iter(self.process.stderr.readline, b""):
            self._hear(line.decode())
        self._hear("")

    def _hear(self, line: str) -> None:
        with self._heard:
            self._lines.append(line)
            self._heard.notify_all()


class Cli:
    """Runs commands that share one home."""

    def __init__(self, home: Path, python: Path = Path(sys.executable), /, **variables: str) -> None:
        self.home = home
        self.python = python
        clean = {name: value for name, value in os.environ.items() if not _is_personal(name)}
        self.environment: Mapping[str, str] = {
            **clean,
            "HOME": str(home),
            "RUNAGENT_CACHE_DIR": str(home / "cache"),
            # The scripts of this environment come first, as in an activated one.
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            **variables,
        }

    def with_variables(self, **variables: str) -> Cli:
        """Returns the same home with more environment variables."""
        return Cli(self.home, self.python, **variables)

    def __call__(self, *arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> Outcome:
        """Runs `runagent` with these arguments to its end."""
        return self._outcome([str(self.python), "-m", "runagent_cli", *arguments], stdin, cwd)

    def shell(self, script: str, *, cwd: Path | None = None) -> Outcome:
        """Runs a script in which `runagent` is the installed console script."""
        return self._outcome(["bash", "-c", script], b"", cwd)

    @contextlib.contextmanager
    def started(self, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Starts `runagent`, and sees to it that it has ended when the block has."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        command = [str(self.python), "-m", "runagent_cli", *arguments]
        with subprocess.Popen(command, env=self.environment, **options) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextlib.contextmanager
    def serving(self, folder: Path, *options: str) -> Iterator[ServeProcess]:
        """Serves a folder's agent on any free port, from when it answers to the end of the block."""
        ports = ("--port", "0", "--grpc-port", "0")
        with self.started("serve", str(folder), *ports, *options, stdout=subprocess.DEVNULL) as process:
            server = ServeProcess(process)
            server.wait_for("Press Ctrl-C to stop.")
            yield server

    def _outcome(self, command: list[str], stdin: bytes, cwd: Path | None) -> Outcome:
        ended = subprocess.run(
            command, input=stdin, capture_output=True, env=self.environment, cwd=cwd, timeout=PATIENCE_SECONDS
        )
        return Outcome(code=ended.returncode, out=ended.stdout, err=ended.stderr.decode())


def _is_personal(name: str) -> bool:
    return name.startswith(("RUNAGENT_", "GRPC_")) or name.lower().endswith("_proxy") or name in ("NO_COLOR", "TERM")
