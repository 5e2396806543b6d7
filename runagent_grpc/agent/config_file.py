"""The text of `runagent.config.json`, read strictly enough that a slip of the pen is found.

What the text means is `config.py`'s.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from runagent_grpc.agent.wording import describe, join_path

__all__ = ["CONFIG_FILE", "UnreadableConfigError", "find_repeated_keys", "read_json_object"]

CONFIG_FILE = "runagent.config.json"
_YAML_FILES = ("runagent.config.yaml", "runagent.config.yml")


class UnreadableConfigError(Exception):
    """There is no JSON object to look at. Its text is one problem."""


class _Object(dict[str, Any]):
    """A JSON object that remembers which keys its text repeats."""

    repeated: tuple[str, ...] = ()


def read_json_object(folder: Path) -> dict[str, Any]:
    """Returns the configuration's JSON object, or raises UnreadableConfigError."""
    text = _read_text(folder)
    try:
        value = json.loads(text, object_pairs_hook=_object_of)
    except json.JSONDecodeError as error:
        raise UnreadableConfigError(
            f"{CONFIG_FILE}, line {error.lineno}, column {error.colno}: not valid JSON: {error.msg}."
        ) from None
    except (ValueError, RecursionError) as error:
        raise UnreadableConfigError(f"{CONFIG_FILE}: not usable as JSON ({error}). Simplify it.") from None
    if not isinstance(value, dict):
        raise UnreadableConfigError(f"{CONFIG_FILE}: expected an object, got {describe(value)}.")
    return value


def find_repeated_keys(value: Any, path: str = "") -> list[str]:
    """Returns a problem for each key that an object has twice. JSON's readers would silently keep the last."""
    problems: list[str] = []
    if isinstance(value, _Object):
        problems += [f"{CONFIG_FILE}: `{join_path(path, [key])}` is given more than once." for key in value.repeated]
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in members:
        problems += find_repeated_keys(member, join_path(path, [step]))
    return problems


def _object_of(pairs: list[tuple[str, Any]]) -> _Object:
    value = _Object(pairs)
    if len(value) < len(pairs):
        value.repeated = tuple(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return value


def _read_text(folder: Path) -> str:
    if not folder.is_dir():
        raise UnreadableConfigError(f"{folder} is not a folder. Name the folder that holds {CONFIG_FILE}.")
    try:
        # Editors on Windows put a byte order mark first.
        return (folder / CONFIG_FILE).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UnreadableConfigError(_missing_file(folder)) from None
    except UnicodeDecodeError as error:
        raise UnreadableConfigError(f"{CONFIG_FILE}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from None
    except OSError as error:
        raise UnreadableConfigError(f"{CONFIG_FILE} cannot be read: {error.strerror}.") from None


def _missing_file(folder: Path) -> str:
    for name in _YAML_FILES:
        if (folder / name).is_file():
            return f"{name} is not read yet: JSON is what is read for now. Write it as {CONFIG_FILE}."
    return f"There is no {CONFIG_FILE} in {folder}. `runagent init` makes one."
