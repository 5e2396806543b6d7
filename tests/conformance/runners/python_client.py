"""The runner of the Python clients: `python -m tests.conformance.runners.python_client [--aio]`.

`answer_with` is also what the broken clients, which test the kit, are made of.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runagent_grpc.client import AsyncRunAgentClient, RunAgentClient
from runagent_grpc.errors import RunAgentError
from tests.conformance.runners.lines import Call, Outcome, answer_lines, arguments_in, error_to, value_to

__all__ = ["answer_with", "options_in"]


def options_in(call: Call) -> dict[str, Any]:
    """Returns a client's options."""
    names = {"timeout_seconds": "timeout"} | {
        name: name for name in ("api_key", "retry_seconds", "user_id", "persistent_memory", "on_disconnect")
    }
    given = {option: call[name] for name, option in names.items() if name in call}
    return {
        "agent_id": call["agent_id"],
        "entrypoint_tag": call["entrypoint_tag"],
        "host": call["host"],
        "port": call["port"],
        "transport": call["transport"],
        **given,
    }


def answer_with(kind: type[RunAgentClient], call: Call) -> Outcome:
    """Makes a call with a client of this kind."""
    chunks: list[Any] = []
    outcome: Outcome = {}
    streams = call["method"] in ("run_stream", "resume")
    try:
        with kind(**options_in(call)) as client:
            if "request_id" in call:
                client = client.with_request_id(call["request_id"])
            args, kwargs = arguments_in(call)
            match call["method"]:
                case "run" if not client.is_streaming:
                    return {"result": value_to(client.run(*args, **kwargs))}
                case "run" | "run_stream":
                    streams = True
                    stream = client.run_stream(*args, **kwargs)
                case "resume":
                    stream = client.resume(call["invocation_id"], call["after_sequence"])
                case "cancel":
                    client.cancel(call["invocation_id"])
                    return {"result": value_to(None)}
            with stream, _naming(stream, outcome):
                outcome["ended"] = "completed" if _taken(stream, call.get("take"), chunks) else "left"
    except RunAgentError as error:
        outcome["error"] = error_to(error)
        if error.invocation_id:
            outcome["invocation_id"] = error.invocation_id
        if not streams:
            return outcome
        outcome["ended"] = "failed"
    return {**outcome, "chunks": [value_to(chunk) for chunk in chunks]}


def _taken(stream: Iterator[Any], most: int | None, chunks: list[Any]) -> bool:
    """Takes chunks. Returns whether they came to their end, rather than to as many as were to be taken."""
    while most is None or len(chunks) < most:
        try:
            chunks.append(next(stream))
        except StopIteration:
            return True
    return False


@contextmanager
def _naming(stream: Any, outcome: Outcome) -> Iterator[None]:
    try:
        yield
    finally:
        if stream.invocation_id:
            outcome["invocation_id"] = stream.invocation_id


def _answer_async(call: Call) -> Outcome:
    return asyncio.run(_made(call))


async def _made(call: Call) -> Outcome:
    chunks: list[Any] = []
    outcome: Outcome = {}
    streams = call["method"] in ("run_stream", "resume")
    try:
        async with AsyncRunAgentClient(**options_in(call)) as client:
            if "request_id" in call:
                client = client.with_request_id(call["request_id"])
            args, kwargs = arguments_in(call)
            match call["method"]:
                case "run" if not client.is_streaming:
                    return {"result": value_to(await client.run(*args, **kwargs))}
                case "run" | "run_stream":
                    streams = True
                    stream = client.run_stream(*args, **kwargs)
                case "resume":
                    stream = client.resume(call["invocation_id"], call["after_sequence"])
                case "cancel":
                    await client.cancel(call["invocation_id"])
                    return {"result": value_to(None)}
            async with stream:
                with _naming(stream, outcome):
                    outcome["ended"] = "completed"
                    # The first chunk is what starts an asynchronous stream: who takes none has not called.
                    async for chunk in stream:
                        chunks.append(chunk)
                        if len(chunks) == call.get("take"):
                            outcome["ended"] = "left"
                            break
    except RunAgentError as error:
        outcome["error"] = error_to(error)
        if error.invocation_id:
            outcome["invocation_id"] = error.invocation_id
        if not streams:
            return outcome
        outcome["ended"] = "failed"
    return {**outcome, "chunks": [value_to(chunk) for chunk in chunks]}


if __name__ == "__main__":
    answer_lines(_answer_async if "--aio" in sys.argv else lambda call: answer_with(RunAgentClient, call))
