"""An entrypoint that is a webhook: the function that the engine calls, which is an async one like any other."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated, Any

from pydantic import BeforeValidator

from runagent_grpc.core.manifest import STREAM_SUFFIX
from runagent_grpc.worker.config.entrypoint import WebhookEntrypointConfig
from runagent_grpc.worker.signature.parameter import structure_in

__all__ = ["webhook_function"]


def webhook_function(config: WebhookEntrypointConfig) -> Callable[..., Any]:
    """Returns the function behind a webhook's tag, with the one parameter `payload`.

    It is a coroutine function, and an async generator function for a `*_stream` tag. Both raise WebhookError.
    """
    # Here, for agents without webhooks need not wait until httpx is loaded.
    from runagent_grpc.worker.webhook.call import Webhook

    webhook = Webhook(config)

    async def call_webhook(payload: Any = None) -> Any:
        """Calls a webhook with the payload, and returns what it answers."""
        return await webhook.call(payload)

    async def stream_webhook(payload: Any = None) -> AsyncGenerator[Any, None]:
        """Calls a webhook with the payload, and streams what it answers."""
        async with aclosing(webhook.stream(payload)) as chunks:
            async for chunk in chunks:
                yield chunk

    function: Callable[..., Any] = stream_webhook if config.tag.endswith(STREAM_SUFFIX) else call_webhook
    # A query has room for nothing but an object of scalars, which the check of arguments says, and the schema.
    get, post = dict[str, str | int | float | bool | None] | None, Annotated[Any, BeforeValidator(_structure_of)]
    function.__annotations__["payload"] = get if config.method == "GET" else post
    return function


def _structure_of(payload: Any) -> Any:
    """Returns the object or the array that a text is the JSON of: that is what targets take, and command lines give."""
    return payload if not isinstance(payload, str) or payload == "null" else structure_in(payload)
