"""`runagent init`: writes an agent that serves at once."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from runagent_cli import output
from runagent_cli.failures import CommandFailedError

__all__ = ["init"]

_CONFIG_FILE = "runagent.config.json"
_FILES = ("main.py", _CONFIG_FILE)
_FRAMEWORKS = ("default",)


@click.command(short_help="Write an agent to start from.")
@click.argument("path", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", metavar="NAME", help="The agent's name.  [default: the folder's]")
@click.option(
    "--framework",
    type=click.Choice(_FRAMEWORKS),
    default="default",
    show_default=True,
    help="What the agent is built with.",
)
def init(path: Path, name: str | None, framework: str) -> None:
    """Writes an agent to start from into the folder PATH, which is made where it is missing.

    It has one function that returns a value and two that stream, and overwrites nothing.

    \b
    Example:
      runagent init my-agent
    """
    folder = path.resolve()
    name = folder.name or "agent" if name is None else name.strip()
    if not name:
        raise click.UsageError("The name is empty; leave --name out to take the folder's.")
    try:
        _write(folder, _contents(name, framework))
    except OSError as error:
        raise CommandFailedError(f"{path} cannot be written to: {error.strerror}.") from error
    place = shlex.quote(str(path))
    output.note(
        f"Wrote {' and '.join(_FILES)} of the agent {name!r} to {folder}.\n"
        "\n"
        "Serve it, and it shows how to call it:\n"
        f"  runagent serve{'' if place == '.' else f' {place}'}\n"
        "\n"
        "Then change main.py; the server takes changes when it is started again."
    )


def _contents(name: str, framework: str) -> dict[str, str]:
    import uuid
    from importlib.resources import files

    template = files("runagent_cli") / "templates" / framework
    contents = {file: (template / file).read_text(encoding="utf-8") for file in _FILES}
    fields = {"agent_id": str(uuid.uuid4()), "agent_name": name}
    contents[_CONFIG_FILE] = _filled(contents[_CONFIG_FILE], fields)
    return contents


def _filled(config: str, fields: dict[str, str]) -> str:
    """Fills a template's empty fields in as text, so that its layout stays the one of a person's hand."""
    for name, value in fields.items():
        config = config.replace(f'"{name}": ""', f'"{name}": {json.dumps(value, ensure_ascii=False)}', 1)
    return config


def _write(folder: Path, contents: dict[str, str]) -> None:
    present = [file for file in contents if (folder / file).exists() or (folder / file).is_symlink()]
    if present:
        raise CommandFailedError(
            f"{' and '.join(present)} would be overwritten in {folder}.",
            suggestion="Choose another folder, or move what is there.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in contents.items():
        # Exclusively: nothing of another's that appeared meanwhile is lost.
        with (folder / file).open("x", encoding="utf-8") as opened:
            opened.write(text)
