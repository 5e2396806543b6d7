"""Builds what a runner needs, where the machine can."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.conformance.catalogue import Runner

__all__ = ["build", "prepare"]

_BUILD_SECONDS = 900.0
_SHOWN = 2000


def build(runner: Runner) -> str | None:
    """Builds a runner. Returns why it cannot be had here, or None where it can."""
    if not runner.cwd.is_dir():
        return f"There is no {runner.cwd}."
    for command in runner.build:
        if shutil.which(command[0]) is None:
            return f"{command[0]} is not on this machine."
        ended = subprocess.run(
            command, cwd=runner.cwd, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False
        )
        if ended.returncode != 0:
            return f"`{' '.join(command)}` failed:\n{(ended.stdout + ended.stderr).strip()[-_SHOWN:]}"
    if shutil.which(runner.command[0]) is None:
        return f"{runner.command[0]} is not on this machine."
    return None


def prepare(runner: Runner) -> None:
    """Builds a runner. Skips the test, or fails it with REQUIRE_TOOLCHAINS=1, where it cannot be had."""
    missing = build(runner)
    if missing is None:
        return
    if os.environ.get("REQUIRE_TOOLCHAINS") == "1":
        pytest.fail(f"{runner.title}: {missing}")
    pytest.skip(f"{runner.title}: {missing}")
