"""Warnings of what entrypoints' functions do that their authors hardly meant.

Each is found in the source and in what was loaded. No function of the author's is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runagent_grpc.core.manifest import STREAM_SUFFIX
from runagent_grpc.lint import blocking
from runagent_grpc.lint.finding import Remark
from runagent_grpc.lint.one_value import one_value
from runagent_grpc.lint.source import is_generator
from runagent_grpc.lint.subject import Subject
from runagent_grpc.worker.entrypoint import Entrypoint
from runagent_grpc.worker.signature.inspection import annotations_of, says_nothing, signature_of, unresolved_annotations
from runagent_grpc.worker.signature.json_schema import has_schema
from runagent_grpc.worker.signature.parameter import NO_DEFAULT, Parameter
from runagent_grpc.worker.signature.string_acceptance import type_variables_in

__all__ = [
    "blocking_calls",
    "generators_without_stream",
    "parameters_by_position_alone",
    "parameters_without_schema",
    "streams_without_chunks",
]


def streams_without_chunks(subject: Subject) -> Iterator[Remark]:
    """A tag that streams, and a function that has one value to give."""
    for here in subject.written_here:
        value = one_value(here.source) if here.entrypoint.streaming else None
        if value is not None:
            does = f"is {value}" if value.startswith("annotated") else f"returns {value}"
            yield Remark(
                file=here.file,
                line=here.source.line,
                text=f"The tag `{here.entrypoint.tag}` streams, but `{here.source.name}` never yields: it {does}, and "
                "that is the only chunk. Yield the parts as they come, or choose a tag that does not end in "
                f"`{STREAM_SUFFIX}`.",
            )


def generators_without_stream(subject: Subject) -> Iterator[Remark]:
    """A function that yields chunks, and a tag that waits for the last of them."""
    written_here = {here.entrypoint.tag: here for here in subject.written_here}
    for entrypoint in subject.entrypoints:
        if entrypoint.streaming or not is_generator(entrypoint.function):
            continue
        here = written_here.get(entrypoint.tag)
        yield Remark(
            file=here.file if here else subject.config_file,
            line=here.source.line if here else subject.line_of_tag(entrypoint.tag),
            text=f"`{entrypoint.module}` yields, but the tag `{entrypoint.tag}` does not stream: callers get one list "
            f"when all is done. Name the tag `{entrypoint.tag}{STREAM_SUFFIX}`, or return a list.",
        )


def parameters_without_schema(subject: Subject) -> Iterator[Remark]:
    """A parameter that takes whatever comes, although it has an annotation."""
    for here in subject.written_here:
        for parameter, annotation in _annotated(here.entrypoint):
            written = here.source.annotation_of(parameter.name)
            # A function that is called back, and need not be, is for callers within Python.
            optional_check = parameter.adapter is not None and parameter.default is not NO_DEFAULT
            if not written or has_schema(parameter) or optional_check:
                continue
            what = "any value is taken, unchecked"
            if annotation is None:
                why = (
                    f"The annotation `{written}` of `{parameter.name}` names what is not there when the agent is loaded"
                )
                how = "Import the name, and not under `if TYPE_CHECKING:` alone, or correct it."
            else:
                why = f"No schema can describe `{written}`, the annotation of `{parameter.name}`"
                what = "nobody is told what it takes" if parameter.adapter else what
                how = "Annotate it with what JSON has, with a dataclass or with a pydantic model."
            line = here.source.line_of_parameter(parameter.name)
            yield Remark(file=here.file, line=line, text=f"{why}: {what}. {how}")


def parameters_by_position_alone(subject: Subject) -> Iterator[Remark]:
    """A parameter that the command line, forms and whoever else gives arguments by name cannot reach."""
    for here in subject.written_here:
        for parameter in here.entrypoint.signature.positional:
            if not parameter.by_name:
                yield Remark(
                    file=here.file,
                    line=here.source.line_of_parameter(parameter.name),
                    text=f"`{parameter.name}` is taken by position alone, and most callers give arguments by name. "
                    "Remove the `/` behind it.",
                )


def blocking_calls(subject: Subject) -> Iterator[Remark]:
    """An async function that waits and keeps the event loop, on which all of the server runs, to itself."""
    for here in subject.written_here:
        for line, name in blocking.blocking_calls(here.source):
            instead = (
                "`await asyncio.sleep(...)`" if name == "time.sleep" else f"`await asyncio.to_thread({name}, ...)`"
            )
            yield Remark(
                file=here.file,
                line=line,
                text=f"`{name}` in an `async def` keeps all other calls waiting. Write {instead}, or make the "
                "function a plain `def`, which runs on a thread.",
            )


def _annotated(entrypoint: Entrypoint) -> Iterator[tuple[Parameter, Any]]:
    """Yields the parameters that a caller fills, with their annotations: None for one that cannot be resolved."""
    signature = signature_of(entrypoint.function)
    annotations = annotations_of(entrypoint.function, signature)
    unresolved = unresolved_annotations(entrypoint.function, signature)
    own = entrypoint.signature
    by_position_alone = (parameter for parameter in own.positional if not parameter.by_name)
    stars = (star for star in (own.rest, own.keyword_rest) if star)
    for parameter in (*by_position_alone, *own.keywords.values(), *stars):
        annotation = annotations[parameter.name]
        if parameter.name in unresolved:
            yield parameter, None
        # A type variable is the author's way to say that much fits.
        elif not says_nothing(annotation) and next(type_variables_in(annotation), None) is None:
            yield parameter, annotation
