"""One parameter of an entrypoint: what it takes, and the check of a value before the author's code sees it.

The check is pydantic's, in its lax mode, so that the "5" of a command line is an integer. It is compiled once, when
the agent is loaded.
"""

from __future__ import annotations

import collections.abc
import inspect
import typing
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import from_json

from runagent_grpc.errors import Violation
from runagent_grpc.worker.signature.inspection import says_nothing
from runagent_grpc.worker.signature.runnable_schema import allows_text
from runagent_grpc.worker.signature.string_acceptance import has_default, takes_structure_alone, type_variables_in
from runagent_grpc.worker.wording import printable, violations_of, wants_structure

__all__ = ["NO_DEFAULT", "Parameter", "structure_in"]

NO_DEFAULT = inspect.Parameter.empty
_CONFIG = ConfigDict(coerce_numbers_to_str=True)
_NO_PART_OF_THE_CHECK = {"metadata", "serialization"}
# What pydantic would wrap into an iterator that is checked, and fails, in the middle of the author's code, or would
# not take at all.
_TAKEN_AS_A_LIST = {collections.abc.Iterable, collections.abc.Collection}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a function takes by one name, or by one of its stars."""

    name: str
    position: int | None
    """Its place among the positional arguments; None where it is given by name alone."""
    by_name: bool
    default: Any
    """`NO_DEFAULT` where the parameter is required, and for a star."""
    adapter: TypeAdapter[Any] | None
    """None where any value is taken, untouched."""
    validate: Callable[[Any], Any] | None
    """The adapter's own check. Calling it directly halves the time of a call."""
    reads_json: bool
    """Whether a text is read as JSON although nothing is checked, for no text can be meant."""
    declared: Mapping[str, Any] | None
    """The JSON Schema that the function's own object has for it, where the annotation has none."""
    runs_foreign_code: bool
    """Whether the check may call functions of the author's, such as a model's validators."""

    @classmethod
    def of(
        cls,
        name: str,
        annotation: Any,
        *,
        position: int | None,
        by_name: bool,
        default: Any = NO_DEFAULT,
        declared: Mapping[str, Any] | None = None,
    ) -> Parameter:
        says_little = says_nothing(annotation) or next(type_variables_in(annotation), None) is not None
        if not says_little:
            declared = None
        adapter = _adapter_of(annotation) if declared is None else None
        structure_alone = takes_structure_alone(annotation) or (declared is not None and not allows_text(declared))
        return cls(
            name=name,
            position=position,
            by_name=by_name,
            default=default,
            adapter=adapter,
            validate=adapter.validator.validate_python if adapter else None,
            reads_json=adapter is None and structure_alone,
            declared=declared,
            runs_foreign_code=adapter is not None and _calls_functions(adapter.core_schema),
        )

    @property
    def takes_values_as_they_are(self) -> bool:
        return self.validate is None and not self.reads_json

    def accept(self, value: Any, field: str, violations: list[Violation]) -> Any:
        """Returns the value as the function shall see it, or adds to the violations why it cannot."""
        if self.reads_json and isinstance(value, str):
            return structure_in(value)
        if self.validate is None or (value is None and self.default is None):
            return value
        try:
            return self.validate(value)
        except Exception as error:  # noqa: BLE001 - the author's validators raise what they like
            failure, failed_value = error, value
        # A string where an array or an object is expected gets a second chance, as JSON text.
        if isinstance(value, str) and wants_structure(failure) and (structure := structure_in(value)) is not value:
            try:
                return self.validate(structure)
            except Exception as error:  # noqa: BLE001 - as above
                failure, failed_value = error, structure
        field = printable(field)
        if isinstance(failure, ValidationError):
            violations.extend(violations_of(failure, failed_value, field))
        else:
            # Raised by a validator of the author's, or by a value that is too much for pydantic.
            violations.append(Violation(field=field, description=f"Its validation failed: {type(failure).__name__}."))
        return None


def structure_in(text: str) -> Any:
    """Returns the array, the object or the null that a text is the JSON of, otherwise the text itself."""
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return text
    return value if value is None or isinstance(value, list | dict) else text


def _adapter_of(annotation: Any) -> TypeAdapter[Any] | None:
    """Returns the compiled check of an annotation. One that pydantic cannot build counts as Any: None."""
    if says_nothing(annotation):
        return None
    if any(map(has_default, type_variables_in(annotation))):
        # pydantic would check against the default, which is what a type checker takes it for, and no bound.
        return None
    if typing.get_origin(annotation) in _TAKEN_AS_A_LIST:
        annotation = list[typing.get_args(annotation)]  # type: ignore[misc]  # an annotation made at run time
    # pydantic warns of what it cannot make full use of. The author did not ask it to look.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            adapter = _build(annotation)
            # A model that names a type which does not exist (yet) has a stand-in here, which raises.
            usable = callable(adapter.validator.validate_python)
        except Exception:  # noqa: BLE001 - whatever stops pydantic, the value is then not checked
            return None
    return adapter if usable else None


def _build(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=_CONFIG)
    except PydanticUserError as error:
        # A model, a dataclass or a TypedDict has a configuration of its own.
        if error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(annotation)


def _calls_functions(schema: Any) -> bool:
    """Whether a schema of pydantic-core calls Python. Some of pydantic's own types do, too, which costs little."""
    if isinstance(schema, Mapping):
        is_function = str(schema.get("type", "")).startswith("function-")
        if is_function or schema.get("post_init") or schema.get("custom_init"):
            return True
        return any(_calls_functions(part) for name, part in schema.items() if name not in _NO_PART_OF_THE_CHECK)
    return isinstance(schema, list | tuple) and any(_calls_functions(part) for part in schema)
