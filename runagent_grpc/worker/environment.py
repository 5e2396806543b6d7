"""The environment that an agent's code finds: the process's own, then `.env`, then the configuration's `env_vars`.

Each goes before the one named earlier (docs/wire.md, configuration). Values in `.env` are taken as they are written;
those in `env_vars` may name variables. How it gets into the process is `environment_overlay.py`'s.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from runagent_grpc.worker.config.file import CONFIG_FILE
from runagent_grpc.worker.problems import InvalidAgentError, Problem, ProblemKind, did_you_mean

__all__ = ["ENV_FILE", "agent_environment", "read_env_file"]

ENV_FILE = ".env"
_UNSETTABLE = "cannot be an environment variable. Look for an empty name, a `=` in it, a NUL character."
_REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")


def read_env_file(folder: Path) -> dict[str, str]:
    """Reads the `.env` beside the configuration; there need not be one. A name without a value sets nothing."""
    path = folder / ENV_FILE
    # Of `os`, for Path's own raises where nothing in the folder may be looked at.
    if not os.path.isfile(path):
        return {}
    try:
        values = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        text = f"not UTF-8 at byte {error.start}. Save it as UTF-8."
        raise InvalidAgentError([Problem(kind=ProblemKind.ENVIRONMENT, text=text, file=ENV_FILE)]) from None
    except OSError as error:
        text = f"{ENV_FILE} cannot be read: {error.strerror}."
        raise InvalidAgentError([Problem(kind=ProblemKind.ENVIRONMENT, text=text)]) from None
    return {name: value for name, value in values.items() if value is not None}


def agent_environment(
    *,
    process: Mapping[str, str],
    env_file: Mapping[str, str],
    env_vars: Mapping[str, str],
    config_file: str = CONFIG_FILE,
) -> tuple[dict[str, str], list[Problem]]:
    """Returns what to set on top of the process's environment, and what is wrong with it.

    In `env_vars`, `${VAR}` stands for the value that VAR has so far, entries further up included, and
    `${VAR:-default}` for the default where VAR is unset or empty, as in a shell. An entry that is wrong is left out.
    """
    problems: list[Problem] = []
    environment: dict[str, str] = {}
    for name, value in env_file.items():
        if _is_settable(name, value):
            environment[name] = value
        else:
            problems.append(_problem(ENV_FILE, name, _UNSETTABLE))
    for name, value in env_vars.items():
        expanded, wrong = _expand(value, {**process, **environment})
        if not wrong and not _is_settable(name, expanded):
            wrong = [_UNSETTABLE]
        problems += (_problem(config_file, f"env_vars.{name}", text) for text in wrong)
        if not wrong:
            environment[name] = expanded
    return environment, problems


def _problem(file: str, name: str, text: str) -> Problem:
    return Problem(kind=ProblemKind.ENVIRONMENT, text=f"`{name}` {text}", file=file, field=name)


def _is_settable(name: str, value: str) -> bool:
    with contextlib.suppress(UnicodeEncodeError):
        return bool(name) and "=" not in name and b"\0" not in os.fsencode(name + value)
    return False


def _expand(text: str, known: Mapping[str, str]) -> tuple[str, list[str]]:
    """Returns a text with its variables expanded, and what is wrong with it; then the text is of no use."""
    expanded: list[str] = []
    wrong: list[str] = []
    position = 0
    for reference in _REFERENCE.finditer(text):
        variable, default = reference["name"], reference["default"]
        value = known.get(variable)
        if default is not None and "${" in default:
            wrong.append("has a variable within a default, which is not expanded. Take it apart.")
        elif default is None and value is None:
            wrong.append(
                f"names ${{{variable}}}, which is not set. Set it in the environment or in {ENV_FILE}, "
                f"or write ${{{variable}:-default}}.{did_you_mean(variable, known)}"
            )
        expanded += text[position : reference.start()], value or default or ""
        position = reference.end()
    return "".join(expanded) + text[position:], wrong
