"""One call with either client, so that a test can ask both the same thing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient, RunAgentError

__all__ = ["FORMS", "called", "error_of_call"]

FORMS = ["sync", "async"]


def called(
    form: str, tag: str, *args: Any, chunks: list[Any] | None = None, options: dict[str, Any], **kwargs: Any
) -> Any:
    """Calls `tag`, and returns its value, or a stream's chunks, which go to `chunks`, too, as they come."""
    kept: list[Any] = [] if chunks is None else chunks

    async def call_soon() -> Any:
        async with AsyncRunAgentClient(None, tag, **options) as client:
            result = await client.run(*args, **kwargs)
            if not client.is_streaming:
                return result
            async for chunk in result:
                kept.append(chunk)  # noqa: PERF401 - what came is wanted even where the loop raises
            return kept

    if form == "async":
        return asyncio.run(call_soon())
    with RunAgentClient(None, tag, **options) as client:
        result = client.run(*args, **kwargs)
        if not client.is_streaming:
            return result
        for chunk in result:
            kept.append(chunk)  # noqa: PERF402 - what came is wanted even where the loop raises
        return kept


def error_of_call(form: str, tag: str, *args: Any, **kwargs: Any) -> RunAgentError:
    """Makes a call that must fail, and returns what it raised."""
    with pytest.raises(RunAgentError) as caught:
        called(form, tag, *args, **kwargs)
    return caught.value
