package client

import (
	"context"
	"fmt"
	"time"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
)

const missedHeartbeats = 3

// A streamState is the life of one stream, without any I/O: events in, chunks or an error out. What a stream means, and
// how it is taken up again where it was cut, is written once, here.
type streamState struct {
	source       *runagentv1.RunStreamRequest
	retry        *retry
	resumed      bool
	begun        bool
	completed    bool // Whether the terminal event has come.
	invocationID string
	sequence     int64         // The number of the last chunk that came.
	silenceLimit time.Duration // After how much silence the server counts as gone. 0: it has not said.
}

func newStreamState(source *runagentv1.RunStreamRequest, retry *retry) *streamState {
	state := &streamState{source: source, retry: retry}
	if point := source.GetResume(); point != nil {
		state.resumed, state.invocationID, state.sequence = true, point.InvocationId, point.AfterSequence
	}
	return state
}

// request returns what to ask for now: the call, until it has started, and from then on whatever has not come yet.
func (s *streamState) request() *runagentv1.RunStreamRequest {
	if s.invocationID == "" {
		return s.source
	}
	return resumeRequest(s.invocationID, s.sequence)
}

func resumeRequest(invocationID string, after int64) *runagentv1.RunStreamRequest {
	point := &runagentv1.ResumePoint{InvocationId: invocationID, AfterSequence: after}
	return &runagentv1.RunStreamRequest{Source: &runagentv1.RunStreamRequest_Resume{Resume: point}}
}

// farewell returns what to say when the caller leaves; nil where the invocation may go on without them.
func (s *streamState) farewell() *runagentv1.CancelInvocationRequest {
	if s.resumed {
		// Who takes up what somebody started leaves it to the terms on which that was.
		return nil
	}
	return farewellTo(s.source.GetCall(), s.invocationID)
}

// farewellTo returns what cancels a call that its caller leaves on purpose; nil for a detached one, which goes on.
func farewellTo(call *runagentv1.Call, invocationID string) *runagentv1.CancelInvocationRequest {
	if call.OnDisconnect == runagentv1.OnDisconnect_ON_DISCONNECT_DETACH {
		return nil
	}
	return &runagentv1.CancelInvocationRequest{InvocationId: invocationID, RequestId: call.RequestId}
}

// receive takes the next event, and returns the chunks that it brings, none of them a second time. It fails where a chunk
// is missing, which no resuming would mend.
func (s *streamState) receive(event *runagentv1.RunStreamResponse) ([]*runagentv1.Payload, *Error) {
	switch event := event.GetEvent().(type) {
	case *runagentv1.RunStreamResponse_Chunks:
		return s.chunks(event.Chunks)
	case *runagentv1.RunStreamResponse_Started:
		return nil, s.started(event.Started)
	case *runagentv1.RunStreamResponse_Heartbeat:
		s.retry.progressed()
	case *runagentv1.RunStreamResponse_Completed:
		if count := event.Completed.GetChunkCount(); count != s.sequence {
			return nil, s.interrupted("The entrypoint produced %d chunks, and %d came.", count, s.sequence)
		}
		s.completed = true
	}
	// Events of a later contract are not for us.
	return nil, nil
}

// end takes it that the transport has no more, though the terminal event is missing.
func (s *streamState) end(ctx context.Context, had contact) (time.Duration, *Error) {
	return s.fail(ctx, s.interrupted("The stream ended before the entrypoint did."), had)
}

// fallSilent takes it that nothing came for silenceLimit.
func (s *streamState) fallSilent(ctx context.Context, had contact) (time.Duration, *Error) {
	return s.fail(ctx, s.interrupted("The server fell silent for %v.", s.silenceLimit), had)
}

// fail takes what the transport reports. It returns after how long to make the request again, or the error that says
// that this is not to be done any more.
func (s *streamState) fail(ctx context.Context, failure *Error, had contact) (time.Duration, *Error) {
	if failure.Reason == ReasonConnectionError && s.begun {
		lost := s.interrupted("The connection to the server was lost.")
		lost.Details, lost.cause = failure.Details, failure.cause
		if lost.Details == "" {
			lost.Details = failure.Message
		}
		failure = lost
	}
	if failure.InvocationID == "" {
		failure.InvocationID = s.invocationID
	}
	return s.retry.pauseAfter(ctx, failure, had)
}

func (s *streamState) started(started *runagentv1.StreamStarted) *Error {
	if s.invocationID != "" && s.invocationID != started.GetInvocationId() {
		return &Error{
			Reason:       ReasonInternal,
			Message:      "The server answered with the stream of another invocation.",
			InvocationID: s.invocationID,
		}
	}
	s.invocationID = started.GetInvocationId()
	if !s.begun {
		// Once: a server that takes a stream up again and again, and sends nothing of it, gets nowhere.
		s.begun = true
		s.retry.progressed()
	}
	s.silenceLimit = started.GetHeartbeatInterval().AsDuration() * missedHeartbeats
	return nil
}

func (s *streamState) chunks(chunks *runagentv1.StreamChunks) ([]*runagentv1.Payload, *Error) {
	values := chunks.GetValues()
	repeated := s.sequence + 1 - chunks.GetFirstSequence()
	if repeated < 0 {
		return nil, s.interrupted("Chunk %d is missing.", s.sequence+1)
	}
	values = values[min(repeated, int64(len(values))):]
	if len(values) > 0 {
		s.sequence += int64(len(values))
		s.retry.progressed()
	}
	return values, nil
}

func (s *streamState) interrupted(format string, values ...any) *Error {
	return &Error{
		Reason: ReasonStreamInterrupted, Message: fmt.Sprintf(format, values...), InvocationID: s.invocationID,
	}
}
