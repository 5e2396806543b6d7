"""What Python can tell about a callable's parameters: their kinds, their annotations, the names already filled in."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any

__all__ = ["annotations_of", "prefilled_names", "says_nothing", "signature_of", "unresolved_annotations"]

# An object that answers every attribute with another such object would keep us unwrapping for ever.
_DEEPEST_WRAPPING = 32


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Returns the signature, or `(*args, **kwargs)` of a callable that has none, as some builtins have not."""
    try:
        if isinstance(inspect.getattr_static(type(function), "__call__", None), staticmethod):
            # Python takes its first parameter for a `self` and leaves it out.
            function = function.__call__  # type: ignore[operator]
        if sys.version_info >= (3, 14):
            from annotationlib import Format

            return inspect.signature(function, annotation_format=Format.FORWARDREF)
        return inspect.signature(function)
    except Exception:  # noqa: BLE001 - an object of the author's answers as it likes
        return inspect.Signature(
            [
                inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
                inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
            ]
        )


def annotations_of(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """Returns every parameter's annotation, those written as text resolved, those that cannot be as `Any`."""
    return {name: Any if failed else found for name, (found, failed) in _resolved(function, signature).items()}


def unresolved_annotations(function: Callable[..., Any], signature: inspect.Signature) -> frozenset[str]:
    """Returns the parameters whose annotations name what is not there, and so count as `Any`."""
    return frozenset(name for name, (_, failed) in _resolved(function, signature).items() if failed)


def _resolved(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, tuple[Any, bool]]:
    """Returns every parameter's annotation, and whether it could not be resolved."""
    names = _global_names_of(function)
    resolved = {}
    for name, parameter in signature.parameters.items():
        resolved[name] = (parameter.annotation, False)
        if parameter.annotation is inspect.Parameter.empty:
            continue
        try:
            # One at a time, so that one name imported for type checkers alone does not cost the others their check.
            holder = SimpleNamespace(__annotations__={name: parameter.annotation})
            resolved[name] = (typing.get_type_hints(holder, globalns=names, include_extras=True)[name], False)
        except Exception:  # noqa: BLE001 - evaluates what the author wrote
            resolved[name] = (parameter.annotation, True)
    return resolved


def says_nothing(annotation: Any) -> bool:
    """Whether an annotation is missing, or one that every value fits."""
    return any(annotation is anything for anything in (inspect.Parameter.empty, Any, object))


def prefilled_names(function: Callable[..., Any]) -> frozenset[str]:
    """Returns the names that arguments are already given for before the caller's come in.

    The first parameter of a bound method is one, and what `functools.partial` gave by position. A keyword of that name
    would raise TypeError although the signature's `**kwargs` seem to take it.
    """
    return frozenset(_prefilled(function, _DEEPEST_WRAPPING))


def _prefilled(function: Any, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    if isinstance(function, functools.partial):
        yield from _names_by_position(function.func, len(function.args))
        yield from _prefilled(function.func, depth - 1)
    elif isinstance(function, MethodType):
        yield from _first_names(function.__func__)
    elif isinstance(function, FunctionType):
        if hasattr(function, "__wrapped__"):
            yield from _prefilled(function.__wrapped__, depth - 1)
    elif isinstance(function, type):
        yield from _first_names(inspect.getattr_static(function, "__init__"))
        yield from _first_names(getattr(inspect.getattr_static(function, "__new__"), "__func__", None))
    else:
        yield from _first_names(inspect.getattr_static(type(function), "__call__", None))


def _first_names(function: Any) -> Iterator[str]:
    """Yields the first parameter's name of a function and of all that it wraps: each is called with the same object."""
    for _ in range(_DEEPEST_WRAPPING):
        if not isinstance(function, FunctionType):
            return
        yield from _names_by_position(function, 1, follow_wrapped=False)
        function = getattr(function, "__wrapped__", None)


def _names_by_position(function: Callable[..., Any], count: int, *, follow_wrapped: bool = True) -> Iterator[str]:
    try:
        parameters = list(inspect.signature(function, follow_wrapped=follow_wrapped).parameters.values())
    except Exception:  # noqa: BLE001 - as in signature_of
        return
    for parameter in parameters[:count]:
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            yield parameter.name


def _global_names_of(function: Any) -> dict[str, Any]:
    """Returns the names that a callable's annotations were written among."""
    for _ in range(_DEEPEST_WRAPPING):
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, MethodType | staticmethod):
            function = function.__func__
        elif isinstance(function, type):
            module = sys.modules.get(function.__module__)
            return vars(module) if module else {}
        elif not isinstance(function, FunctionType):
            function = inspect.getattr_static(type(function), "__call__", None)
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            return function.__globals__
    return {}
