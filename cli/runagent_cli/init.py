"""`runagent init`: writes an agent that serves at once, from the template of a framework.

A template is a folder in `templates/`. Every file of it is written, so a framework is added by adding its folder.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from runagent_cli import output
from runagent_cli.failures import CommandFailedError

__all__ = ["frameworks", "init"]

_TEMPLATES = Path(__file__).parent / "templates"
_CONFIG_FILE = "runagent.config.json"
# As the agent's own list of names, which is slow to import.
_OTHER_CONFIG_FILES = ("runagent.config.yaml", "runagent.config.yml")
_REQUIREMENTS = "requirements.txt"
_STAND_IN = "stand_in.py"
_STARTED_BY_HAND = b'if __name__ == "__main__":'
_NEVER_WRITTEN = ("__pycache__", ".pyc")


def frameworks() -> list[str]:
    """Returns the names of the templates: what needs no framework first, the frameworks in order."""
    names = (config.parent.name for config in _TEMPLATES.glob(f"*/{_CONFIG_FILE}"))
    return sorted(names, key=lambda name: (name != "default", name))


@click.command(short_help="Write an agent to start from.")
@click.argument("path", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", metavar="NAME", help="The agent's name.  [default: the folder's]")
@click.option(
    "--framework",
    type=click.Choice(frameworks()),
    default="default",
    show_default=True,
    # The choices are more than a line takes.
    metavar="NAME",
    help=f"What the agent is built with: {', '.join(frameworks())}.",
)
def init(path: Path, name: str | None, framework: str) -> None:
    """Writes an agent to start from into the folder PATH, which is made where it is missing.

    It has at least one function that returns a value and one that streams, runs without any key, and overwrites
    nothing.

    \b
    Examples:
      runagent init my-agent
      runagent init my-graph --framework langgraph
    """
    folder = path.resolve()
    name = folder.name or "agent" if name is None else name.strip()
    if not name:
        raise click.UsageError("The name is empty; leave --name out to take the folder's.")
    contents = _contents(name, framework)
    try:
        _write(folder, contents)
    except OSError as error:
        raise CommandFailedError(f"{path} cannot be written to: {error.strerror}.") from error
    output.note(
        f"Wrote {_listed(list(contents))} of the agent {name!r} to {folder}.\n"
        "\n"
        f"{_installation(path) if _REQUIREMENTS in contents else ''}"
        f"{_start_of_stand_in(path) if _STARTED_BY_HAND in contents.get(_STAND_IN, b'') else ''}"
        "Serve it, and it shows how to call it:\n"
        f"  runagent serve{'' if path == Path() else f' {_quoted(path)}'}\n"
        "\n"
        "Then change main.py; the server takes changes when it is started again,\n"
        "or at once with `runagent serve --reload`."
    )


def _installation(path: Path) -> str:
    return f"Install what it needs, beside this command:\n  pip install -r {_quoted(path / _REQUIREMENTS)}\n\n"


def _start_of_stand_in(path: Path) -> str:
    return (
        "Start what answers in the place of the real service, in a terminal of its own:\n"
        f"  python {_quoted(path / _STAND_IN)}\n\n"
    )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _listed(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _contents(name: str, framework: str) -> dict[str, bytes]:
    """Returns what to write, by the path inside the agent's folder."""
    import uuid

    template = _TEMPLATES / framework
    contents = {str(file.relative_to(template)): file.read_bytes() for file in sorted(_files_in(template))}
    fields = {"agent_id": str(uuid.uuid4()), "agent_name": name}
    contents[_CONFIG_FILE] = _filled(contents[_CONFIG_FILE].decode(), fields).encode()
    return contents


def _files_in(template: Path) -> Iterator[Path]:
    # What Python leaves behind where a template was imported is no part of it.
    return (
        path
        for path in template.rglob("*")
        if path.is_file() and not any(part.endswith(_NEVER_WRITTEN) for part in path.relative_to(template).parts)
    )


def _filled(config: str, fields: dict[str, str]) -> str:
    """Fills a template's empty fields in as text, so that its layout stays the one of a person's hand."""
    for name, value in fields.items():
        config = config.replace(f'"{name}": ""', f'"{name}": {json.dumps(value, ensure_ascii=False)}', 1)
    return config


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    present = [file for file in contents if (folder / file).exists() or (folder / file).is_symlink()]
    if present:
        raise CommandFailedError(
            f"{_listed(present)} would be overwritten in {folder}.",
            suggestion="Choose another folder, or move what is there.",
        )
    overruled = [name for name in _OTHER_CONFIG_FILES if (folder / name).exists()]
    if overruled:
        raise CommandFailedError(
            f"{_listed(overruled)} would no longer count in {folder}, beside {_CONFIG_FILE}.",
            suggestion="Choose another folder, or move what is there.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        # Exclusively: nothing of another's that appeared meanwhile is lost.
        with (folder / file).open("xb") as opened:
            opened.write(content)
