"""What an entrypoint's function takes, and the check of a call's arguments against it.

Compiled once, when the agent is loaded. Knows nothing of tags, payloads or how the function's result is consumed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from runagent_grpc.errors import InvalidRequestError, Violation
from runagent_grpc.worker.problems import did_you_mean
from runagent_grpc.worker.signature.inspection import annotations_of, prefilled_names, signature_of
from runagent_grpc.worker.signature.json_schema import json_schema_of
from runagent_grpc.worker.signature.parameter import NO_DEFAULT, Parameter
from runagent_grpc.worker.signature.return_annotation import returns_handle
from runagent_grpc.worker.signature.runnable_schema import DECLARED, declared_input_of
from runagent_grpc.worker.wording import mid_sentence, printable

__all__ = ["BoundArguments", "Signature"]

# A call can be wrong in a million places. The first few tell the caller enough.
_MOST_VIOLATIONS = 16
_LONGEST_MESSAGE = 800
_MOST_NAMES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundArguments:
    """Arguments that fit: call the function with `*args` and `**kwargs`, and nothing in between."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The parameters of a function, ready to take a call's arguments."""

    positional: tuple[Parameter, ...]
    """Those that may be given by position, in order."""
    keywords: Mapping[str, Parameter]
    """Those that may be given by name."""
    rest: Parameter | None
    """`*args`, where the function has it."""
    keyword_rest: Parameter | None
    """`**kwargs`, where the function has it."""
    prefilled: frozenset[str] = frozenset()
    """Names that Python itself fills in, such as a bound method's `self`: `**kwargs` cannot take them."""
    json_schema: dict[str, Any] = field(repr=False)
    """A JSON Schema (2020-12) of the keyword arguments."""
    returns_handle: bool
    """Whether it is declared to return what can be made on a running event loop alone."""
    runs_foreign_code: bool
    """Whether `bind` may run functions of the author's, such as a model's validators."""
    _required: tuple[Parameter, ...]
    _takes_anything: bool

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Signature:
        """Compiles the signature of anything callable. One that Python cannot tell takes everything."""
        by_kind: dict[Any, list[Parameter]] = {kind: [] for kind in inspect._ParameterKind}
        signature = signature_of(function)
        annotations = annotations_of(function, signature)
        declared = declared_input_of(function) if DECLARED in signature.parameters else None
        for index, parameter in enumerate(signature.parameters.values()):
            kind = parameter.kind
            by_kind[kind].append(
                Parameter.of(
                    parameter.name,
                    annotations[parameter.name],
                    position=index if kind in {kind.POSITIONAL_ONLY, kind.POSITIONAL_OR_KEYWORD} else None,
                    by_name=kind in {kind.POSITIONAL_OR_KEYWORD, kind.KEYWORD_ONLY},
                    default=parameter.default,
                    declared=declared if parameter.name == DECLARED else None,
                )
            )
        either_way = by_kind[inspect.Parameter.POSITIONAL_OR_KEYWORD]
        positional = (*by_kind[inspect.Parameter.POSITIONAL_ONLY], *either_way)
        keywords = (*either_way, *by_kind[inspect.Parameter.KEYWORD_ONLY])
        rest = next(iter(by_kind[inspect.Parameter.VAR_POSITIONAL]), None)
        keyword_rest = next(iter(by_kind[inspect.Parameter.VAR_KEYWORD]), None)
        prefilled = prefilled_names(function) if keyword_rest else frozenset()
        stars_alone = not positional and not keywords and rest is not None and keyword_rest is not None
        return cls(
            positional=positional,
            keywords={parameter.name: parameter for parameter in keywords},
            rest=rest,
            keyword_rest=keyword_rest,
            prefilled=prefilled,
            json_schema=json_schema_of(keywords, keyword_rest),
            returns_handle=returns_handle(function),
            runs_foreign_code=any(
                parameter.runs_foreign_code
                for parameter in (*positional, *keywords, rest, keyword_rest)
                if parameter is not None
            ),
            _required=tuple(
                parameter
                for parameter in (*positional, *by_kind[inspect.Parameter.KEYWORD_ONLY])
                if parameter.default is NO_DEFAULT
            ),
            _takes_anything=stars_alone
            and not prefilled
            and all(star.takes_values_as_they_are for star in (rest, keyword_rest) if star),
        )

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> BoundArguments:
        """Returns the arguments as the function shall see them. What was not given is left to its defaults.

        Raises:
            InvalidRequestError: (VALIDATION_ERROR) with one violation for each trouble, the first 16 of them.
        """
        if self._takes_anything:
            return BoundArguments(args=tuple(args), kwargs=dict(kwargs))
        violations: list[Violation] = []
        bound = BoundArguments(
            args=self._bind_args(args, violations), kwargs=self._bind_kwargs(kwargs, len(args), violations)
        )
        for parameter in self._required:
            given_by_position = parameter.position is not None and parameter.position < len(args)
            if not given_by_position and not (parameter.by_name and parameter.name in kwargs):
                violations.append(_missing(parameter))
        if violations:
            raise _error_of(violations)
        return bound

    def _bind_args(self, args: Sequence[Any], violations: list[Violation]) -> tuple[Any, ...]:
        bound = [
            parameter.accept(value, parameter.name, violations)
            for parameter, value in zip(self.positional, args, strict=False)
        ]
        taken = len(bound)
        if len(args) > taken:
            if self.rest is None:
                description = f"Takes at most {taken} positional {_plural('argument', taken)}, got {len(args)}."
                violations.append(Violation(field="args", description=description))
            elif self.rest.takes_values_as_they_are:
                bound.extend(args[taken:])
            else:
                for index, value in enumerate(args[taken:]):
                    if len(violations) > _MOST_VIOLATIONS:
                        break
                    bound.append(self.rest.accept(value, f"{self.rest.name}[{index}]", violations))
        return tuple(bound)

    def _bind_kwargs(
        self, kwargs: Mapping[str, Any], positional_count: int, violations: list[Violation]
    ) -> dict[str, Any]:
        bound: dict[str, Any] = {}
        for name, value in kwargs.items():
            if len(violations) > _MOST_VIOLATIONS:
                break
            parameter = self.keywords.get(name)
            if parameter is None:
                if self.keyword_rest is None or name in self.prefilled:
                    violations.append(self._unknown(name))
                else:
                    bound[name] = self.keyword_rest.accept(value, name, violations)
            elif parameter.position is not None and parameter.position < positional_count:
                violations.append(Violation(field=name, description="Given twice, by position and by name."))
            else:
                bound[name] = parameter.accept(value, name, violations)
        return bound

    def _unknown(self, name: str) -> Violation:
        if name in self.prefilled:
            description = "Unknown: the name is taken by the function itself."
        elif any(parameter.name == name for parameter in self.positional):
            description = "Taken by position alone, not by name."
        elif not self.keywords:
            description = "Unknown: no argument is taken by name."
        elif hint := did_you_mean(name, self.keywords):
            description = "Unknown." + hint
        else:
            names = [f"`{known}`" for known in self.keywords]
            more = ", ..." if len(names) > _MOST_NAMES else ""
            description = f"Unknown. Known: {', '.join(names[:_MOST_NAMES])}{more}."
        return Violation(field=printable(name), description=description)


def _missing(parameter: Parameter) -> Violation:
    how = "Required, but missing." if parameter.by_name else "Required, but missing. It is taken by position alone."
    return Violation(field=parameter.name, description=how)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else noun + "s"


def _error_of(violations: list[Violation]) -> InvalidRequestError:
    shown = violations[:_MOST_VIOLATIONS]
    sentences: list[str] = []
    room = _LONGEST_MESSAGE
    for violation in shown:
        sentence = f"Argument `{violation.field}`: {mid_sentence(violation.description)}"
        room -= len(sentence)
        if room < 0 and sentences:
            break
        sentences.append(sentence)
    if len(sentences) < len(violations):
        sentences.append("There is more that does not fit.")
    return InvalidRequestError(" ".join(sentences), violations=tuple(shown))
