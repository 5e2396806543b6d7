"""`runagent check`: every mistake found, each with its place and what mends it, and nothing said of what is sound."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runagent_grpc.lint import review_agent
from tests.cli.broken_agents import BROKEN
from tests.cli.checked_agents import CONFIG, MAIN, Case, config, entry, write_agent
from tests.cli.commands import EXAMPLES, Cli, Outcome
from tests.cli.doubtful_agents import DOUBTFUL
from tests.cli.terminals import at_a_terminal


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, tuple[Path, Outcome]]]:
    """How each case's check ended, and the folder of it."""
    folder = tmp_path_factory.mktemp("agents")
    cli = Cli(folder / "home")
    cases = [*BROKEN, *DOUBTFUL]
    for case in cases:
        write_agent(folder / case.name, case.files)
    # Most of a check is the start of Python.
    with ThreadPoolExecutor(4) as threads:
        outcomes = threads.map(lambda case: cli("check", case.name, cwd=folder), cases)
        yield {case.name: (folder / case.name, outcome) for case, outcome in zip(cases, outcomes, strict=True)}


def test_there_are_twenty_broken_agents_and_more() -> None:
    assert len({case.name for case in BROKEN}) >= 20


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_a_broken_agent_is_told_with_its_place_and_what_mends_it(
    case: Case, checked: Mapping[str, tuple[Path, Outcome]]
) -> None:
    folder, outcome = checked[case.name]
    count = len(re.findall(": error$", case.said, re.MULTILINE))
    counted = "1 error." if count == 1 else f"{count} errors."
    expected, said = f"{case.said}\n{counted}\n".replace("{folder}", str(folder)), outcome.out.decode()
    assert said.split() == expected.split()
    # Where a line breaks depends on how long the folder's name is.
    assert said == expected or str(folder) in said
    assert outcome.code == 1


@pytest.mark.parametrize("case", DOUBTFUL, ids=lambda case: case.name)
def test_a_doubtful_agent_can_be_served_and_is_told_all_the_same(
    case: Case, checked: Mapping[str, tuple[Path, Outcome]]
) -> None:
    _, outcome = checked[case.name]
    said = outcome.out.decode()
    assert said.startswith(case.said)
    assert said.endswith("\n\n1 warning.\n")
    assert "\nAn agent (an-agent) can be served:\n" in said
    assert (outcome.err, outcome.code) == ("", 0)


@pytest.mark.parametrize("case", [*BROKEN, *DOUBTFUL], ids=lambda case: case.name)
def test_what_is_said_mends_the_agent(case: Case, tmp_path: Path) -> None:
    review = review_agent(write_agent(tmp_path / case.name, case.mended))
    assert review.findings == ()
    assert review.agent is not None


@pytest.mark.parametrize("case", [*BROKEN, *DOUBTFUL], ids=lambda case: case.name)
def test_no_line_is_wider_than_a_terminal(case: Case, checked: Mapping[str, tuple[Path, Outcome]]) -> None:
    folder, outcome = checked[case.name]
    lines = [line for line in outcome.out.decode().splitlines() if str(folder) not in line]
    assert [line for line in lines if len(line) > 80] == []


@pytest.mark.parametrize("tag", ["a`b", "a`, file `b", "a: b", "a\nb"])
def test_an_entrypoint_is_found_in_its_line_whatever_its_tag(tag: str, tmp_path: Path) -> None:
    broken = entry(tag=tag, module="missing")
    (finding,) = review_agent(write_agent(tmp_path / "agent", {CONFIG: config(entry(), broken)})).findings
    text = (tmp_path / "agent" / CONFIG).read_text()
    line = text[: text.index('"missing"')].count("\n") + 1
    assert (finding.kind, finding.file, finding.line) == ("entrypoint", CONFIG, line)


def test_a_librarys_generator_is_warned_of_where_its_tag_stands(tmp_path: Path) -> None:
    files = {"main.py": MAIN + "\nfrom ast import walk\n", CONFIG: config(entry(), entry(tag="walk", module="walk"))}
    (finding,) = review_agent(write_agent(tmp_path / "agent", files)).findings
    text = (tmp_path / "agent" / CONFIG).read_text()
    line = text[: text.index('"tag": "walk"')].count("\n") + 1
    assert (finding.kind, finding.file, finding.line) == ("generator-without-stream", CONFIG, line)


def test_several_mistakes_are_told_at_once_and_what_serve_refuses_is_among_them(cli: Cli, tmp_path: Path) -> None:
    text = config(
        entry(module="gret"),
        entry(tag="words", module="words_stream"),
        entry(tag="broken", file="broken.py"),
        {"tag": "hook", "webhook_url": "https://example.com/hook", "method": "PUT"},
        framework="langraph",
        env_vars={"A": "${OUR_TEST_UNSET}"},
        auth_settings={"type": "api_key"},
    )
    write_agent(tmp_path / "agent", {CONFIG: text, "broken.py": "1 / 0\n"})
    outcome = cli("check", "agent", cwd=tmp_path)
    said = outcome.out.decode()

    def line_with(words: str) -> int:
        return next(number for number, line in enumerate(text.splitlines(), start=1) if words in line)

    assert re.findall(r"^agent/(\S+: \w+)$", said, re.MULTILINE) == [
        *(f"{CONFIG}:{line_with(words)}: error" for words in ("api_key", "langraph", "PUT", "UNSET", "gret")),
        "broken.py:1: error",
        "main.py:5: warning",
    ]
    assert said.endswith("\n\n6 errors, 1 warning.\n")
    refused = cli("serve", "agent", "--port", "0", "--grpc-port", "0", cwd=tmp_path)
    assert refused.code == outcome.code == 1
    for words in ("langgraph", "OUR_TEST_UNSET", "'PUT'", "`gret`", "ZeroDivisionError"):
        assert words in refused.err
        assert words in said


@pytest.mark.parametrize("agent", ["quickstart", "data_report"])
def test_the_examples_are_sound(cli: Cli, agent: str) -> None:
    outcome = cli("check", str(EXAMPLES / agent), "--strict")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.decode().endswith("\n\nNo errors, no warnings.\n")


def test_an_agent_that_is_sound_is_told_as_what_it_serves(cli: Cli, tmp_path: Path) -> None:
    write_agent(tmp_path / "agent", {CONFIG: config(entry(), entry(tag="words_stream", module="words_stream"))})
    outcome = cli("check", cwd=tmp_path / "agent")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.decode() == (
        "An agent (an-agent) can be served:\n  greet         value\n  words_stream  stream\n\nNo errors, no warnings.\n"
    )


def test_warnings_fail_a_strict_check_alone(cli: Cli, tmp_path: Path) -> None:
    write_agent(tmp_path / "agent", {CONFIG: config(entry(tag="words", module="words_stream"))})
    assert cli("check", "agent", cwd=tmp_path).code == 0
    assert cli("check", "agent", "--strict", cwd=tmp_path).code == 1


def test_a_program_gets_one_object(cli: Cli, tmp_path: Path) -> None:
    write_agent(tmp_path / "agent", {CONFIG: config(entry(tag="words", module="words_stream"))})
    told = json.loads(cli("check", "agent", "--json", cwd=tmp_path).out)
    assert told == {
        "folder": str(tmp_path / "agent"),
        "errors": 0,
        "warnings": 1,
        "findings": [
            {
                "severity": "warning",
                "kind": "generator-without-stream",
                "file": "main.py",
                "line": 5,
                "text": "`words_stream` yields, but the tag `words` does not stream: callers get one list when all is "
                "done. Name the tag `words_stream`, or return a list.",
            }
        ],
        "agent": {
            "agent_id": "an-agent",
            "agent_name": "An agent",
            "framework": "default",
            "entrypoints": [{"tag": "words", "streaming": False, "description": ""}],
        },
    }
    (tmp_path / "agent" / "main.py").unlink()
    outcome = cli("check", "agent", "--json", cwd=tmp_path)
    told = json.loads(outcome.out)
    assert (outcome.code, told["errors"], told["warnings"], told["agent"]) == (1, 1, 0, None)
    assert [finding["kind"] for finding in told["findings"]] == ["entrypoint"]


def test_a_server_configuration_that_serve_would_refuse_is_an_error(cli: Cli, tmp_path: Path) -> None:
    write_agent(tmp_path / "agent", {CONFIG: config()})
    (tmp_path / "server.yaml").write_text("limits:\n  max_queued: many\n")
    outcome = cli("check", "agent", "--config", "server.yaml", "--json", cwd=tmp_path)
    (finding,) = json.loads(outcome.out)["findings"]
    assert (outcome.code, finding["severity"], finding["kind"]) == (1, "error", "server")
    assert finding["text"].startswith("server.yaml, line 2: `limits.max_queued`: expected a whole number")


def test_keys_that_serve_would_be_given_are_counted_on(cli: Cli, tmp_path: Path) -> None:
    write_agent(tmp_path / "agent", {CONFIG: config(auth_settings={"type": "api_key"})})
    (tmp_path / "keys.txt").write_text("0123456789abcdef\n")
    (tmp_path / "keys.txt").chmod(0o600)
    assert cli("check", "agent", cwd=tmp_path).code == 1
    assert cli("check", "agent", "--api-key-file", "keys.txt", cwd=tmp_path).code == 0
    assert cli.with_variables(RUNAGENT_API_KEYS="0123456789abcdef")("check", "agent", cwd=tmp_path).code == 0
    (tmp_path / "server.yaml").write_text("listen: {api_key_file: keys.txt}\n")
    assert cli("check", "agent", "--config", "server.yaml", cwd=tmp_path).code == 0
    assert cli.with_variables(RUNAGENT_SERVER_API_KEY_FILE="keys.txt")("check", "agent", cwd=tmp_path).code == 0
    missing = cli("check", "agent", "--api-key-file", "no.txt", cwd=tmp_path)
    assert missing.out.decode() == (
        "agent: error\n  The API key file no.txt cannot be read: No such file or directory.\n\n1 error.\n"
    )


def test_what_the_agent_prints_is_kept_apart_whoever_prints_it(cli: Cli, tmp_path: Path) -> None:
    noise = (
        "import atexit, os, subprocess, sys\nprint('one')\nsys.__stdout__.write('two\\n')\nos.write(1, b'three\\n')\n"
        "subprocess.run(['echo', 'four'])\natexit.register(os.write, 1, b'five\\n')\nsys.stdout = sys.stderr = None\n"
    )
    write_agent(tmp_path / "agent", {"main.py": noise + MAIN})
    outcome = cli("check", "agent", "--json", cwd=tmp_path)
    assert (outcome.code, json.loads(outcome.out)["findings"]) == (0, [])
    assert sorted(outcome.err.split()) == ["five", "four", "one", "three", "two"]


def test_a_thread_that_the_agent_has_started_keeps_nobody_waiting(cli: Cli, tmp_path: Path) -> None:
    threads = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    write_agent(tmp_path / "agent", {"main.py": threads + MAIN})
    outcome = cli("check", "agent", cwd=tmp_path)
    assert (outcome.code, outcome.out.decode().endswith("No errors, no warnings.\n")) == (0, True)


def test_a_name_with_a_terminals_commands_in_it_is_shown_without_them(cli: Cli, tmp_path: Path) -> None:
    write_agent(tmp_path / "agent", {CONFIG: config(agent_name="A\x1b[31m name")})
    assert b"\x1b" not in cli("check", "agent", cwd=tmp_path).out


def test_a_person_at_a_terminal_reads_the_same(cli: Cli, tmp_path: Path) -> None:
    folder = write_agent(tmp_path / "agent", {"main.py": "print('loading')\n" + MAIN})
    with at_a_terminal(cli, "check", str(folder)) as screen:
        text = screen.to_the_end()
    assert text.startswith("loading\nAn agent (an-agent) can be served:\n")
    assert screen.process.returncode == 0


def test_a_line_that_makes_no_sense_is_a_usage_error(cli: Cli) -> None:
    assert cli("check", "one", "two").code == 2
    assert cli("check", "--what").code == 2
