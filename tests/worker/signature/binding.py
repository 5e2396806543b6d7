"""Arguments given to a function as the engine gives them, and what comes of it; and models to annotate with."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from runagent_grpc.errors import InvalidRequestError, Reason
from runagent_grpc.worker.signature.signature import Signature

if TYPE_CHECKING:
    pass

__all__ = ["Person", "Point", "Tree", "call", "refusal", "taking"]


class Person(BaseModel):
    name: str
    age: int = 0


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Tree(BaseModel):
    children: list[Tree] = []


def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    bound = Signature.of(function).bind(args, kwargs)
    return function(*bound.args, **bound.kwargs)


def refusal(function: Callable[..., Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
    with pytest.raises(InvalidRequestError) as caught:
        Signature.of(function).bind(args, kwargs or {})
    error = caught.value
    assert error.reason is Reason.VALIDATION_ERROR
    assert error.violations
    assert "pydantic" not in error.message
    for violation in error.violations:
        assert violation.description.endswith((".", "?"))
    return error


def taking(annotation: Any, default: Any = ...) -> Callable[..., Any]:
    """A function with one parameter `x` of that annotation, which it returns."""

    def function(x: Any) -> Any:
        return x

    function.__annotations__ = {"x": annotation}
    if default is not ...:
        function.__defaults__ = (default,)
    return function
