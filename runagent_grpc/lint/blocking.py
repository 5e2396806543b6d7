"""Calls that wait on the event loop, where all of the server waits with them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from runagent_grpc.lint.source import Source

__all__ = ["blocking_calls"]

# What waits without leaving the event loop to anybody else, by the names that it is imported by.
_BLOCKING = frozenset(
    {
        "time.sleep",
        "os.system",
        "subprocess.call",
        "subprocess.check_call",
        "subprocess.check_output",
        "subprocess.run",
        "urllib.request.urlopen",
        *(f"requests.{name}" for name in ("delete", "get", "head", "patch", "post", "put", "request")),
        *(f"httpx.{name}" for name in ("delete", "get", "head", "patch", "post", "put", "request", "stream")),
    }
)


def blocking_calls(source: Source) -> Iterator[tuple[int, str]]:
    """Yields the line and the name of each call in an async function that keeps the event loop to itself."""
    if not isinstance(source.definition, ast.AsyncFunctionDef):
        return
    imported = _imported_names(source)
    for node in source.own_nodes():
        if isinstance(node, ast.Call) and (name := _name_of(source, node.func, imported)) in _BLOCKING:
            yield node.lineno, name


def _imported_names(source: Source) -> dict[str, str]:
    """Returns what names that the function itself imports stand for."""
    names = {}
    for node in source.own_nodes():
        match node:
            case ast.Import():
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    names[alias.asname or first] = alias.name if alias.asname else first
            case ast.ImportFrom(module=str() as module, level=0):
                names |= {alias.asname or alias.name: f"{module}.{alias.name}" for alias in node.names}
    return names


def _name_of(source: Source, function: ast.expr, imported: Mapping[str, str]) -> str:
    """Returns the full name of what is called, if it is a module's."""
    attributes = []
    while isinstance(function, ast.Attribute):
        attributes.append(function.attr)
        function = function.value
    owner = _name_of_variable(source, function, imported)
    return ".".join([owner, *reversed(attributes)]) if owner else ""


def _name_of_variable(source: Source, variable: ast.expr, imported: Mapping[str, str]) -> str:
    match variable:
        case ast.Name(id=name) if name in imported:
            return imported[name]
        case ast.Name(id=name) if not source.is_local(name):
            return _full_name_of(source.function.__globals__.get(name))
        case _:
            return ""


def _full_name_of(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    for name in _BLOCKING:
        module, _, attribute = name.rpartition(".")
        if value is not None and vars(sys.modules.get(module, ModuleType(""))).get(attribute) is value:
            return name
    return ""
