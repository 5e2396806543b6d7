"""The life of one stream as a client sees it, without any I/O: events in, chunks or an error out.

The sync and the async client drive the same `StreamState`: what a stream means is written once, here.
"""

from __future__ import annotations

from collections.abc import Sequence

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import payload_pb2
from runagent_grpc.contract import seconds_from
from runagent_grpc.errors import Reason, RunAgentError, UnavailableError

__all__ = ["StreamState"]

_MISSED_HEARTBEATS = 3


class StreamState:
    """Where a stream stands: what has come, what may come next, and what it means when nothing does."""

    def __init__(self) -> None:
        self.invocation_id: str | None = None
        """Known from the first event on."""
        self.sequence = 0
        """The number of the last chunk that came."""
        self.completed = False
        """Whether the terminal event has come."""
        self.silence_limit: float | None = None
        """After how many silent seconds the server counts as gone. None until the stream has started."""

    def receive(self, message: pb.RunStreamResponse) -> Sequence[payload_pb2.Payload]:
        """Takes the next event, and returns the chunks that it brings, none of them a second time.

        Raises UnavailableError (STREAM_INTERRUPTED) where a chunk is missing.
        """
        match message.WhichOneof("event"):
            case "chunks":
                return self._chunks(message.chunks)
            case "started":
                self.invocation_id = message.started.invocation_id
                interval = seconds_from(message.started.heartbeat_interval)
                self.silence_limit = interval * _MISSED_HEARTBEATS or None
            case "completed":
                self._require_all(message.completed.chunk_count)
                self.completed = True
        # Heartbeats need no answer, and events of a later contract are not for us.
        return ()

    def end(self) -> None:
        """Says that the stream ended well, as the transport sees it. Raises where its terminal event is missing."""
        if not self.completed:
            raise self._interrupted("The stream ended before the entrypoint did.")

    def fall_silent(self) -> RunAgentError:
        """Returns what it means that nothing came for `silence_limit` seconds."""
        return self._interrupted(f"The server fell silent for {self.silence_limit:g} s.")

    def fail(self, error: RunAgentError) -> RunAgentError:
        """Returns what it means that the transport reports `error`."""
        if error.reason is Reason.CONNECTION_ERROR and self.invocation_id is not None:
            return self._interrupted("The connection to the server was lost.", details=error.details or error.message)
        error.invocation_id = error.invocation_id or self.invocation_id
        return error

    def _chunks(self, chunks: pb.StreamChunks) -> Sequence[payload_pb2.Payload]:
        repeated = self.sequence + 1 - chunks.first_sequence
        if repeated < 0:
            raise self._interrupted(f"Chunk {self.sequence + 1} is missing.")
        values: Sequence[payload_pb2.Payload] = chunks.values[repeated:] if repeated else chunks.values
        self.sequence += len(values)
        return values

    def _require_all(self, chunk_count: int) -> None:
        if chunk_count != self.sequence:
            raise self._interrupted(f"The entrypoint produced {chunk_count} chunks, and {self.sequence} came.")

    def _interrupted(self, message: str, details: str | None = None) -> UnavailableError:
        return UnavailableError(
            message, reason=Reason.STREAM_INTERRUPTED, details=details, invocation_id=self.invocation_id
        )
