"""The storyteller with its real model, in an environment of its own, served as anybody would serve it.

`make demo-llm` makes that environment; without it these tests are skipped.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runagent_grpc.client import RunAgentError
from tests.cli.commands import EXAMPLES, Cli
from tests.frameworks.environment import ServedAgent
from tests.frameworks.wires import WIRES, stream_over
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".venv-llm"
PYTHON = ENVIRONMENT / "bin" / "python"
PAGE = (EXAMPLES / "storyteller" / "README.md").read_text(encoding="utf-8")

# Long enough for a story in which much can happen, and nobody waits for its end.
LONG = 1_000
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """Commands in the model's environment. Skips the test, or fails it where that has to be, if there is none."""
    if not (ENVIRONMENT / "done").exists():
        reason = "The language model is not there; `make demo-llm` gets it."
        if os.environ.get("REQUIRE_TOOLCHAINS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return Cli(tmp_path_factory.mktemp("storyteller"), PYTHON)


@pytest.fixture(scope="module")
def storyteller(cli: Cli) -> Iterator[ServedAgent]:
    with served(cli) as agent:
        yield agent


@contextmanager
def served(cli: Cli, *options: str) -> Iterator[ServedAgent]:
    folder = EXAMPLES / "storyteller"
    with cli.serving(folder, *options) as process:
        yield ServedAgent(
            agent_id="storyteller",
            http_port=process.http_port,
            grpc_port=process.port,
            folder=folder,
            process=process,
            cli=cli,
        )


def python(cli: Cli, code: str) -> tuple[str, str]:
    """Runs code in the model's environment, and returns what it wrote."""
    ended = subprocess.run(
        [str(PYTHON), "-c", code], cwd=ROOT, env=dict(cli.environment), capture_output=True, text=True, timeout=60
    )
    return ended.stdout, ended.stderr


def told(agent: ServedAgent, **arguments: Any) -> str:
    with agent.client("story") as client:
        return str(client.run(**arguments))


def tokens_of(agent: ServedAgent, invocation_id: str) -> int:
    """How many tokens the model made for an invocation, as soon as that is known."""
    lines: list[str] = []

    def known() -> bool:
        with agent.client() as client:
            lines[:] = [line.text for line in client.list_logs(invocation_id) if " tokens" in line.text]
        return bool(lines)

    eventually(known)
    return int(lines[0].split()[0])


def test_a_seed_tells_one_story_over_every_wire(storyteller: ServedAgent) -> None:
    story = told(storyteller, max_tokens=16, seed=1)
    assert len(story.split()) > 5

    for wire in WIRES:
        pieces = list(stream_over(wire, storyteller, "story_stream", max_tokens=16, seed=1))
        assert "".join(pieces) == story, wire
        assert len(pieces) > 8
    assert told(storyteller, max_tokens=16, seed=2) != story


def test_a_story_is_heard_while_it_is_told(storyteller: ServedAgent) -> None:
    with storyteller.client("story_stream") as client, client.run_stream(max_tokens=LONG, seed=1) as pieces:
        assert next(pieces)
        assert pieces.invocation_id
        assert client.get_invocation(pieces.invocation_id).state == "RUNNING"


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_the_model_stops_when_its_listener_leaves(storyteller: ServedAgent, transport: str) -> None:
    client = storyteller.client("story_stream", transport=transport)
    with client, client.run_stream(max_tokens=LONG, temperature=2, seed=1) as pieces:
        heard = [next(pieces) for _ in range(5)]
    assert pieces.invocation_id

    assert len(heard) <= tokens_of(storyteller, pieces.invocation_id) < LONG // 2


def test_the_model_stops_reading_when_its_listener_leaves(storyteller: ServedAgent) -> None:
    # 2,000 tokens, which take ten seconds to read.
    prompt = "🪼" * 480
    with storyteller.client("story", timeout=0.5) as client, pytest.raises(RunAgentError) as failed:
        client.run(prompt=prompt)
    assert failed.value.invocation_id

    assert tokens_of(storyteller, failed.value.invocation_id) == 0


def test_the_model_stops_when_time_has_run_out(storyteller: ServedAgent) -> None:
    with storyteller.client("story", timeout=1.5) as client, pytest.raises(RunAgentError) as failed:
        client.run(max_tokens=LONG, temperature=2, seed=1)

    assert failed.value.code == "TIMEOUT_ERROR"
    assert failed.value.invocation_id
    assert tokens_of(storyteller, failed.value.invocation_id) < LONG // 2


def test_characters_arrive_whole_wherever_a_story_is_cut(storyteller: ServedAgent) -> None:
    # Some of these are one token, others as many as they have bytes.
    row = "🦄 🦩 🧿 🪼 🫠 🪱"
    for most in (1, 2, 3, 5, 8, 13):
        with storyteller.client("story_stream") as client:
            pieces = list(client.run_stream(prompt=f"{row} {row} {row} 🦄", max_tokens=most, temperature=0, seed=1))
        assert REPLACEMENT not in "".join(pieces)
    assert set(row.split()) & set(pieces)


def test_an_opening_that_is_too_long_for_the_model_says_so(storyteller: ServedAgent) -> None:
    with pytest.raises(RunAgentError, match=r"too long: \d{4} tokens of 2048\. Shorten it\."):
        # Four tokens each.
        told(storyteller, prompt="🪼" * 1_000)
    assert told(storyteller, max_tokens=4)


def test_health_is_answered_while_a_story_is_told(storyteller: ServedAgent) -> None:
    with storyteller.client("story_stream") as client, client.run_stream(max_tokens=LONG, seed=1) as pieces:
        next(pieces)
        with grpc.insecure_channel(storyteller.target) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            for _ in range(20):
                assert health.Check(health_pb2.HealthCheckRequest(), timeout=1).status == 1
        assert pieces.invocation_id
        assert client.get_invocation(pieces.invocation_id).state == "RUNNING"


def test_two_stories_are_told_one_after_the_other(storyteller: ServedAgent) -> None:
    with storyteller.client("story_stream") as client, client.run_stream(max_tokens=LONG, seed=1) as pieces:
        next(pieces)
        # A chat is another entrypoint, and so does not wait in the server's queue.
        with pytest.raises(RunAgentError) as failed, storyteller.client("chat_stream", timeout=0.5) as other:
            list(other.run_stream(message="Hello"))
        assert failed.value.code == "TIMEOUT_ERROR"
        assert next(pieces)
    with storyteller.client("chat_stream") as client:
        assert list(client.run_stream(message="Hello"))


def test_the_page_chats_in_a_terminal(storyteller: ServedAgent) -> None:
    (loop,) = re.findall(r"^```sh\n(while .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lines = "Good evening!\nHave you seen a whale?"
    ended = storyteller.cli.shell(f"{loop.rstrip()} <<'END'\n{lines}\nEND")

    assert (ended.err, ended.code) == ("", 0)
    assert len([line for line in ended.out.splitlines() if line]) == 2


def test_the_pages_commands_run(storyteller: ServedAgent) -> None:
    page = re.sub(r" *\\\n *", " ", PAGE.partition("## Chat")[0])
    commands = re.findall(r"^    (runagent run.*)$", page, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        outcome = storyteller.cli.shell(command)
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out


def test_a_server_that_is_stopped_in_the_middle_of_a_story_ends_well(cli: Cli) -> None:
    with served(cli, "--another") as agent:
        with agent.client("story_stream") as client, client.run_stream(max_tokens=12, seed=1) as pieces:
            next(pieces)
            agent.process.process.send_signal(signal.SIGTERM)
            assert list(pieces)
        assert agent.process.wait() == 0


def test_nobody_comes_in_by_the_models_own_port(cli: Cli) -> None:
    asked = """
import urllib.error, urllib.request
from examples.storyteller.gemma import Gemma
from examples.storyteller.weights import find_weights
gemma = Gemma(find_weights())
address = gemma._server.listening_address
assert address.startswith("http://127.0.0.1:"), address
for path in ("/completion", "/v1/completions", "/props", "/slots", "/metrics", "/"):
    try:
        print(urllib.request.urlopen(address + path, b'{"prompt": "Hi"}').status, end=" ")
    except urllib.error.HTTPError as error:
        print(error.code, end=" ")
"""
    assert python(cli, asked) == ("401 401 401 401 401 404 ", "")


def test_weights_that_cannot_be_put_together_say_what_to_do(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "share").touch()
    find = f"""
import sys
from examples.storyteller.weights import find_weights
sys.prefix = {str(tmp_path)!r}
find_weights()
"""
    _, err = python(cli, find)

    assert f"cannot be put together in {tmp_path}/share/storyteller" in err
    assert err.endswith("Make room there, or name a GGUF file elsewhere in STORYTELLER_MODEL.\n")


def test_the_demo_tells_its_story_in_time_where_there_is_no_network(cli: Cli) -> None:
    unshare = ["unshare", "--map-root-user", "--net", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "ip link set lo up"], check=False).returncode:
        pytest.skip("There is no network namespace to be had here.")
    ended = subprocess.run(
        [*unshare, f"ip link set lo up && exec {PYTHON} -m examples.demo_llm"],
        cwd=ROOT,
        env=dict(cli.environment),
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.split()) > 40
    assert "Gemma Terms of Use" in ended.stderr
    assert re.search(r"The story began \d\.\d\d s after the command was given; promised are 3 s\.$", ended.stderr)
