"""The Rust SDK: its own checks and tests, and what it is to people who build on it, or cut its connections."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest

from runagent_grpc.engine import EngineSettings
from runagent_grpc.testing import serving
from tests.cli.commands import EXAMPLES, Cli, ServeProcess
from tests.proxies.cutting import Cuts, Way, cutting

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2000)]

ROOT = Path(__file__).parents[2]
SDK = ROOT / "sdks" / "rust"
README = (SDK / "README.md").read_text(encoding="utf-8")
SAMPLE = re.findall(r"^```rust,no_run\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)[0]

BUILD_SECONDS = 900.0
RUN_SECONDS = 60.0

# Of a cut that is within a message or a frame, there are enough.
CHUNKS, CUTS, SILENCES, MOST_BYTES = 400, 20, 4, 2500

# Where the toolchain is, which a test's own home would hide. Read before there is one.
TOOLCHAIN = {
    name: os.environ.get(name, str(Path.home() / folder))
    for name, folder in {"CARGO_HOME": ".cargo", "RUSTUP_HOME": ".rustup"}.items()
}

STORY = "Hello anonymous! You said: Tell me a story\n"

# As the documentation of the published packages prints it, but for the agent's id.
PUBLISHED_SAMPLE = """\
use runagent::client::RunAgentClient;
use serde_json::json;
use futures::StreamExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = RunAgentClient::new(
        "quickstart",
        "chat_stream",  // Must end with _stream
        false
    ).await?;

    let mut stream = client.run_stream(&[
        ("message", json!("Tell me a story"))
    ]).await?;

    while let Some(chunk) = stream.next().await {
        print!("{}", chunk?);
    }

    Ok(())
}
"""


def missing(reason: str) -> None:
    if os.environ.get("REQUIRE_TOOLCHAINS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def run(
    *command: str,
    cwd: Path = SDK,
    seconds: float = RUN_SECONDS,
    variables: Mapping[str, str] | None = None,
    said: str = "",
) -> str:
    """Returns what a program writes to its standard output. It has to end well."""
    ended = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **TOOLCHAIN, **(variables or {})},
        input=said,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def sdk() -> Path:
    """The SDK, with its examples built."""
    for program in ("cargo", "cargo-clippy", "rustfmt", "make", "cc"):
        if shutil.which(program) is None:
            missing(f"{program} is not on this machine.")
    run("cargo", "build", "--quiet", "--examples", seconds=BUILD_SECONDS)
    return SDK


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, ServeProcess]]:
    commands = Cli(tmp_path_factory.mktemp("quickstart"))
    with commands.serving(EXAMPLES / "quickstart") as server:
        yield commands, server


@pytest.fixture(scope="module")
def project(sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project outside of the repository, which depends on the packed crate, as the README says."""
    run("cargo", "package", "--quiet", "--allow-dirty", "--no-verify", seconds=BUILD_SECONDS)
    folder = tmp_path_factory.mktemp("project")
    [packed] = (sdk / "target" / "package").glob("runagent-*.crate")
    shutil.unpack_archive(packed, folder, format="gztar")
    crate = folder / packed.stem
    run("cargo", "init", "--quiet", "--vcs", "none", "--name", "fresh", str(folder / "fresh"))
    fresh = folder / "fresh"
    # The same versions as in the SDK's own tests, which are built already.
    shutil.copy(sdk / "Cargo.lock", fresh)
    run("cargo", "add", "--quiet", "--path", str(crate), cwd=fresh)
    run("cargo", "add", "--quiet", "futures", "serde_json", cwd=fresh)
    run("cargo", "add", "--quiet", "tokio", "--features", "macros,rt-multi-thread", cwd=fresh)
    return fresh


def test_the_sdks_own_checks_and_tests_pass(sdk: Path) -> None:
    run("make", "sdk-rust", cwd=ROOT, seconds=BUILD_SECONDS, variables={"RUNAGENT_PYTHON": sys.executable})


@pytest.mark.parametrize("sample", [SAMPLE, PUBLISHED_SAMPLE], ids=["readme", "published"])
def test_a_sample_streams_as_it_is_printed_in_a_fresh_project(
    project: Path, quickstart: tuple[Cli, ServeProcess], sample: str
) -> None:
    commands, server = quickstart
    (project / "src" / "main.rs").write_text(sample)
    variables = {
        "CARGO_TARGET_DIR": str(SDK / "target"),
        # As the SDK builds its dependencies, so that they need not be built again.
        "CARGO_PROFILE_DEV_DEBUG": "0",
        "RUNAGENT_CACHE_DIR": commands.environment["RUNAGENT_CACHE_DIR"],
        "RUNAGENT_BASE_URL": f"grpc://127.0.0.1:{server.port}",
    }
    told = run("cargo", "run", "--quiet", cwd=project, seconds=BUILD_SECONDS, variables=variables)
    assert told.startswith(STORY)


def test_the_example_finds_the_agent_on_this_machine(sdk: Path, quickstart: tuple[Cli, ServeProcess]) -> None:
    commands, _ = quickstart
    variables = {"RUNAGENT_CACHE_DIR": commands.environment["RUNAGENT_CACHE_DIR"]}
    told = run("cargo", "run", "--quiet", "--example", "story", variables=variables)
    assert told.startswith(STORY)


@pytest.mark.parametrize("way", [None, Way.STALL], ids=["cut", "silent"])
@pytest.mark.parametrize("wire", ["grpc", "http"])
def test_a_stream_comes_whole_and_in_order_through_a_proxy(sdk: Path, wire: str, way: Way | None) -> None:
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
        call = {"id": "it", "method": "run_stream", "agent_id": "test-agent", "entrypoint_tag": "noise_stream"}
        line = json.dumps({**call, "host": "127.0.0.1", "port": port, "transport": wire, "args": [], "kwargs": {}})
        runner = ("cargo", "run", "--quiet", "--example", "conformance")
        outcome = json.loads(run(*runner, said=f"{line}\n"))
    assert outcome["ended"] == "completed", outcome.get("error")
    assert [int(chunk["text"].split()[0]) for chunk in outcome["chunks"]] == list(range(1, CHUNKS + 1))
    # Over HTTP a client asks first what it meets, and that connection may end before its cut.
    assert len(cuts.made) >= count - 1
    assert len(runs) == 1
