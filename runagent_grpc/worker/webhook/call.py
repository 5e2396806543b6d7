"""One webhook: what is asked of its target, what comes back, and how long either may take.

What it may connect to is `network.py`'s, what the answer means `values.py`'s, and what is said when
there is none `wording.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx

from runagent_grpc.worker.config.entrypoint import WebhookEntrypointConfig
from runagent_grpc.worker.webhook.answer import Answer
from runagent_grpc.worker.webhook.connections import Connections
from runagent_grpc.worker.webhook.errors import WebhookError
from runagent_grpc.worker.webhook.request import redirected, request_for
from runagent_grpc.worker.webhook.values import chunks_of, value_of
from runagent_grpc.worker.webhook.wording import refused_status, too_silent, too_slow

__all__ = ["Webhook"]

_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Webhook:
    """Calls one target. Raises WebhookError where that does not answer as it should."""

    def __init__(self, config: WebhookEntrypointConfig) -> None:
        self._config = config
        self._seconds = config.timeout
        self._connections = Connections(config)

    async def call(self, payload: Any) -> Any:
        """Returns the value of the answer. The time for it is the whole call's."""
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._answer_to(payload, silence=None)
                async with aclosing(answer):
                    return await value_of(answer)
        except TimeoutError:
            raise too_slow(self._seconds) from None

    async def stream(self, payload: Any) -> AsyncGenerator[Any, None]:
        """Yields the chunks of the answer. The time is for its beginning, and then for each piece of it."""
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._answer_to(payload, silence=self._seconds)
        except TimeoutError:
            raise too_silent(self._seconds) from None
        async with aclosing(answer), aclosing(chunks_of(answer)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _answer_to(self, payload: Any, *, silence: float | None) -> Answer:
        request = request_for(self._config, payload)
        for _ in range(1 + _MOST_REDIRECTS):
            answer = await self._connections.send(request, silence=silence)
            if httpx.codes.is_success(answer.status):
                return answer
            # What a target says about its refusal may be more than the caller should know.
            await answer.aclose()
            if not (self._config.follow_redirects and answer.status in _REDIRECTS and "location" in answer.headers):
                raise refused_status(answer.status)
            request = redirected(request, answer)
        raise WebhookError(
            f"The webhook redirects more than {_MOST_REDIRECTS} times. Name the place it leads to in `webhook_url`."
        )
