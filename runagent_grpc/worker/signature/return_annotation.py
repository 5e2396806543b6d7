"""What a function says that it returns."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from runagent_grpc.worker.signature.inspection import annotations_of, signature_of

__all__ = ["returns_handle"]


def returns_handle(function: Callable[..., Any]) -> bool:
    """Whether a function is declared to return awaitable objects of a class of its own: a task, a future, a handle.

    Such objects can be made on a running event loop alone, and stand for work that goes on there. Coroutines, and what
    is declared as no more than awaitable, can be made anywhere.
    """
    declared = signature_of(function).return_annotation
    if declared is inspect.Signature.empty:
        return False
    # By way of a parameter, whose annotation is resolved among the same names.
    returned = inspect.Parameter("returned", inspect.Parameter.KEYWORD_ONLY, annotation=declared)
    kind = annotations_of(function, inspect.Signature([returned]))["returned"]
    kind = typing.get_origin(kind) or kind
    if kind is Any or kind is Awaitable or not isinstance(kind, type):
        return False
    return issubclass(kind, Awaitable) and not issubclass(kind, Coroutine)
