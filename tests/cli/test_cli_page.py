"""`docs/cli.md`: every command is on it, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import click

from runagent_cli.group import cli as group
from tests.cli.commands import Cli

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def commands() -> dict[str, click.Command]:
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def spelled(option: click.Parameter) -> list[str]:
    """All the ways to write an option, its opposite among them."""
    return [*option.opts, *option.secondary_opts]


def test_every_command_is_on_the_page_and_every_command_of_a_group() -> None:
    # The first table of the page; others have names of other things.
    rows = re.findall(r"^\| (`.*?) \|(.*)\|$", PAGE.partition("\n## ")[0], re.MULTILINE)
    named = [name for row, _ in rows for name in re.findall(r"`([\w-]+)`", row)]
    assert named == list(commands())
    for row, text in rows:
        command = commands().get(row.strip("`"))
        if isinstance(command, click.Group):
            assert sorted(re.findall(r"`([\w-]+)`", text)) == sorted(command.commands)


def test_every_option_on_the_page_is_a_commands() -> None:
    options = {name for command in commands().values() for option in command.params for name in spelled(option)}
    groups = [command for command in commands().values() if isinstance(command, click.Group)]
    options |= {
        name for group in groups for command in group.commands.values() for option in command.params
        for name in spelled(option)
    }  # fmt: skip
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", PAGE))
    assert named - options == {"--help"}


def test_the_commands_on_the_page_run(cli: Cli) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if "runagent config" in block)
    keep_url, keep_key, whoami = block.splitlines()
    assert cli.shell(keep_url).code == 0
    assert cli.shell(f"echo secret-key | {keep_key}").code == 0
    shown = cli.shell("runagent config show")
    assert shown.out.decode().splitlines()[1].split() == ["base_url", "https://agents.example", "user_data.json"]
    assert whoami == "runagent whoami"
