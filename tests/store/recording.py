"""Invocations as an engine would tell of them, and stores in a folder of a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import Invocation, InvocationState
from runagent_grpc.core.recorder import LogLine, Output, TruncatedPayload
from runagent_grpc.errors import RunAgentError
from runagent_grpc.store import HistoryStore
from runagent_grpc.values.payload import Payload

__all__ = ["NOON", "begin", "end", "log", "produce", "record"]

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


def begin(
    store: HistoryStore,
    *args: Any,
    tag: str = "chat",
    agent_id: str = "agent",
    owner: str = "",
    start_time: datetime = NOON,
    kwargs: Mapping[str, Any] | None = None,
    request_id: str = "",
    **fields: Any,
) -> Invocation:
    """Tells the store of an invocation that runs."""
    invocation = Invocation(
        invocation_id=str(uuid4()),
        agent_id=agent_id,
        entrypoint_tag=tag,
        owner=owner,
        start_time=start_time,
        request_id=request_id,
        fingerprint=f"of {args}" if request_id else "",
    )
    invocation.move(InvocationState.RUNNING)
    call = Call(entrypoint_tag=tag, args=args, kwargs=kwargs or {}, owner=owner, request_id=request_id, **fields)
    store.started(invocation, call)
    return invocation


def end(
    store: HistoryStore,
    invocation: Invocation,
    result: Payload | None = None,
    *,
    state: InvocationState = InvocationState.COMPLETED,
    error: RunAgentError | None = None,
    chunk_count: int = 0,
    first_chunks: Sequence[Payload | TruncatedPayload] = (),
    last_chunks: Sequence[Payload | TruncatedPayload] = (),
) -> None:
    """Tells the store of the outcome."""
    invocation.move(state)
    invocation.end_time = invocation.start_time + timedelta(seconds=2)
    invocation.error = error
    invocation.cause = error.message if error else ""
    invocation.chunk_count = chunk_count
    output = Output(elapsed=2.0, result=result, first_chunks=tuple(first_chunks), last_chunks=tuple(last_chunks))
    store.ended(invocation, output)


def record(store: HistoryStore, result: Payload | None = None, *args: Any, **fields: Any) -> str:
    """Tells the store of an invocation from its start to its end, and returns its id."""
    invocation = begin(store, *args, **fields)
    end(store, invocation, result)
    return invocation.invocation_id


def produce(store: HistoryStore, invocation: Invocation, *payloads: Payload) -> None:
    """Journals the first chunks of a stream."""
    for sequence, payload in enumerate(payloads, 1):
        store.journal.produced(invocation.invocation_id, sequence, payload)


def log(store: HistoryStore, invocation_id: str, text: str, *, level: str = "INFO", time: datetime = NOON) -> None:
    store.logged(LogLine(invocation_id=invocation_id, time=time, level=level, text=text))
