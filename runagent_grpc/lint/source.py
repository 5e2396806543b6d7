"""The author's functions in the files that they were loaded from, none of them called."""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

__all__ = ["Source", "file_of", "is_generator"]

_Definition = ast.FunctionDef | ast.AsyncFunctionDef

_DEEPEST_WRAPPING = 32


class Source:
    """A function that the author wrote, and its definition in the file that it was loaded from."""

    def __init__(self, function: FunctionType, definition: _Definition) -> None:
        self.function = function
        self.definition = definition

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Source | None:
        """Returns None for what has no definition that could be read: classes, lambdas, functions of C's."""
        found = _underlying_function(function)
        if found is None:
            return None
        try:
            tree = ast.parse(Path(found.__code__.co_filename).read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            return None
        for node in ast.walk(tree):
            if isinstance(node, _Definition) and node.name == found.__code__.co_name:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                if first == found.__code__.co_firstlineno:
                    return cls(found, node)
        return None

    @property
    def name(self) -> str:
        return self.function.__name__

    @property
    def line(self) -> int:
        """The line of the `def`."""
        return self.definition.lineno

    def own_nodes(self) -> Iterator[ast.AST]:
        """Yields what runs when the function does, not what it only defines."""
        waiting: list[ast.AST] = [*self.definition.body]
        while waiting:
            node = waiting.pop(0)
            yield node
            if not isinstance(node, _Definition | ast.ClassDef | ast.Lambda):
                waiting += ast.iter_child_nodes(node)

    def is_local(self, name: str) -> bool:
        """Whether a name is a variable of the function's own, or of one around it."""
        code = self.function.__code__
        return name in {*code.co_varnames, *code.co_cellvars, *code.co_freevars}

    def parameter(self, name: str) -> ast.arg | None:
        every = (node for node in ast.walk(self.definition.args) if isinstance(node, ast.arg))
        return next((parameter for parameter in every if parameter.arg == name), None)

    def line_of_parameter(self, name: str) -> int:
        parameter = self.parameter(name)
        return parameter.lineno if parameter else self.line

    def annotation_of(self, name: str) -> str:
        """Returns a parameter's annotation as it is written."""
        parameter = self.parameter(name)
        if parameter is None or parameter.annotation is None:
            return ""
        try:
            return ast.unparse(parameter.annotation).strip("'")
        except RecursionError:
            return ""  # Longer than anybody wants to read.


def file_of(function: Callable[..., Any]) -> str:
    """Returns the file of the code that a call of anything ends up in first; nothing for what is not Python's."""
    found = _underlying_function(function)
    return found.__code__.co_filename if found else ""


def is_generator(function: Callable[..., Any]) -> bool:
    """Whether a call of anything makes a generator, or an asynchronous one."""
    found = _underlying_function(function)
    return inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found)


def _underlying_function(function: Any) -> FunctionType | None:
    """Returns the function written in Python that a call of anything ends up in first, if there is one.

    A decorator's wrapper is such a function; what it wraps is not looked at, for the wrapper may do as it likes.
    """
    for _ in range(_DEEPEST_WRAPPING):
        if isinstance(function, FunctionType):
            return function
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType | staticmethod):
            function = function.__func__
        elif isinstance(function, type):
            # Calling a class makes an object, which may be anything.
            return None
        else:
            function = inspect.getattr_static(type(function), "__call__", None)
    return None
