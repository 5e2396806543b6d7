"""The published `runagent` packages, each in a virtual environment of its own that later runs find again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.local.registry import Registry

__all__ = ["AGENT_ID", "PROBE", "Call", "Package", "PublishedServer", "call"]

PROBE = Path(__file__).parent / "agents" / "probe"
AGENT_ID: str = json.loads((PROBE / "runagent.config.json").read_text())["agent_id"]

_ENVIRONMENTS = Path(__file__).parents[2] / ".venv-published"
_CALLER = Path(__file__).parent / "caller.py"
_PATIENCE_SECONDS = 60.0
_INSTALL_SECONDS = 900.0
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Call:
    """A call to make."""

    tag: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def call(tag: str, *args: Any, **kwargs: Any) -> Call:
    """Returns the call of an entrypoint with these arguments."""
    return Call(tag, args, kwargs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a command ended. Published commands say everything on standard output."""

    code: int
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedServer:
    """A published server of the agent `probe`."""

    port: int
    home: Path

    @property
    def cache(self) -> Path:
        """The folder with the address book that it is in."""
        return self.home / "cache"


class Package:
    """One version of the published package."""

    def __init__(self, version: str) -> None:
        self._folder = _ENVIRONMENTS / version
        _ENVIRONMENTS.mkdir(exist_ok=True)
        with (_ENVIRONMENTS / f"{version}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self._folder / "done").exists():
                self._install(version)

    def calls(self, home: Path, *calls: Call, variables: Mapping[str, str] = _NONE, **options: Any) -> list[Any]:
        """Makes calls with the package's client, all with the same options.

        Returns what came of each: `{"result": ...}` or `{"error": ..., "code": ..., "kind": ...}`.
        """
        requests = [
            {"agent_id": AGENT_ID, "tag": call.tag, "options": options, "args": call.args, "kwargs": call.kwargs}
            for call in calls
        ]
        ended = self._run("python", str(_CALLER), json.dumps(requests), home=home, variables=variables)
        *_, last = ended.out.rstrip().rpartition("@@outcome@@")
        assert ended.code == 0, ended.out
        outcomes: list[Any] = json.loads(last)
        return outcomes

    def command(self, home: Path, *arguments: str, variables: Mapping[str, str] = _NONE) -> Outcome:
        """Runs the package's own `runagent`."""
        return self._run("runagent", *arguments, home=home, variables=variables)

    @contextlib.contextmanager
    def serving(self, home: Path) -> Iterator[PublishedServer]:
        """Serves the agent `probe`, from when it answers to the end of the block."""
        # It imports every module of the project that the agent is in, and makes packages of folders: here, of ours.
        folder = shutil.copytree(PROBE, home / PROBE.name)
        registered = self.command(home, "config", "--register-agent", str(folder))
        assert registered.code == 0, registered.out
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            port = str(free.getsockname()[1])
        said = home / "serve.log"
        with (
            said.open("w") as output,
            subprocess.Popen(
                [self._program("runagent"), "serve", "--no-animation", "--port", port, str(folder)],
                env=_environment(home, {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            ) as process,
        ):
            try:
                yield PublishedServer(port=_port_where_it_answers(process, home, said), home=home)
            finally:
                process.kill()

    def _install(self, version: str) -> None:
        venv.create(self._folder, clear=True, with_pip=True)
        command = [self._program("python"), "-m", "pip", "install", "--quiet", f"runagent=={version}"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False)
        if ended.returncode == 0:
            (self._folder / "done").touch()
            return
        reason = f"pip cannot install runagent=={version}: {ended.stderr.strip()[-500:]}"
        if os.environ.get("REQUIRE_TOOLCHAINS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    def _run(self, program: str, *arguments: str, home: Path, variables: Mapping[str, str]) -> Outcome:
        ended = subprocess.run(
            [self._program(program), *arguments],
            env=_environment(home, variables),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        return Outcome(code=ended.returncode, out=ended.stdout)

    def _program(self, name: str) -> str:
        return str(self._folder / ("Scripts" if sys.platform == "win32" else "bin") / name)


def _environment(home: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of a process that shares nothing with the machine but its programs."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "RUNAGENT_CACHE_DIR": str(home / "cache"),
        # Their tables are as wide as the terminal, and would break what is looked for.
        "COLUMNS": "200",
        "PYTHONIOENCODING": "utf-8",
        # Whatever they would ask of their makers' cloud ends at a port where nobody is.
        "http_proxy": "http://127.0.0.1:1",
        "https_proxy": "http://127.0.0.1:1",
        "no_proxy": "127.0.0.1,localhost",
        **variables,
    }


def _port_where_it_answers(process: subprocess.Popen[bytes], home: Path, said: Path) -> int:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        row = Registry(home / "cache" / "runagent_local.db").find(AGENT_ID)
        if row is not None:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{row.port}/api/v1/health", timeout=1),
            ):
                return row.port
        time.sleep(0.05)
    raise AssertionError(f"The published server does not answer:\n{said.read_text()}")
