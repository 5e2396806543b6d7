"""The JavaScript SDK: its own tests, and what it is to people who install it, cut its connections, or browse."""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runagent_grpc.engine import EngineSettings
from runagent_grpc.errors import TABLE
from runagent_grpc.testing import serving
from tests.bridge.browser import CHROMIUM, browsing
from tests.cli.commands import EXAMPLES, Cli, ServeProcess
from tests.proxies.cutting import Cuts, Way, cutting
from tests.waiting import on_a_loop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
SDK = ROOT / "sdks" / "js"
README = (SDK / "README.md").read_text(encoding="utf-8")
SAMPLES = re.findall(r"^```js\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)

BUILD_SECONDS = 400.0
RUN_SECONDS = 60.0

OLDEST_NODE = 20

# Of a cut that is within a message or a frame, there are enough.
CHUNKS, CUTS, SILENCES, MOST_BYTES = 400, 20, 4, 2500

STORY = "Hello anonymous! You said: Tell me a story\n"


def missing(reason: str) -> None:
    if os.environ.get("REQUIRE_TOOLCHAINS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def run(
    *command: str, cwd: Path = SDK, seconds: float = RUN_SECONDS, variables: Mapping[str, str] | None = None
) -> str:
    """Returns what a program writes to its standard output. It has to end well."""
    ended = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def sdk() -> Path:
    """The SDK, built, as `make sdk-js` would."""
    for program in ("node", "npm", "make"):
        if shutil.which(program) is None:
            missing(f"{program} is not on this machine.")
    version = run("node", "--version").strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        missing(f"node is {version}; the SDK needs version {OLDEST_NODE} or newer.")
    run("make", "sdks/js/dist/cjs/package.json", cwd=ROOT, seconds=BUILD_SECONDS)
    return SDK


@pytest.fixture(scope="module")
def project(sdk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh project outside of the repository, in which the packed SDK is installed."""
    folder = tmp_path_factory.mktemp("project")
    packed = run("npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(folder)).split()[-1]
    (folder / "package.json").write_text('{"name": "fresh", "private": true}')
    run("npm", "install", "--silent", "--prefer-offline", "--no-audit", "--no-fund", packed, cwd=folder, seconds=200)
    return folder


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, ServeProcess]]:
    commands = Cli(tmp_path_factory.mktemp("quickstart"))
    with commands.serving(EXAMPLES / "quickstart") as server:
        yield commands, server


def test_the_sdks_own_checks_and_tests_pass(sdk: Path) -> None:
    run("make", "sdk-js", cwd=ROOT, seconds=BUILD_SECONDS)


def test_the_table_of_errors_is_the_servers(sdk: Path) -> None:
    script = """
        import { TABLE } from "./dist/esm/errors.js";
        const rows = Object.entries(TABLE).map(([reason, row]) => [
            reason, row.error.name, row.grpc, row.http, row.code,
        ]);
        console.log(JSON.stringify(rows));
    """
    told = json.loads(run("node", "--input-type=module", "--eval", script))
    assert told == [[reason, row.error.__name__, row.grpc, row.http, row.code] for reason, row in TABLE.items()]


def test_the_version_is_the_packages(sdk: Path) -> None:
    told = run("node", "--print", "require('runagent').VERSION").strip()
    assert told == json.loads((SDK / "package.json").read_text())["version"]


def test_the_lock_file_names_no_registry() -> None:
    packages = json.loads((SDK / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_a_sample_runs_as_it_is_printed_in_a_fresh_project(
    project: Path, quickstart: tuple[Cli, ServeProcess], number: int
) -> None:
    commands, server = quickstart
    sample = project / f"sample-{number}{'.cjs' if 'require(' in SAMPLES[number] else '.mjs'}"
    sample.write_text(SAMPLES[number])
    variables = {
        "RUNAGENT_CACHE_DIR": commands.environment["RUNAGENT_CACHE_DIR"],
        "RUNAGENT_BASE_URL": f"grpc://127.0.0.1:{server.port}",
    }
    told = run("node", str(sample), cwd=project, variables=variables)
    assert told.startswith(STORY) or told.splitlines()[-1] == "true"


def test_the_example_streams(sdk: Path, quickstart: tuple[Cli, ServeProcess]) -> None:
    commands, _ = quickstart
    variables = {"RUNAGENT_CACHE_DIR": commands.environment["RUNAGENT_CACHE_DIR"]}
    assert run("node", "example/chat.mjs", variables=variables).startswith(STORY)


def test_the_types_suit_a_caller(project: Path) -> None:
    (project / "typed.mts").write_text(
        """
        import { RunAgentClient, RunAgentError, type ChunkStream, type Reason } from "runagent";

        const client = new RunAgentClient({ agentId: "a", entrypointTag: "b", host: "h", port: 1 });
        const sum: number = await client.run({ first: 1 }, { args: [2], signal: new AbortController().signal });
        const stream: ChunkStream = client.runStream({ first: sum });
        for await (const chunk of stream) {
            const text: string = String(chunk);
            console.log(text);
        }
        const reason: Reason | undefined = new RunAgentError("a").reason;
        // @ts-expect-error -- a port is a number
        new RunAgentClient({ host: "h", port: "1" });
        console.log(reason);
        """
    )
    libraries = ["--target", "es2022", "--lib", "es2024,esnext.disposable,dom", "--types", "node"]
    options = ["--noEmit", "--strict", "--module", "nodenext", *libraries]
    compiler = str(SDK / "node_modules" / "typescript" / "bin" / "tsc")
    run(
        "node",
        compiler,
        *options,
        "--typeRoots",
        str(SDK / "node_modules" / "@types"),
        "typed.mts",
        cwd=project,
    )


READER = """
    import { RunAgentClient } from "runagent";
    const [port, transport] = process.argv.slice(1);
    const client = new RunAgentClient({
        agentId: "test-agent", entrypointTag: "noise_stream", host: "127.0.0.1", port: Number(port), transport,
    });
    for await (const chunk of client.runStream()) {
        console.log(chunk.split(" ")[0]);
    }
    await client.close();
"""


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
        told = run("node", "--input-type=module", "--eval", READER, "--", str(port), wire)
    assert [int(line) for line in told.split()] == list(range(1, CHUNKS + 1))
    # Over HTTP a client asks first what it meets. That connection may stay, and keep its cut to itself.
    assert len(cuts.made) >= count - 1
    assert len(runs) == 1


def test_the_browsers_build_has_no_code_of_node(sdk: Path) -> None:
    folder = sdk / "dist" / "esm"
    seen: set[Path] = set()
    ahead = [folder / "browser.js"]
    while ahead:
        file = ahead.pop()
        if file not in seen:
            seen.add(file)
            imported = re.findall(r"""(?:from|import)\s*\(?\s*["']([^"']+)["']""", file.read_text())
            assert [name for name in imported if not name.startswith(".")] == [], file
            ahead += [(file.parent / name).resolve() for name in imported]
    assert len(seen) > 10
    assert not {file.parent.name for file in seen} & {"node", "grpc", "gen"}


@pytest.mark.parametrize("keys", [(), ("a-key-for-the-page",)], ids=["open", "keyed"])
@on_a_loop
async def test_a_page_streams(sdk: Path, tmp_path: Path, keys: tuple[str, ...]) -> None:
    if CHROMIUM is None:
        missing("Chromium is not on this machine.")

    def count_stream(to: int) -> Iterator[Any]:
        yield from (2**60 + number for number in range(to))

    def shout(text: str) -> str:
        return text.upper()

    with serving({"count_stream": count_stream, "shout": shout}, api_keys=keys) as server, static(sdk / "dist") as url:
        async with browsing(tmp_path / "profile") as browser:
            await browser.open(f"{url}/page.html?{server.http_port}&{keys[0] if keys else ''}")
            await browser.until("window.told !== undefined")
            told = await browser.evaluate("window.told")
            complaints = browser.complaints
    assert complaints == []
    assert told == {
        "chunks": [str(2**60), str(2**60 + 1), str(2**60 + 2)],
        "value": "LOUD",
        "failure": "ENTRYPOINT_NOT_FOUND",
        "resumed": [str(2**60 + 2)],
    }


PAGE = b"""<!doctype html><link rel="icon" href="data:,"><script type="module">
import { RunAgentClient } from "/esm/browser.js";

const [port, apiKey] = location.search.slice(1).split("&");
const client = (entrypointTag) =>
    new RunAgentClient({ entrypointTag, host: "127.0.0.1", port: Number(port), apiKey, onDisconnect: "detach" });
const all = async (stream) => {
    const chunks = [];
    for await (const chunk of stream) chunks.push(String(chunk));
    return chunks;
};
const stream = client("count_stream").runStream({ to: 3 });
const chunks = await all(stream);
window.told = {
    chunks,
    value: await client("shout").run({ text: "loud" }),
    failure: await all(client("none_stream").runStream()).catch((error) => error.reason),
    resumed: await all(client("count_stream").resume(stream.invocationId, 2)),
};
</script>"""


class _Pages(http.server.SimpleHTTPRequestHandler):
    """A folder, and one page beside it."""

    def do_GET(self) -> None:
        if not self.path.startswith("/page.html"):
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@contextmanager
def static(folder: Path) -> Iterator[str]:
    """Serves a folder for the length of the block; yields its URL."""
    handler = functools.partial(_Pages, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
