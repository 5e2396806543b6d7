"""The file that a configuration is in: which one of its three names counts, and its text, read strictly.

Strictly enough that a slip of the pen is found. What the values mean is `validation.py`'s.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from runagent_grpc.worker.config.source_values import UnreadableTextError, WrittenFloat, WrittenObject
from runagent_grpc.worker.config.yaml_text import compose, lines_of, value_of
from runagent_grpc.worker.problems import Problem, ProblemKind
from runagent_grpc.worker.wording import describe

__all__ = ["CONFIG_FILE", "CONFIG_FILES", "ConfigFile", "UnreadableConfigError", "config_files_in", "read_config_file"]

CONFIG_FILE = "runagent.config.json"
CONFIG_FILES = (CONFIG_FILE, "runagent.config.yaml", "runagent.config.yml")
"""The names that a configuration may have. Of several files the first counts, as it does for published servers."""

_COMMENTS = ("//", "/*", "#")
# Python points at what it did not expect, which is behind the mistake.
_HINTS = {
    "Expecting ',' delimiter": " Look before this place for a comma or a bracket too few.",
    "Expecting property name": " Look for a comma too many before it, or a name without double quotes.",
    "Expecting value": " Look for a comma too many before it, or text without double quotes.",
    "Expecting ':' delimiter": " Write the value behind the name and a colon.",
    "Illegal trailing comma": " Remove the comma.",
    "Extra data": " Look for a closing bracket too many before it.",
    "Unterminated string": " End it with a double quote.",
    "Invalid control character": " End the text with a double quote, or write a line break as \\n.",
    "Invalid \\escape": " Write a backslash as two.",
}


class UnreadableConfigError(Exception):
    """There is no object to look at."""

    def __init__(
        self, text: str, *, file: str, line: int | None = None, column: int | None = None, has_place: bool = True
    ) -> None:
        """`has_place` is whether the text is about a place in the file, and not about the file as such."""
        self.file = file
        """The name of the file that it is about."""
        self.problem = Problem(
            kind=ProblemKind.CONFIGURATION, text=text, file=file if has_place else "", line=line, column=column
        )
        super().__init__(str(self.problem))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile:
    """What one of the files holds."""

    name: str
    value: dict[str, Any]
    composed: Callable[[], yaml.Node | None] = field(repr=False)
    """Returns its tree of nodes. That of JSON is made when it is asked for: serving needs none."""

    def lines(self) -> dict[str, int]:
        """Returns the line of each field by its path, such as `agent_architecture.entrypoints[0].file`.

        Empty for JSON that is too large, or nests too deeply, to be read as the YAML that it is.
        """
        try:
            return lines_of(self.composed())
        except (UnreadableTextError, RecursionError, ValueError):
            return {}


def config_files_in(folder: Path) -> tuple[str, ...]:
    """Returns the names of the configurations that are in a folder; the first is the one that counts."""
    # Of `os`, for Path's own raises where nothing in the folder may be looked at.
    return tuple(name for name in CONFIG_FILES if os.path.isfile(folder / name))


def read_config_file(folder: Path) -> ConfigFile:
    """Returns what the configuration in a folder says, or raises UnreadableConfigError."""
    name = next(iter(config_files_in(folder)), CONFIG_FILE)
    text = _read_text(folder, name)
    try:
        if name == CONFIG_FILE:
            value = _read_json(text)
            # YAML has no tabs, which in JSON are as good as blanks.
            composed = functools.partial(compose, text.replace("\t", " "))
        else:
            root = compose(text)
            value = value_of(root)
            composed = functools.partial(_same, root)
    except UnreadableTextError as error:
        language = "JSON" if name == CONFIG_FILE else "YAML"
        raise UnreadableConfigError(
            f"not valid {language}: {error}", file=name, line=error.line, column=error.column
        ) from None
    except (ValueError, RecursionError) as error:
        raise UnreadableConfigError(f"not usable as JSON ({error}). Simplify it.", file=name) from None
    if not isinstance(value, dict):
        raise UnreadableConfigError(f"expected an object, got {describe(value)}.", file=name)
    return ConfigFile(name=name, value=value, composed=composed)


def _same(root: yaml.Node | None) -> yaml.Node | None:
    return root


def _read_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=WrittenObject.of, parse_float=WrittenFloat.of)
    except json.JSONDecodeError as error:
        hint = next((hint for part, hint in _HINTS.items() if part in error.msg), "")
        if text.startswith(_COMMENTS, error.pos):
            hint = " JSON has no comments: remove this one, or write YAML."
        raise UnreadableTextError(f"{error.msg}.{hint}", line=error.lineno, column=error.colno) from None


def _read_text(folder: Path, name: str) -> str:
    if not folder.is_dir():
        problem = f"{folder} is not a folder. Name the folder that holds {CONFIG_FILE}."
        raise UnreadableConfigError(problem, file=name, has_place=False)
    if os.path.exists(folder / name) and not os.path.isfile(folder / name):
        # To read from a pipe or a device may take for ever.
        raise UnreadableConfigError(f"{name} is not a file. Put one in its place.", file=name, has_place=False)
    try:
        # Editors on Windows put a byte order mark first.
        return (folder / name).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problem = f"There is no {CONFIG_FILE}, .yaml or .yml in {folder}. `runagent init` makes one."
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 at byte {error.start}. Save it as UTF-8."
        raise UnreadableConfigError(problem, file=name) from None
    except OSError as error:
        problem = f"{name} cannot be read: {error.strerror}."
    raise UnreadableConfigError(problem, file=name, has_place=False)
