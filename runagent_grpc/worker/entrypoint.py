"""A function that can be called by its tag."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runagent_grpc.core.manifest import STREAM_SUFFIX, EntrypointManifest
from runagent_grpc.worker.extractor import Extractor
from runagent_grpc.worker.signature.signature import Signature

__all__ = ["Entrypoint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint:
    """A tag and the function behind it, which may be anything that Python can call."""

    tag: str
    function: Callable[..., Any]
    signature: Signature
    description: str = ""
    """What the configuration says, or the function's docstring, without its indentation."""
    file: str = ""
    """The file that the configuration names, and nothing where there is no configuration."""
    module: str = ""
    """The dotted path that the configuration names."""
    extractor: Extractor | None = None
    """What callers get of a result or a chunk; None: the whole of it."""
    timeout_seconds: float | None = None
    """How long a call may run that sets no bound itself."""
    max_timeout_seconds: float | None = None
    """How long any call may run."""
    max_concurrent: int | None = None
    """How many calls may run at once."""

    @classmethod
    def of(
        cls,
        tag: str,
        function: Callable[..., Any],
        *,
        description: str = "",
        file: str = "",
        module: str = "",
        extractor: Extractor | None = None,
        timeout_seconds: float | None = None,
        max_timeout_seconds: float | None = None,
        max_concurrent: int | None = None,
    ) -> Entrypoint:
        return cls(
            tag=tag,
            function=function,
            signature=Signature.of(function),
            description=description or _description_of(function),
            file=file,
            module=module,
            extractor=extractor,
            timeout_seconds=timeout_seconds,
            max_timeout_seconds=max_timeout_seconds,
            max_concurrent=max_concurrent,
        )

    @property
    def streaming(self) -> bool:
        """Whether it streams chunks. The tag alone decides (docs/wire.md, configuration)."""
        return self.tag.endswith(STREAM_SUFFIX)

    @property
    def manifest(self) -> EntrypointManifest:
        """What everybody but the worker knows of it."""
        return EntrypointManifest(
            tag=self.tag,
            description=self.description,
            file=self.file,
            module=self.module,
            extractor=None if self.extractor is None else self.extractor.paths,
            input_schema=self.signature.json_schema,
            positional=tuple(parameter.name for parameter in self.signature.positional),
            timeout_seconds=self.timeout_seconds,
            max_timeout_seconds=self.max_timeout_seconds,
            max_concurrent=self.max_concurrent,
        )


def _description_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        # Its own docstring is that of `partial`.
        function = function.func
    if not inspect.isroutine(function) and not isinstance(function, type):
        # What calling the object does says more than what the object is. Every class has some `__call__` that says
        # nothing, so only a docstring of its own counts.
        call = inspect.getattr_static(type(function), "__call__", None)
        if text := getattr(call, "__doc__", None):
            return inspect.cleandoc(text)
    try:
        return inspect.getdoc(function) or ""
    except Exception:  # noqa: BLE001 - an object of the author's answers as it likes
        return ""
