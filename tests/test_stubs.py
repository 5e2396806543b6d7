"""Callers with nothing but generated stubs: every program of docs/stubs.md as it is printed."""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import shutil
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from runagent_grpc.testing import RunningServer, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1300)]

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "stubs.md").read_text()
ENVIRONMENT = ROOT / ".venv-stubs"
BUILD_SECONDS = 600.0

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
FENCE = re.compile(r"^```(?P<language>\w+) (?P<name>\S+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {(match["language"], match["name"]): match["body"] for match in FENCE.finditer(PAGE)}
OUTPUT = BLOCKS["text", "output"]


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(ROOT / "examples" / "quickstart") as server:
        yield server


def test_python_calls_with_generated_stubs(server: RunningServer, tmp_path: Path) -> None:
    written(tmp_path, server, "python")
    # What it installs is kept; what it generates and runs is not.
    script = BLOCKS["sh", "python"].partition("\n")[2]
    assert ran(script, tmp_path, python_tools()) == OUTPUT


def test_go_calls_with_generated_stubs(server: RunningServer, tmp_path: Path) -> None:
    needed("go")
    written(tmp_path, server, "go")
    tools = python_tools()
    binaries = tmp_path / "bin"
    # The compiler is the one in grpcio-tools, under the name that the page calls it by.
    binaries.mkdir()
    protoc = binaries / "protoc"
    protoc.write_text('#!/bin/sh\nexec python -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    assert ran(BLOCKS["sh", "go"], tmp_path, binaries, tools, GOBIN=str(binaries)) == OUTPUT


def test_java_calls_with_generated_stubs(server: RunningServer, tmp_path: Path) -> None:
    if os.environ.get("JAVA_STUBS") != "1":
        pytest.skip("Maven fetches 200 MB for it: set JAVA_STUBS=1, or run `make stubs`.")
    needed("java")
    needed("mvn")
    written(tmp_path, server, "xml", "java")
    # Maven puts colours around whatever it runs, even where it prints none.
    assert COLOUR.sub("", ran(BLOCKS["sh", "java"], tmp_path)) == OUTPUT


def written(folder: Path, server: RunningServer, *languages: str) -> None:
    """Writes a language's files, with the protos, and with nothing changed but the port."""
    shutil.copytree(ROOT / "protos", folder / "protos")
    for (language, name), body in BLOCKS.items():
        if language in languages and "." in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(body.replace("50051", str(server.grpc_port)))


def ran(script: str, folder: Path, *paths: Path, **variables: str) -> str:
    """Returns what a script prints at its end, which is to say behind what its tools print."""
    path = os.pathsep.join([*map(str, paths), os.environ["PATH"]])
    # What toolchains have fetched before lies in the true home.
    home = pwd.getpwuid(os.getuid()).pw_dir
    ended = subprocess.run(
        ["/bin/bash", "-euc", script],
        cwd=folder,
        env={**os.environ, "HOME": home, "PATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def python_tools() -> Path:
    """Returns where the programs are of an environment that holds gRPC and nothing of ours."""
    ENVIRONMENT.mkdir(exist_ok=True)
    with (ENVIRONMENT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = ENVIRONMENT / "done"
        if not done.exists():
            venv.create(ENVIRONMENT, with_pip=True)
            packages = BLOCKS["sh", "python"].partition("\n")[0].removeprefix("pip install ").split()
            command = [ENVIRONMENT / "bin" / "python", "-m", "pip", "install", "--quiet", *packages]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
            if ended.returncode != 0:
                missing(f"pip cannot install {' '.join(packages)}: {ended.stderr.strip()[-500:]}")
            done.touch()
    return ENVIRONMENT / "bin"


def needed(program: str) -> None:
    if shutil.which(program) is None:
        missing(f"{program} is not on this machine.")


def missing(reason: str) -> None:
    if os.environ.get("REQUIRE_TOOLCHAINS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
