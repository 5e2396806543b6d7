"""`runagent check`: all that is wrong with the agent in a folder, and what else is worth a look, at once."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runagent_cli import output
from runagent_cli.failures import CommandFailedError
from runagent_cli.server_keys import api_key_file_option, keys_of
from runagent_cli.server_options import config_option, server_config

if TYPE_CHECKING:
    from runagent_grpc.lint import Finding, Review

__all__ = ["check"]

_COLUMNS = 80
_INDENT = "  "
_QUOTED = "    "
"""What the author's own lines begin with."""
_CODE = re.compile(r"`[^`]{0,74}`")
_NO_BREAK = "\N{NO-BREAK SPACE}"


@click.command(short_help="Say what is wrong with the agent in a folder.")
@click.argument("path", default=".", type=click.Path(path_type=Path))
@click.option("--strict", is_flag=True, help="Fail on warnings, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")
@api_key_file_option("The file of keys that `serve` will be given, for an agent that asks for keys.")
@config_option("The file that sets up the server. Its variables RUNAGENT_SERVER_... count, too.")
@click.pass_context
def check(
    context: click.Context,
    path: Path,
    strict: bool,
    as_json: bool,
    api_key_file: Path | None,
    config_file: Path | None,
) -> None:
    """Says all that is wrong with the agent in the folder PATH: where, and how to mend it.

    Errors keep `serve` from serving it; warnings do not. The agent's files are imported, as `serve` does, so their
    code outside of functions runs; none of its functions is called. What it prints goes to standard error.

    The exit code is 0 where `serve` would serve the agent, and otherwise 1.

    \b
    Examples:
      runagent check
      runagent check path/to/agent --strict
      runagent check path/to/agent --json
    """
    with output.DataOutput() as data:
        with _stdout_going_to_stderr():
            review, findings = _reviewed(path, api_key_file, config_file)
        errors = sum(finding.severity == "error" for finding in findings)
        written = _as_json(review, findings, errors) if as_json else _as_text(review, findings, errors, path)
        data.write_text(f"{written}\n")
    code = int(errors > 0 or (strict and bool(findings)))
    _end_whatever_runs(code)
    context.exit(code)


def _reviewed(path: Path, api_key_file: Path | None, config_file: Path | None) -> tuple[Review, list[Finding]]:
    from runagent_grpc.lint import Finding, Severity, review_agent

    refusals: list[tuple[str, str]] = []
    keys, key_file = None, api_key_file
    # Found before the agent is loaded, as serving does: the agent's own `.env` is not for the server.
    try:
        flags = {} if api_key_file is None else {"api_key_file": api_key_file}
        key_file = server_config(config_file, flags).listen.api_key_file
    except CommandFailedError as error:
        refusals.append(("server", error.text))
    # In any case, since it takes the keys out of the environment.
    try:
        keys = keys_of(key_file)
    except CommandFailedError as error:
        refusals.append(("keys", error.text))
    review = review_agent(path)
    findings = [Finding(severity=Severity.ERROR, kind=kind, file="", line=None, text=text) for kind, text in refusals]
    if not keys and not refusals and review.auth_type == "api_key":
        line = review.lines.get("auth_settings.type")
        text = _refusal_without_keys()
        findings.append(Finding(severity=Severity.ERROR, kind="keys", file=review.config_file, line=line, text=text))
    return review, [*findings, *review.findings]


def _refusal_without_keys() -> str:
    """Returns what a server says that is to ask for keys, and has none."""
    from runagent_grpc.core.manifest import AgentManifest
    from runagent_grpc.server.config import ServerConfig, UnsafeSettingsError

    try:
        agent = AgentManifest(agent_id="", agent_name="", auth_type="api_key", entrypoints={})
        ServerConfig().check(agent, asks_for_key=False)
    except UnsafeSettingsError as error:
        return str(error)
    return ""


def _as_json(review: Review, findings: list[Finding], errors: int) -> str:
    agent: dict[str, Any] | None = None
    if review.agent and not errors:
        agent = {
            "agent_id": review.agent.agent_id,
            "agent_name": review.agent.agent_name,
            "framework": review.agent.framework,
            "entrypoints": [
                {"tag": entrypoint.tag, "streaming": entrypoint.streaming, "description": entrypoint.description}
                for entrypoint in review.agent.entrypoints.values()
            ],
        }
    told = {
        "folder": str(review.folder),
        "errors": errors,
        "warnings": len(findings) - errors,
        "findings": [asdict(finding) for finding in findings],
        "agent": agent,
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def _as_text(review: Review, findings: list[Finding], errors: int, path: Path) -> str:
    from runagent_cli.banner import entrypoint_lines

    blocks = ["\n".join(_block(finding, path)) for finding in findings]
    if review.agent and not errors:
        name = f"{review.agent.agent_name} ({review.agent.agent_id}) can be served:"
        blocks.append("\n".join([name, *entrypoint_lines(review.agent.manifest)]))
    warnings = len(findings) - errors
    counts = [_count(errors, "error"), _count(warnings, "warning")]
    blocks.append(", ".join(filter(None, counts)) + "." if findings else "No errors, no warnings.")
    return output.printable("\n\n".join(blocks))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if number else ""


def _block(finding: Finding, path: Path) -> Iterator[str]:
    # The place as terminals and editors take it, to be opened by a click.
    place = str(path / finding.file) + (f":{finding.line}" if finding.line else "")
    yield f"{place}: {finding.severity}"
    for line in finding.text.splitlines():
        if line.startswith(_QUOTED):
            yield _INDENT + line
            continue
        indent = _INDENT + line[: len(line) - len(line.lstrip())]
        yield from _wrapped(line.strip(), indent)


def _wrapped(text: str, indent: str) -> Iterator[str]:
    # What is to be copied stays in one line.
    whole = _CODE.sub(lambda code: code[0].replace(" ", _NO_BREAK), text)
    lines = textwrap.wrap(
        whole,
        _COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (line.replace(_NO_BREAK, " ") for line in lines)


@contextlib.contextmanager
def _stdout_going_to_stderr() -> Iterator[None]:
    """Keeps what the author's code prints apart from the findings, what its subprocesses print, too."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _end_whatever_runs(code: int) -> None:
    """Sees to it that nothing that the author's code has started prints among the findings, or keeps us from ending."""
    os.dup2(2, 1)
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        os._exit(code)
