"""Invocations as an engine would tell of them, and stores in a folder of a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from runagent_grpc.core.call import Call
from runagent_grpc.core.invocation import InvocationRecord, InvocationState
from runagent_grpc.core.recorder import OutputLine
from runagent_grpc.errors import RunAgentError
from runagent_grpc.store import HistoryStore
from runagent_grpc.values.payload import Payload, TruncatedPayload, encode

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
    fingerprint: str | None = None,
    **fields: Any,
) -> InvocationRecord:
    """Tells the store of an invocation that runs."""
    call = Call(
        entrypoint_tag=tag,
        args=[*map(encode, args)],
        kwargs={name: encode(value) for name, value in (kwargs or {}).items()},
        request_id=request_id,
        **fields,
    )
    started = InvocationRecord(
        invocation_id=str(uuid4()),
        agent_id=agent_id,
        entrypoint_tag=tag,
        owner=owner,
        start_time=start_time,
        request_id=request_id,
        fingerprint=(f"of {args}" if request_id else "") if fingerprint is None else fingerprint,
        user_id=call.user_id,
        transport=call.transport,
        state=InvocationState.RUNNING,
    )
    store.started(started, call)
    return started


def end(
    store: HistoryStore,
    invocation: InvocationRecord,
    result: Payload | None = None,
    *,
    state: InvocationState = InvocationState.COMPLETED,
    error: RunAgentError | None = None,
    chunk_count: int = 0,
    first_chunks: Sequence[Payload | TruncatedPayload] = (),
    last_chunks: Sequence[Payload | TruncatedPayload] = (),
) -> None:
    """Tells the store of the outcome."""
    ended = replace(
        invocation,
        state=state,
        end_time=invocation.start_time + timedelta(seconds=2),
        elapsed=2.0,
        error=error,
        cause=error.message if error else "",
        chunk_count=chunk_count,
        result=result,
        first_chunks=tuple(first_chunks),
        last_chunks=tuple(last_chunks),
    )
    store.ended(ended)


def record(store: HistoryStore, result: Payload | None = None, *args: Any, **fields: Any) -> str:
    """Tells the store of an invocation from its start to its end, and returns its id."""
    invocation = begin(store, *args, **fields)
    end(store, invocation, result)
    return invocation.invocation_id


def produce(store: HistoryStore, invocation: InvocationRecord, *payloads: Payload) -> None:
    """Journals the first chunks of a stream."""
    for sequence, payload in enumerate(payloads, 1):
        store.journal.produced(invocation.invocation_id, sequence, payload)


def log(store: HistoryStore, invocation_id: str, text: str, *, level: str = "INFO", time: datetime = NOON) -> None:
    store.logged(OutputLine(invocation_id=invocation_id, time=time, level=level, text=text))
