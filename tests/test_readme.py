"""What the README and the examples' pages print, run as it is printed, in nothing but the port."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runagent_grpc.testing import serving
from tests.cli.commands import EXAMPLES, Cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def commands_of(page: Path) -> list[str]:
    """The calls that an example's page prints; a server is not one."""
    text = re.sub(r" *\\\n *", " ", page.read_text(encoding="utf-8"))
    return re.findall(r"^    (runagent run.*)$", text, re.MULTILINE)


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "home")


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    commands = Cli(tmp_path_factory.mktemp("quickstart"))
    with commands.serving(EXAMPLES / "quickstart"):
        yield commands


@pytest.fixture(scope="module")
def data_report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    commands = Cli(tmp_path_factory.mktemp("data_report"))
    with commands.serving(EXAMPLES / "data_report"):
        yield commands


def test_the_demo_shows_its_report_while_it_is_written() -> None:
    command = [sys.executable, str(EXAMPLES / "demo.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        try:
            assert demo.stdout is not None
            first = demo.stdout.readline()
            assert demo.poll() is None, "the first line came with the last"
            rest, told = demo.communicate(timeout=60)
        finally:
            demo.kill()

    assert demo.returncode == 0, told
    assert first == "Report on deliveries.csv\n"
    assert "What stands out" in rest
    assert "$ runagent serve examples/data_report" in told


def test_an_agent_that_init_makes_is_served_and_streamed_from(cli: Cli, tmp_path: Path) -> None:
    make, stream = (block for block in blocks("sh") if block.startswith("runagent ") and "--framework" not in block)
    assert make.splitlines() == ["runagent init my_agent", "runagent serve my_agent"]
    assert cli.shell("runagent init my_agent", cwd=tmp_path).code == 0

    with cli.serving(tmp_path / "my_agent") as server:
        outcome = cli.shell(stream.replace("50051", str(server.port)))

    assert outcome.code == 0, outcome.err
    assert b"5" in outcome.out


def test_a_frameworks_agent_is_made_and_streams(cli: Cli, tmp_path: Path) -> None:
    (block,) = (block for block in blocks("sh") if "--framework" in block)
    make, install, serve = block.splitlines()
    assert cli.shell(make, cwd=tmp_path).code == 0
    # What it installs is in this environment already.
    assert install == "pip install -r my_graph/requirements.txt"
    assert (tmp_path / "my_graph" / "requirements.txt").is_file()
    assert serve == "runagent serve my_graph"

    with cli.serving(tmp_path / "my_graph") as server:
        call = '--tag ask_stream -- --stream_mode=messages --input=\'{"question": "Hello"}\''
        outcome = cli.shell(f"runagent run-stream --host 127.0.0.1 --port {server.port} {call}")

    assert outcome.code == 0, outcome.err
    assert b'"type":"AIMessageChunk"' in outcome.out


@pytest.mark.parametrize("sample", [block for block in blocks("python") if "RunAgentClient" in block])
def test_a_python_sample_streams(quickstart: Cli, sample: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", sample], env=dict(quickstart.environment), capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Hello anonymous! You said: Tell me a story\n")


def test_the_agent_that_the_page_writes_streams(tmp_path: Path) -> None:
    (source,) = (block for block in blocks("python") if block.startswith("# main.py"))
    (configuration,) = blocks("json")
    (tmp_path / "main.py").write_text(source)
    (tmp_path / "runagent.config.json").write_text(configuration)

    tag = json.loads(configuration)["agent_architecture"]["entrypoints"][0]["tag"]
    with serving(tmp_path) as server:
        assert list(server.client(tag).run(message="one two")) == ["one ", "two "]


def test_the_service_can_be_asked_what_it_serves_and_called(cli: Cli) -> None:
    ask, call = (block for block in blocks("sh") if block.startswith("buf curl"))
    with serving({"count_stream": lambda to: iter(range(to))}) as server:
        asked = cli.shell(ask.replace("127.0.0.1:50051", server.target))
        called = cli.shell(call.replace("127.0.0.1:50051", server.target))

    assert asked.code == 0, asked.err
    assert b"runagent.v1.AgentService/RunStream\n" in asked.out
    assert called.code == 0, called.err
    assert b'"chunkCount": "3"' in called.out


def test_a_program_that_knows_http_alone_can_call(cli: Cli, tmp_path: Path) -> None:
    (block,) = (block for block in blocks("sh") if block.startswith("curl"))
    # Sent as curl would, which not every machine has.
    curl, address, option, body = shlex.split(block.replace("\\\n", ""))
    (answer,) = (block for block in blocks("text") if '"success"' in block)
    assert (curl, option) == ("curl", "--data")
    assert cli.shell("runagent init my_agent", cwd=tmp_path).code == 0
    with cli.serving(tmp_path / "my_agent") as server:
        told = httpx.post(
            address.replace(":8450", f":{server.http_port}"),
            content=body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        ).text
    assert told.startswith(answer.strip().removesuffix("...}"))


@pytest.mark.parametrize("command", commands_of(EXAMPLES / "quickstart" / "README.md"))
def test_the_quickstarts_page_runs(quickstart: Cli, command: str) -> None:
    outcome = quickstart.shell(command, cwd=ROOT)

    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out


@pytest.mark.parametrize("command", commands_of(EXAMPLES / "data_report" / "README.md"))
def test_the_reports_page_runs(data_report: Cli, command: str) -> None:
    outcome = data_report.shell(command, cwd=ROOT)

    assert outcome.code == 0, outcome.err
    assert outcome.out
