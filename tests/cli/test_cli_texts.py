"""The documented texts and exit codes of `run` and `run-stream` (docs/wire.md, CLI texts)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.commands import Cli

HERE = ("--host", "localhost", "--port", "1")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(
            ("run-stream", *HERE, "--tag", "chat"),
            "Execution failed: Streaming command requires entrypoint tag ending with '_stream'. Got: chat",
            id="a tag without the suffix",
        ),
        pytest.param(
            ("run-stream", "--tag", "chat_stream"),
            "Execution failed: Either --id or both --host and --port are required",
            id="no address to stream from",
        ),
        pytest.param(
            ("run-stream", "--tag", "chat_stream", "--host", "localhost"),
            "Execution failed: Either --id or both --host and --port are required",
            id="half an address to stream from",
        ),
        pytest.param(
            ("run", *HERE, "--tag", "chat_stream"),
            "Execution failed: Cannot use streaming Entrypoint tag `chat_stream` through non-streaming endpoint.",
            id="a streaming tag for run",
        ),
    ],
)
def test_a_call_that_cannot_be_fails_with_the_documented_text(cli: Cli, arguments: tuple[str, ...], text: str) -> None:
    outcome = cli(*arguments)
    assert (outcome.code, outcome.error, outcome.out) == (1, f"❌ {text}", b"")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(
            ("run", "--id", "x", "--host", "localhost", "--port", "1", "--tag", "chat"),
            "Cannot specify both --agent-id and --host/--port. Choose one approach.",
            id="an id and an address",
        ),
        pytest.param(
            ("run", "--agent-id", "x", "--port", "1", "--tag", "chat"),
            "Cannot specify both --agent-id and --host/--port. Choose one approach.",
            id="an id and half an address",
        ),
        pytest.param(
            ("run", "--tag", "chat"),
            "Must specify either --agent-id or both --host and --port.",
            id="neither",
        ),
        pytest.param(
            ("run", "--tag", "chat", "--host", "localhost"),
            "When using host/port, both --host and --port must be specified.",
            id="a host alone",
        ),
        pytest.param(
            ("run", "--tag", "chat", "--port", "1"),
            "When using host/port, both --host and --port must be specified.",
            id="a port alone",
        ),
        pytest.param(
            ("run-stream", "--id", "x", "--tag", "chat_stream", "--port", "1"),
            "When using host/port, both --host and --port must be specified.",
            id="an id and a port alone to stream from",
        ),
    ],
)
def test_an_address_that_makes_no_sense_is_a_usage_error(cli: Cli, arguments: tuple[str, ...], text: str) -> None:
    outcome = cli(*arguments)
    assert (outcome.code, outcome.error, outcome.out) == (2, f"Error: {text}", b"")


@pytest.mark.parametrize("command", [("run", "--tag", "chat"), ("run-stream", "--tag", "chat_stream")])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(
            ("--input", "input.json", "--message=Hi"),
            "Cannot specify both --input file and extra parameters. "
            "Use either --input config.json OR --param1=value1 --param2=value2",
            id="a file and parameters",
        ),
        pytest.param(
            ("x",),
            "Invalid extra arguments: ['x']. Extra parameters must be in --key=value format.",
            id="a stray word",
        ),
        pytest.param(
            ("--message", "Hi", "--ok=1", "-q", "--=x"),
            "Invalid extra arguments: ['--message', 'Hi', '-q', '--=x']. "
            "Extra parameters must be in --key=value format.",
            id="a key without its value",
        ),
        pytest.param(
            ("--input", "missing.json"),
            "Invalid value for '--input': File 'missing.json' does not exist.",
            id="a file that is not there",
        ),
        pytest.param(
            ("--timeout", "0"), "Invalid value for '--timeout': 0.0 is not in the range 0<x<=31536000.", id="no time"
        ),
        pytest.param(
            ("--timeout", "soon"), "Invalid value for '--timeout': 'soon' is not a valid float range.", id="no number"
        ),
    ],
)
def test_arguments_that_make_no_sense_are_a_usage_error(
    cli: Cli, tmp_path: Path, command: tuple[str, ...], arguments: tuple[str, ...], text: str
) -> None:
    (tmp_path / "input.json").write_text("{}")
    outcome = cli(*command, *HERE, *arguments, cwd=tmp_path)
    assert (outcome.code, outcome.error, outcome.out) == (2, f"Error: {text}", b"")


@pytest.mark.parametrize("command", [("run", "--tag", "chat"), ("run-stream", "--tag", "chat_stream")])
@pytest.mark.parametrize("content", [b"{", b"", b"\xff", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 101 + b"]" * 101])
def test_a_file_without_json_is_named(cli: Cli, tmp_path: Path, command: tuple[str, ...], content: bytes) -> None:
    (tmp_path / "input.json").write_bytes(content)
    outcome = cli(*command, *HERE, "--input", "input.json", cwd=tmp_path)
    assert (outcome.code, outcome.error) == (1, "❌ Invalid JSON in input file: input.json")
    _, why = outcome.err.splitlines()
    assert why.endswith(".")


@pytest.mark.parametrize(
    ("content", "what"), [(b"[1]", "an array"), (b'"x"', "a string"), (b"1", "a number"), (b"null", "null")]
)
def test_a_file_that_holds_no_object_is_refused(cli: Cli, tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "input.json").write_bytes(content)
    outcome = cli("run", *HERE, "--tag", "chat", "--input", "input.json", cwd=tmp_path)
    assert (outcome.code, outcome.error) == (1, f"❌ The input file input.json holds {what}, not an object.")


def test_bad_json_on_standard_input_is_named_as_such(cli: Cli) -> None:
    outcome = cli("run", *HERE, "--tag", "chat", "--input", "-", stdin=b"{oops")
    assert (outcome.code, outcome.error) == (1, "❌ Invalid JSON in input file: -")


@pytest.mark.parametrize("command", ["run", "run-stream"])
def test_a_call_needs_a_tag(cli: Cli, command: str) -> None:
    outcome = cli(command, "--id", "x")
    assert (outcome.code, outcome.error) == (2, "Error: Missing option '--tag'.")


@pytest.mark.parametrize("parameter", [b"--message=\xff", b"--\xff=x", b"--id=\xff"])
def test_bytes_that_are_no_text_are_refused(cli: Cli, parameter: bytes) -> None:
    outcome = cli("run", "--tag", "chat", *HERE, parameter.decode("utf-8", "surrogateescape"))
    assert (outcome.code, outcome.out) == (2, b"")
    assert "is not UTF-8 text." in outcome.error
