"""How the suite itself runs: where signals are ignored, when a test hangs, and on several workers at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sharing import scope_of

ROOT = Path(__file__).parents[1]

INTERRUPTS = "tests/cli/test_cli_run.py::test_ctrl_c_before_the_call_ends_the_command"

HANGS = """
import subprocess, sys

def test_it_hangs_with_a_process():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            process.wait()
        finally:
            process.kill()

def test_the_next_one_runs():
    pass
"""


def ran(*arguments: str, ignored: tuple[signal.Signals, ...] = ()) -> tuple[int, str]:
    """Runs pytest by the settings of this repository, from a parent that ignores these signals."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", *arguments],
            cwd=ROOT,
            # Where this test runs on a worker, that one is no worker.
            env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    with process:
        try:
            out, _ = process.communicate(timeout=240)
        finally:
            process.kill()
    return process.returncode, out


def test_processes_of_tests_end_by_sigint_where_the_suite_was_started_with_it_ignored() -> None:
    code, out = ran("-q", INTERRUPTS, "--timeout", "60", ignored=(signal.SIGINT,))
    assert code == 0, out
    assert "1 passed" in out


def test_a_test_that_hangs_fails_with_a_traceback_and_the_next_one_runs(tmp_path: Path) -> None:
    file = tmp_path / "test_hangs.py"
    file.write_text(HANGS)
    code, out = ran(str(file), "--rootdir", str(tmp_path), "--timeout", "1")
    assert code == 1, out
    assert "1 failed, 1 passed" in out
    assert "process.wait()" in out
    # Its versions put it into parentheses, or do not.
    assert "Timeout " in out
    assert ">1.0s" in out


def test_every_test_has_a_time_limit(pytestconfig: pytest.Config) -> None:
    assert float(pytestconfig.getini("timeout")) > 0
    # What a failing test leaves unfinished ends as well.
    assert pytestconfig.getini("faulthandler_exit_on_timeout")
    assert float(pytestconfig.getini("faulthandler_timeout")) > float(pytestconfig.getini("timeout"))


def test_files_that_build_one_sdk_share_a_worker_and_others_do_not() -> None:
    for language in ("js", "go", "rust"):
        files = (f"tests/sdks/test_sdk_{language}.py", f"tests/conformance/test_conformance_{language}.py")
        assert all((ROOT / file).is_file() for file in files)
        assert len({scope_of(f"{file}::test") for file in files}) == 1
    assert scope_of("tests/test_errors.py::test[a::b]") == "tests/test_errors.py"
