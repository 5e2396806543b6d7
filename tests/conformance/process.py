"""A runner as the kit sees it: a program that is started once, and answers line by line."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import queue
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["PATIENCE_SECONDS", "RunnerDiedError", "RunnerProcess"]

PATIENCE_SECONDS = 120.0
"""When a call that has no outcome counts as one that never will."""

_SHOWN_BYTES = 4000
_MOST_FALSE_STARTS = 3


class RunnerDiedError(Exception):
    """A runner ended, fell silent, or wrote what is no outcome."""


class RunnerProcess:
    """Starts with the first call, and again with the next one where it died. Its home is empty."""

    def __init__(self, command: Sequence[str], cwd: Path) -> None:
        self._command = command
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._answered = False
        self._false_starts = 0
        self._resources = contextlib.ExitStack()

    def ask(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the outcome of a call. Raises RunnerDiedError, with what the runner said, where there is none."""
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(call).encode() + b"\n")
            process.stdin.flush()
            line = self._lines.get(timeout=PATIENCE_SECONDS)
            outcome = json.loads(line)
        except BrokenPipeError:
            raise self._died("The runner has ended.") from None
        except queue.Empty:
            raise self._died(f"There is no outcome after {PATIENCE_SECONDS:g} s.") from None
        except ValueError:
            said = line[:_SHOWN_BYTES].decode(errors="replace")
            raise self._died(
                f"What the runner wrote is no outcome: {said!r}." if line else "The runner ended."
            ) from None
        if not isinstance(outcome, dict) or outcome.get("id") != call["id"]:
            raise self._died(f"The outcome is not of this call: {str(outcome)[:200]}.")
        self._answered = True
        return outcome

    @property
    def hopeless(self) -> bool:
        """Whether it has died again and again without having answered once: it does not start at all."""
        return not self._answered and self._false_starts >= _MOST_FALSE_STARTS

    def close(self) -> None:
        """Ends the runner, and waits until it has."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._resources.close()

    def __enter__(self) -> RunnerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            home = self._resources.enter_context(tempfile.TemporaryDirectory(prefix="runagent-conformance-"))
            said = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the other resources, below
            self._said = self._resources.enter_context(said)
            self._lines = queue.Queue()
            self._process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=_environment(home),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
            )
            reader = threading.Thread(target=_read, args=(self._process, self._lines), daemon=True)
            reader.start()
            self._resources.callback(reader.join)
        return self._process

    def _died(self, how: str) -> RunnerDiedError:
        assert self._process is not None
        self._false_starts += 1
        self._process.kill()
        self._process.wait()
        self._said.seek(0)
        said = self._said.read()[-_SHOWN_BYTES:].decode(errors="replace")
        self.close()
        return RunnerDiedError(f"{how} It said:\n{said}" if said else how)


def _read(process: subprocess.Popen[bytes], lines: queue.Queue[bytes]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.put(line)
    lines.put(b"")


def _environment(home: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNAGENT_")}
    clean = {name: value for name, value in clean.items() if not name.lower().endswith("_proxy")}
    # The home is another, but what the toolchains have fetched once is not to be fetched again. A test's own home is
    # no more theirs than this one.
    true_home = pwd.getpwuid(os.getuid()).pw_dir
    kept = {name: os.path.join(true_home, folder) for name, folder in _TOOLCHAINS.items()}
    return {**kept, **clean, "HOME": home, "RUNAGENT_CACHE_DIR": os.path.join(home, "cache")}


_TOOLCHAINS = {
    "CARGO_HOME": ".cargo",
    "RUSTUP_HOME": ".rustup",
    "GOPATH": "go",
    "GOCACHE": ".cache/go-build",
    "npm_config_cache": ".npm",
}
