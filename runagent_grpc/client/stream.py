"""The life of one stream as a client sees it, without any I/O: events in, chunks or an error out.

The sync and the async client drive the same `StreamState`: what a stream means, and how it is taken up again where it
was cut, is written once, here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runagent_grpc._gen.runagent.v1 import agent_service_pb2 as pb
from runagent_grpc._gen.runagent.v1 import call_pb2, payload_pb2
from runagent_grpc.client.retry import PeerStatus, Retry
from runagent_grpc.contract.messages import seconds_from
from runagent_grpc.errors import (
    InternalError,
    InvocationCancelledError,
    Reason,
    RunAgentError,
    UnavailableError,
)

__all__ = ["ChunkStreamBase", "StreamState", "cancel_request_of"]

_MISSED_HEARTBEATS = 3


class StreamState:
    """Where a stream stands: what has come, what may come next, and what it means when nothing does."""

    def __init__(self, source: pb.RunStreamRequest, retry: Retry) -> None:
        self._source = source
        self._retry = retry
        self._resumed = source.HasField("resume")
        self._begun = False
        self.invocation_id: str | None = source.resume.invocation_id if self._resumed else None
        """Known from the first event on, and of a stream that is resumed."""
        self.sequence = source.resume.after_sequence
        """The number of the last chunk that came."""
        self.completed = False
        """Whether the terminal event has come."""
        self.silence_limit: float | None = None
        """After how many silent seconds the server counts as gone. None until the stream has started."""
        self._when_started: Callable[[str], None] | None = None

    @property
    def request(self) -> pb.RunStreamRequest:
        """What to ask for now: the call, until it has started, and from then on whatever has not come yet."""
        if self.invocation_id is None:
            return self._source
        point = pb.ResumePoint(invocation_id=self.invocation_id, after_sequence=self.sequence)
        return pb.RunStreamRequest(resume=point)

    @property
    def failures(self) -> int:
        """How many there were since the server last gave something."""
        return self._retry.failures

    @property
    def cancel_request(self) -> pb.CancelInvocationRequest | None:
        """What to say when the caller leaves; None where the invocation may go on without them."""
        # Who takes up what somebody started leaves it to the terms on which that was.
        return None if self._resumed else cancel_request_of(self._source.call, self.invocation_id)

    def when_started(self, callback: Callable[[str], None]) -> None:
        """Has the callback called once, with the invocation's id, when the stream has started."""
        self._when_started = callback

    def receive(self, message: pb.RunStreamResponse) -> Sequence[payload_pb2.Payload]:
        """Takes the next event, and returns the chunks that it brings, none of them a second time.

        Raises UnavailableError (STREAM_INTERRUPTED) where a chunk is missing, which no resuming would mend.
        """
        match message.WhichOneof("event"):
            case "chunks":
                return self._chunks(message.chunks)
            case "started":
                self._started(message.started)
            case "heartbeat":
                self._retry.progressed()
            case "completed":
                self._require_all(message.completed.chunk_count)
                self.completed = True
        # Events of a later contract are not for us.
        return ()

    def end(self, contact: PeerStatus) -> float:
        """Takes it that the transport has no more, though the terminal event is missing. Ends as `fail` does."""
        return self.fail(self._interrupted("The stream ended before the entrypoint did."), contact)

    def fall_silent(self, contact: PeerStatus) -> float:
        """Takes it that nothing came for `silence_limit` seconds. Ends as `fail` does."""
        return self.fail(self._interrupted(f"The server fell silent for {self.silence_limit:g} s."), contact)

    def fail(self, error: RunAgentError, contact: PeerStatus) -> float:
        """Takes what the transport reports. Returns after how many seconds to make `request`, or raises what it means
        that this is not to be done any more."""
        if error.reason is Reason.CONNECTION_ERROR and self._begun:
            error = self._interrupted("The connection to the server was lost.", details=error.details or error.message)
        if error.invocation_id is None and self.invocation_id is not None:
            error = error.replace(invocation_id=self.invocation_id)
        return self._retry.pause_after(error, contact)

    def _started(self, started: pb.StreamStarted) -> None:
        if self.invocation_id not in (None, started.invocation_id):
            raise InternalError(
                "The server answered with the stream of another invocation.", invocation_id=self.invocation_id
            )
        self.invocation_id = started.invocation_id
        self.silence_limit = seconds_from(started.heartbeat_interval) * _MISSED_HEARTBEATS or None
        if not self._begun:
            # Once: a server that takes a stream up again and again, and sends nothing of it, gets nowhere.
            self._begun = True
            self._retry.progressed()
            if self._when_started is not None:
                self._when_started(started.invocation_id)

    def _chunks(self, chunks: pb.StreamChunks) -> Sequence[payload_pb2.Payload]:
        repeated = self.sequence + 1 - chunks.first_sequence
        if repeated < 0:
            raise self._interrupted(f"Chunk {self.sequence + 1} is missing.")
        values: Sequence[payload_pb2.Payload] = chunks.values[repeated:] if repeated else chunks.values
        if values:
            self.sequence += len(values)
            self._retry.progressed()
        return values

    def _require_all(self, chunk_count: int) -> None:
        if chunk_count != self.sequence:
            raise self._interrupted(f"The entrypoint produced {chunk_count} chunks, and {self.sequence} came.")

    def _interrupted(self, message: str, details: str | None = None) -> UnavailableError:
        return UnavailableError(
            message, reason=Reason.STREAM_INTERRUPTED, details=details, invocation_id=self.invocation_id
        )


class ChunkStreamBase:
    """What the streams of both clients tell their callers."""

    def __init__(self, state: StreamState) -> None:
        self._state = state

    @property
    def invocation_id(self) -> str | None:
        """The invocation's id, once the stream has started."""
        return self._state.invocation_id

    def when_started(self, callback: Callable[[str], None]) -> None:
        """Has the callback called with the invocation's id, by the reader of the stream, once the server sends it.

        That is when the entrypoint starts, which may be long before its first chunk. A callback that comes later is
        never called.
        """
        self._state.when_started(callback)

    def _closed_error(self, *, with_client: bool) -> RunAgentError:
        what = "client" if with_client else "stream"
        return InvocationCancelledError(f"The {what} was closed.", invocation_id=self._state.invocation_id)


def cancel_request_of(call: call_pb2.Call, invocation_id: str | None = None) -> pb.CancelInvocationRequest | None:
    """Returns what cancels a call that its caller leaves on purpose; None for a detached one, which goes on."""
    if call.on_disconnect == call_pb2.ON_DISCONNECT_DETACH:
        return None
    return pb.CancelInvocationRequest(invocation_id=invocation_id or "", request_id=call.request_id)
