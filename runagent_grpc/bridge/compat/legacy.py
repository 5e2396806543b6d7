"""The words of the WebSocket dialect that older clients speak (docs/wire.md, REST and WebSocket)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from runagent_grpc.bridge.compat import legacy_frames
from runagent_grpc.bridge.requests import Caller, legacy_call, served_agent
from runagent_grpc.core.call import Call
from runagent_grpc.core.events import StreamChunks, StreamCompleted, StreamEvent, StreamHeartbeat, StreamStarted
from runagent_grpc.engine import Engine
from runagent_grpc.errors import InvalidRequestError, RunAgentError

__all__ = ["LegacyDialect"]


class LegacyDialect:
    """One conversation; its frames are numbered."""

    transport = "legacy"
    lingers = True

    def __init__(self, engine: Engine, path: Mapping[str, str]) -> None:
        self._engine = engine
        self._agent_id = path["agent_id"]
        self._tag = path["tag"]
        self._ids = map(str, itertools.count(1))

    def reply(self, request: Mapping[str, Any]) -> str | None:
        return legacy_frames.pong_frame(next(self._ids)) if _data_of(request).get("action") == "ping" else None

    def asked(self, request: Mapping[str, Any], caller: Caller) -> Call:
        served_agent(self._engine, self._agent_id)
        data = _data_of(request)
        if data.get("action") != "start_stream":
            raise InvalidRequestError.of_field("data.action", "expected start_stream or ping.")
        return legacy_call(self._engine, self._tag, data, caller, streaming=True)

    def frames(self, event: StreamEvent, invocation_id: str) -> Iterator[str]:
        match event:
            case StreamChunks(_, payloads):
                for payload in payloads:
                    yield legacy_frames.chunk_frame(next(self._ids), payload)
            case StreamStarted():
                yield self._status("stream_started", invocation_id=invocation_id)
            case StreamHeartbeat():
                # Its clients take every status but the first and the last for a chunk.
                pass
            case StreamCompleted(chunk_count, elapsed):
                yield self._status(
                    "stream_completed",
                    total_chunks=chunk_count,
                    execution_time=round(elapsed, 6),
                    invocation_id=invocation_id,
                )

    def failed(self, error: RunAgentError) -> str:
        return legacy_frames.error_frame(next(self._ids), error)

    def draining(self, invocation_id: str) -> str | None:
        return None

    def _status(self, status: str, **more: Any) -> str:
        return legacy_frames.status_frame(next(self._ids), status=status, **more)


def _data_of(request: Mapping[str, Any]) -> Mapping[str, Any]:
    data = request.get("data")
    return data if isinstance(data, dict) else {}
