"""`runagent describe`: what an agent can be asked, and with which parameters."""

from __future__ import annotations

import dataclasses
import json
import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from runagent_cli import output
from runagent_cli.failures import failing_as
from runagent_cli.inputs import Input, inputs_of, takes_anything
from runagent_cli.target import Target, target_options

if TYPE_CHECKING:
    from runagent_grpc.client import AgentDescription, EntrypointDescription

__all__ = ["describe"]

_COLUMNS = 80
_INDENT = "  "
_NAME_COLUMNS = (17, 27)
"""How wide the column of names is at least, and at most."""
_PATIENCE_SECONDS = 30.0
# How a section of a docstring begins, in the styles of Google and of NumPy.
_SECTION = re.compile(
    r"(Args|Arguments|Parameters|Params|Returns?|Yields?|Raises|Examples?|Attributes|Notes?|See Also)(:|\s*\n\s*-{3,})"
)


@click.command(short_help="Show an agent, its entrypoints and their parameters.")
@target_options
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Text to read, or JSON with the schema of every entrypoint's input.",
)
def describe(target: Target, output_format: str) -> None:
    """Shows an agent, its entrypoints and the parameters they take.

    \b
    Examples:
      runagent describe --id my-agent --local
      runagent describe --host localhost --port 50051 --format json
    """
    if not target.agent_id and target.host is None and target.port is None:
        raise click.UsageError("Say which agent: --id ID with --local, or --host HOST with --port PORT.")
    target.check_one_approach()
    with failing_as(), output.DataOutput() as data:
        with target.client(timeout=_PATIENCE_SECONDS) as client:
            agent = client.get_agent()
        if output_format == "json":
            text = json.dumps(dataclasses.asdict(agent), ensure_ascii=False, indent=2)
        else:
            text = "\n".join(_agent(agent))
        data.write_text(f"{text}\n")


def _agent(agent: AgentDescription) -> Iterator[str]:
    yield from _wrapped(agent.agent_name or agent.agent_id)
    facts = {"id": agent.agent_id, "version": agent.version, "framework": agent.framework}
    for name, fact in facts.items():
        if fact:
            yield from _wrapped(f"{name:<11}{fact}", _INDENT, hanging=13)
    if agent.description:
        yield from _wrapped(agent.description, _INDENT)
    for entrypoint in agent.entrypoints:
        yield ""
        yield from _entrypoint(entrypoint)


def _entrypoint(entrypoint: EntrypointDescription) -> Iterator[str]:
    yield from _wrapped(f"{entrypoint.tag} (streams)" if entrypoint.streaming else entrypoint.tag)
    for paragraph in entrypoint.description.split("\n\n"):
        if _SECTION.match(paragraph.lstrip()):
            # From here on it is a list, often a long one, and of parameters that follow in any case.
            break
        yield from _wrapped(paragraph, _INDENT)
    inputs = inputs_of(entrypoint.input_schema)
    least, most = _NAME_COLUMNS
    width = max([least, *(width for parameter in inputs if (width := len(parameter.name) + 3) <= most)])
    for parameter in inputs:
        yield from _parameter(parameter, width)
    if takes_anything(entrypoint.input_schema):
        yield f"{_INDENT}--... takes any other parameter, too"
    elif not inputs:
        yield f"{_INDENT}takes no parameters"


def _parameter(parameter: Input, width: int) -> Iterator[str]:
    words = [parameter.kind]
    if parameter.required:
        words.append("required")
    elif parameter.default is not None:
        words.append(f"default {parameter.default}")
    name, what = f"--{parameter.name}", ", ".join(words)
    if parameter.description:
        what += f". {parameter.description}"
    yield from _wrapped(f"{name:<{width}} {what}", _INDENT, hanging=width + 3)


def _wrapped(text: str, indent: str = "", *, hanging: int | None = None) -> list[str]:
    return textwrap.wrap(
        output.printable(text),
        _COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else " " * hanging,
        break_on_hyphens=False,
    )
