"""`runagent run` against a real server."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.cli.commands import PATIENCE_SECONDS, Cli
from tests.waiting import eventually

PROBE = ("--id", "probe", "--local")


@pytest.mark.parametrize(
    ("kind", "out"),
    [
        ("text", b"two\nlines\n"),
        ("unicode", "grüße 🌊\n".encode()),
        ("bytes", b"\x00\xff\n\x80"),
        ("none", b"null\n"),
        ("integer", b"1000000000000000000000000000000\n"),
        ("list", '[1,1.0,"é",{"a":null}]\n'.encode()),
    ],
)
def test_the_value_and_nothing_else_is_on_standard_output(probe: Cli, kind: str, out: bytes) -> None:
    outcome = probe("run", *PROBE, "--tag", "value_of", f"--kind={kind}")
    assert (outcome.code, outcome.out, outcome.err) == (0, out, "")


def test_output_is_utf8_whatever_the_locale(probe: Cli) -> None:
    plain = probe.with_variables(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    outcome = plain("run", *PROBE, "--tag", "value_of", "--kind=unicode")
    assert (outcome.code, outcome.out) == (0, "grüße 🌊\n".encode())


def test_free_parameters_are_coerced_by_the_signature(probe: Cli) -> None:
    outcome = probe("run", *PROBE, "--tag", "kinds", "--count=3", "--ratio=2", "--loud=yes", '--tags=["a=b", "c"]')
    assert json.loads(outcome.out) == {"count": 3, "ratio": 2.0, "loud": True, "tags": ["a=b", "c"]}


def test_free_values_arrive_as_they_were_typed(probe: Cli) -> None:
    outcome = probe(
        "run", *PROBE, "--tag", "anything", "--a=", "--b==x", "--c= grüße 'n' \"q\" ", "--self=s", "--d-e=1"
    )
    assert json.loads(outcome.out) == {"a": "", "b": "=x", "c": " grüße 'n' \"q\" ", "self": "s", "d-e": "1"}


def test_after_a_bare_double_dash_a_known_name_is_free(probe: Cli) -> None:
    outcome = probe("run", *PROBE, "--tag", "label", "--", "--tag=red", "--timeout=never", "--input=x")
    assert (outcome.code, outcome.out) == (0, b"red,never,x\n")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_an_input_file_holds_the_parameters(probe: Cli, tmp_path: Path, bom: bytes) -> None:
    (tmp_path / "input.json").write_bytes(bom + b'{"count": 7, "tags": ["x"]}')
    outcome = probe("run", *PROBE, "--tag", "kinds", "--input", "input.json", cwd=tmp_path)
    assert json.loads(outcome.out) == {"count": 7, "ratio": 0.5, "loud": False, "tags": ["x"]}


def test_standard_input_may_hold_the_parameters(probe: Cli) -> None:
    outcome = probe("run", *PROBE, "--tag", "greet", "--input", "-", stdin='{"name": "Zoë"}'.encode())
    assert (outcome.code, outcome.out) == (0, "Hello, Zoë!\n".encode())


def test_the_user_and_the_memory_travel_with_the_call(probe: Cli) -> None:
    outcome = probe("run", *PROBE, "--tag", "whose", "--user-id", "ada", "--persistent-memory")
    assert outcome.out == b'["ada",true]\n'


def test_agent_id_is_another_name_for_id(probe: Cli) -> None:
    assert probe("run", "--agent-id", "probe", "--local", "--tag", "greet", "--name=Ada").out == b"Hello, Ada!\n"


def test_what_the_entrypoint_raised_is_one_line(probe: Cli) -> None:
    outcome = probe("run", *PROBE, "--tag", "fail", "--text=The model is out of tokens.")
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err == "❌ Execution failed: The model is out of tokens.\n"


def test_a_terminal_obeys_no_server(probe: Cli) -> None:
    outcome = probe("run", *PROBE, "--tag", "fail", "--text=\x1b]0;owned\x07 line\nnext")
    assert outcome.err == "❌ Execution failed: \ufffd]0;owned\ufffd line\nnext\n"


def test_a_parameter_that_does_not_fit_is_named(probe: Cli) -> None:
    outcome = probe("run", *PROBE, "--tag", "kinds", "--count=three")
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.error.startswith("❌ Execution failed: Argument `count`: ")


def test_an_unknown_tag_fails_with_those_there_are(probe: Cli) -> None:
    outcome = probe("run", *PROBE, "--tag", "gret")
    assert (outcome.code, outcome.error) == (1, "❌ Execution failed: Entrypoint gret not found")
    assert "greet, kinds" in outcome.err.splitlines()[1]


def test_the_timeout_is_enforced(probe: Cli, tmp_path: Path) -> None:
    outcome = probe("run", *PROBE, "--tag", "wait", f"--folder={tmp_path}", "--timeout", "0.3")
    assert (outcome.code, outcome.out) == (1, b"")
    assert "timed out after" in outcome.error


def test_ctrl_c_cancels_the_call(probe: Cli, tmp_path: Path) -> None:
    with probe.started("run", *PROBE, "--tag", "wait", f"--folder={tmp_path}") as process:
        eventually((tmp_path / "started").exists)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out, err) == (130, b"", b"Cancelled.\n")
    eventually((tmp_path / "finished").exists)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="This system has no device that is always full.")
def test_a_full_disk_is_told(probe: Cli) -> None:
    outcome = probe.shell("runagent run --id probe --local --tag greet --name=Ada > /dev/full")
    assert (outcome.code, outcome.err) == (1, "❌ The output cannot be written: No space left on device.\n")


def test_a_closed_standard_output_is_told(probe: Cli) -> None:
    outcome = probe.shell("runagent run --id probe --local --tag greet --name=Ada >&-")
    assert (outcome.code, outcome.err) == (1, "❌ There is no standard output to write to.\n")


def test_ctrl_c_before_the_call_ends_the_command(cli: Cli, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "input")
    address = ("--host", "localhost", "--port", "1")
    command = ("run", *address, "--tag", "greet", "--input", str(tmp_path / "input"))
    # The pipe opens once the command reads from it.
    with cli.started(*command) as process, (tmp_path / "input").open("wb"):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, out, err) == (130, b"", b"Cancelled.\n")
