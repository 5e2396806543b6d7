"""Builds what a runner needs, where the machine can, and says so where it cannot."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.conformance.catalogue import Runner

__all__ = ["prepare"]

_BUILD_SECONDS = 900.0
_SHOWN = 2000


def prepare(runner: Runner) -> None:
    """Builds a runner. Skips the test, or fails it with REQUIRE_TOOLCHAINS=1, where its toolchain is missing."""
    if not runner.cwd.is_dir():
        _miss(f"{runner.title}: there is no {runner.cwd}.")
    for command in (*runner.build, runner.command):
        if shutil.which(command[0]) is None:
            _miss(f"{runner.title}: {command[0]} is not on this machine.")
    for command in runner.build:
        ended = subprocess.run(
            command, cwd=runner.cwd, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
        )
        if ended.returncode != 0:
            said = (ended.stdout + ended.stderr).strip()[-_SHOWN:]
            _miss(f"{runner.title}: `{' '.join(command)}` failed:\n{said}")


def _miss(reason: str) -> None:
    if os.environ.get("REQUIRE_TOOLCHAINS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
