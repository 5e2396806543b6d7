"""From an entrypoint's configuration to its function: the file in the folder, then the dotted path in the module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import ModuleType
from typing import Any

from runagent_grpc.worker.problems import did_you_mean

__all__ = ["UnusableTargetError", "find_file", "find_function"]

_MOST_NAMES = 8


class UnusableTargetError(Exception):
    """The configuration names something that cannot be served. Its text is the end of one problem."""


def find_file(folder: Path, file: str) -> Path:
    """Returns the resolved path of a Python file within a resolved folder, or raises UnusableTargetError."""
    if PurePosixPath(file).is_absolute() or PureWindowsPath(file).anchor:
        raise UnusableTargetError("the path is absolute. Write it relative to the agent's folder.")
    if ".." in PureWindowsPath(file).parts:
        raise UnusableTargetError("the path leads out of the agent's folder. Move the file into it, without `..`.")
    try:
        path = (folder / file).resolve(strict=True)
    except FileNotFoundError:
        hint = " Write it with `/`." if "\\" in file else did_you_mean(file, _python_files(folder))
        raise UnusableTargetError(f"there is no such file in the agent's folder.{hint}") from None
    except (OSError, RuntimeError, ValueError):
        raise UnusableTargetError("the path cannot be followed. Look for a loop of links, or a NUL in it.") from None
    if not path.is_relative_to(folder):
        raise UnusableTargetError("a link leads out of the agent's folder. Move the file itself into it.")
    if not path.is_file() or path.suffix != ".py":
        raise UnusableTargetError("this is not a Python file. Name one that ends in `.py`.")
    return path


def find_function(module: ModuleType, dotted_path: str, file: str) -> Callable[..., Any]:
    """Follows a dotted path through attributes and the items of dicts, or raises UnusableTargetError."""
    found: Any = module
    walked = file
    for index, step in enumerate(dotted_path.split(".")):
        try:
            found = found[step] if isinstance(found, Mapping) and step in found else getattr(found, step)
        except AttributeError:
            raise UnusableTargetError(f"`{step}` is not in `{walked}`.{_names_hint(found, step)}") from None
        except Exception as error:  # noqa: BLE001 - a property of the author's raises what it likes
            raise UnusableTargetError(f"`{step}` of `{walked}` raised {type(error).__name__}: {error}") from None
        walked = f"{walked}.{step}" if index else step
    if not callable(found):
        raise UnusableTargetError(
            f"`{walked}` is of type {type(found).__name__} and cannot be called.{_callables_hint(found, walked)}"
        )
    function: Callable[..., Any] = found
    return function


def _python_files(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for pattern in ("*.py", "*/*.py") for path in folder.glob(pattern)]


def _names_in(value: Any) -> list[str]:
    names = value if isinstance(value, Mapping) else dir(value)
    return [name for name in names if isinstance(name, str) and not name.startswith("_")]


def _names_hint(value: Any, missing: str) -> str:
    names = _names_in(value)
    if hint := did_you_mean(missing, names):
        return hint
    if isinstance(value, ModuleType):
        # Of a module, what it defines itself, not what it imports.
        names = [name for name in names if getattr(vars(value)[name], "__module__", "") == value.__name__]
    return f" It has {', '.join(f'`{name}`' for name in names[:_MOST_NAMES])}." if names else ""


def _callables_hint(value: Any, walked: str) -> str:
    members = value if isinstance(value, Mapping) else {}
    names = [f"`{walked}.{name}`" for name in _names_in(members) if callable(members[name])]
    return f" Name one of {', '.join(names[:_MOST_NAMES])}." if names else ""
