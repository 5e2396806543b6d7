"""The Go SDK: its own checks and tests, and what it is to people who get it, and whose connections are cut."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import serving
from tests.cli.commands import EXAMPLES, Cli, ServeProcess
from tests.proxies.cutting import Cuts, Way, cutting

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
SDK = ROOT / "sdks" / "go"
MODULE = "github.com/runagent-dev/runagent-go"
SAMPLE = re.findall(r"^```go\n(package main.*?)^```$", (SDK / "README.md").read_text(), re.MULTILINE | re.DOTALL)[0]

BUILD_SECONDS = 600.0
RUN_SECONDS = 60.0

# Of a cut that is within a message or a frame, there are enough.
CHUNKS, CUTS, SILENCES, MOST_BYTES = 400, 20, 4, 2500

STORY = "Hello anonymous! You said: Tell me a story\n"


def missing(reason: str) -> None:
    if os.environ.get("REQUIRE_TOOLCHAINS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def run(*command: str, cwd: Path, seconds: float = RUN_SECONDS, **variables: str) -> str:
    """Returns what a program writes to its standard output. It has to end well."""
    # What has been fetched and built before lies in the true home.
    home = pwd.getpwuid(os.getuid()).pw_dir
    environment = {**os.environ, "HOME": home, **variables}
    ended = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def sdk() -> Path:
    """The SDK, where this machine can build it."""
    for program in ("go", "make"):
        if shutil.which(program) is None:
            missing(f"{program} is not on this machine.")
    return SDK


@pytest.fixture(scope="module")
def project(sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh module outside of the repository that needs the SDK, and nothing else by itself."""
    folder = tmp_path_factory.mktemp("project")
    run("go", "mod", "init", "example.com/fresh", cwd=folder)
    run("go", "mod", "edit", f"-require={MODULE}@v0.0.0", f"-replace={MODULE}={sdk}", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, ServeProcess]]:
    commands = Cli(tmp_path_factory.mktemp("quickstart"))
    with commands.serving(EXAMPLES / "quickstart") as server:
        yield commands, server


def built(project: Path, name: str, source: str) -> str:
    """Builds a program in the fresh module, and returns where it is."""
    (project / name).mkdir()
    (project / name / "main.go").write_text(source)
    run("go", "build", "-mod=mod", "-o", f"{name}/program", f"./{name}", cwd=project, seconds=BUILD_SECONDS)
    return str(project / name / "program")


def test_the_sdks_own_checks_and_tests_pass(sdk: Path) -> None:
    run("make", "sdk-go", cwd=ROOT, seconds=BUILD_SECONDS, REQUIRE_TOOLCHAINS="1")


def test_the_sample_runs_as_it_is_printed_in_a_fresh_module(
    project: Path, quickstart: tuple[Cli, ServeProcess]
) -> None:
    _, server = quickstart
    assert "8450" in SAMPLE
    program = built(project, "sample", SAMPLE.replace("8450", str(server.port)))
    assert run(program, cwd=project).startswith(STORY)


def test_the_example_finds_the_agent_on_this_machine(
    sdk: Path, tmp_path: Path, quickstart: tuple[Cli, ServeProcess]
) -> None:
    commands, _ = quickstart
    program = str(tmp_path / "stream")
    run("go", "build", "-o", program, "./examples/stream", cwd=sdk, seconds=BUILD_SECONDS)
    cache = commands.environment["RUNAGENT_CACHE_DIR"]
    told = run(program, "-port", "0", "Tell me a story", cwd=tmp_path, RUNAGENT_CACHE_DIR=cache)
    assert told.startswith(STORY)


READER = """
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/runagent-dev/runagent-go/pkg/client"
)

func main() {
	c, err := client.New("test-agent", "noise_stream",
		client.WithBaseURL("http://127.0.0.1:"+os.Args[1]), client.WithTransport(client.Transport(os.Args[2])))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	stream, err := c.RunStream(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	for chunk, err := range stream.All(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		number, _, _ := strings.Cut(chunk.(string), " ")
		fmt.Println(number)
	}
}
"""


@pytest.fixture(scope="module")
def reader(project: Path) -> str:
    return built(project, "reader", READER)


@pytest.mark.parametrize("way", [None, Way.STALL], ids=["cut", "silent"])
@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_a_stream_comes_whole_and_in_order_through_a_proxy(reader: str, wire: str, way: Way | None) -> None:
    runs: list[str] = []

    async def noise_stream() -> AsyncIterator[str]:
        runs.append("run")
        for number in range(1, CHUNKS + 1):
            yield f"{number} {os.urandom(90).hex()}"
            await asyncio.sleep(0.0005)

    count = CUTS if way is None else SILENCES
    cuts = Cuts.seeded(1, count, most_bytes=MOST_BYTES, ways=(Way.RESET, Way.CLOSE) if way is None else (way,))
    settings = EngineSettings(window_bytes=1024, heartbeat_interval=0.2)
    with (
        serving({"noise_stream": noise_stream}, engine=settings) as server,
        cutting(cuts, server.grpc_port if wire == "grpc" else server.http_port) as (port,),
    ):
        told = run(reader, str(port), wire, cwd=ROOT)
    assert [int(line) for line in told.split()] == list(range(1, CHUNKS + 1))
    # Over HTTP a client asks first what it meets. That connection may stay, and keep its cut to itself.
    assert len(cuts.made) >= count - 1
    assert len(runs) == 1
