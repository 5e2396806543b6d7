"""What a configuration says of one entrypoint: a Python function, or a webhook (docs/wire.md, entrypoints).

Each field has the name that it has in the file, and its own check. What only the whole file can tell, such as a tag
that stands twice, is `validation.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Strict, Tag
from pydantic_core import PydanticCustomError

from runagent_grpc.worker.config.source_values import as_typed
from runagent_grpc.worker.webhook.address import webhook_url_problem
from runagent_grpc.worker.wording import PRIVATE

__all__ = ["EntrypointConfig", "PythonEntrypointConfig", "WebhookEntrypointConfig", "is_webhook"]

Text = Annotated[str, Field(min_length=1)]
# Strict, for `true` is no number of seconds.
Seconds = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False), BeforeValidator(as_typed)]
Count = Annotated[int, Strict(), Field(gt=0), BeforeValidator(as_typed)]
Flag = Annotated[bool, Strict(), BeforeValidator(as_typed)]


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) and value.upper() in {"GET", "POST"} else value


def _address(text: str) -> str:
    """Refuses what no request can be sent to, without a word of it. Where it leads is known when it is called."""
    if (problem := webhook_url_problem(text)) is not None:
        raise PydanticCustomError(PRIVATE, "{problem}", {"problem": problem})
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonEntrypointConfig:
    """Where the function behind a tag is, and how much of it there may be."""

    tag: Text
    file: Text
    """A path within the agent's folder."""
    module: Text
    """A dotted path from the file's top level, such as `app.invoke`."""
    description: str = ""
    """What callers are told that it does. Empty: the function's docstring."""
    extractor: Mapping[str, str] = field(default_factory=dict)
    """What callers get instead of the value: a JSONPath by name, in this order. Empty: the value as it is."""
    timeout_seconds: Seconds | None = None
    """How long a call may run that sets no bound itself."""
    max_timeout_seconds: Seconds | None = None
    """How long any call may run."""
    max_concurrent: Count | None = None
    """How many calls may run at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEntrypointConfig:
    """What to ask for behind a tag, and how."""

    tag: Text
    webhook_url: Annotated[Text, AfterValidator(_address)]
    method: Annotated[Literal["GET", "POST"], BeforeValidator(_upper)]
    timeout: Seconds = 30.0
    """How many seconds the target may take to answer."""
    description: str = ""
    extractor: Mapping[str, str] = field(default_factory=dict)
    """As that of a function."""
    follow_redirects: Flag = False
    """Whether an answer may send the request elsewhere."""
    allow_private_addresses: Flag = False
    """Whether the target may be this machine, or one of its own network."""
    timeout_seconds: Seconds | None = None
    max_timeout_seconds: Seconds | None = None
    max_concurrent: Count | None = None


def is_webhook(entry: Any) -> bool:
    """Whether what stands in a file for an entrypoint is to be read as a webhook's."""
    return isinstance(entry, Mapping) and entry.get("webhook_url") is not None


# The tags stand in the places of errors, where they must not be taken for names in the file.
EntrypointConfig: TypeAlias = Annotated[
    Annotated[PythonEntrypointConfig, Tag("(a function)")] | Annotated[WebhookEntrypointConfig, Tag("(a webhook)")],
    Discriminator(lambda entry: "(a webhook)" if is_webhook(entry) else "(a function)"),
]
