package client

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
)

// A Stream is the chunks of a running entrypoint, as they come. A connection that is cut, or falls silent, is made again,
// and the stream goes on behind the last chunk that came.
//
// One goroutine may read it at a time; any may close it.
type Stream struct {
	client *Client
	state  *streamState // The goroutine's that follows the stream.
	ctx    context.Context
	stop   context.CancelCauseFunc

	id      atomic.Pointer[string]
	batches chan []*runagentv1.Payload
	ended   chan struct{} // Closed once the stream is followed no more, and failure says why.
	failure *Error

	reading sync.Mutex
	ready   []*runagentv1.Payload
}

func (c *Client) stream(ctx context.Context, request *runagentv1.RunStreamRequest) (*Stream, error) {
	bounded, cancel := c.bounded(ctx)
	own, stop := context.WithCancelCause(bounded)
	used, failure := c.connection.transport(own)
	if failure != nil {
		stop(nil)
		cancel()
		return nil, failure
	}
	s := &Stream{
		client:  c,
		state:   newStreamState(request, newRetry(c.options.retryWindow)),
		ctx:     own,
		stop:    stop,
		batches: make(chan []*runagentv1.Payload),
		ended:   make(chan struct{}),
	}
	s.announce()
	c.mu.Lock()
	c.streams[s] = struct{}{}
	c.mu.Unlock()
	go func() {
		defer cancel()
		defer stop(nil)
		s.failure = s.follow(used)
		c.mu.Lock()
		delete(c.streams, s)
		c.mu.Unlock()
		close(s.ended)
	}()
	return s, nil
}

// Next returns the next chunk and true, or nil and false once the entrypoint is done, or the error that ended the stream.
// ctx bounds the wait for that chunk and nothing else: the stream may be read on afterwards.
func (s *Stream) Next(ctx context.Context) (interface{}, bool, error) {
	if !s.reading.TryLock() {
		return nil, false, &Error{
			Reason: ReasonValidationError, Message: "Another goroutine is reading this stream. Let one goroutine read it.",
		}
	}
	defer s.reading.Unlock()
	for len(s.ready) == 0 {
		if ctx.Err() != nil {
			return nil, false, contextError(ctx)
		}
		select {
		case s.ready = <-s.batches:
		case <-s.ended:
			if s.failure != nil {
				twin := *s.failure
				return nil, false, &twin
			}
			return nil, false, nil
		case <-ctx.Done():
			return nil, false, contextError(ctx)
		}
	}
	next := s.ready[0]
	s.ready[0] = nil // Read, and no longer needed.
	s.ready = s.ready[1:]
	value, failure := valueOf(next)
	if failure != nil {
		failure.InvocationID = s.InvocationID()
		_ = s.Close()
		return nil, false, failure
	}
	return value, true, nil
}

// All returns the chunks for a range statement. An error comes last, with a nil chunk. Leaving the statement early closes
// the stream.
func (s *Stream) All(ctx context.Context) iter.Seq2[interface{}, error] {
	return func(yield func(interface{}, error) bool) {
		defer func() { _ = s.Close() }()
		for {
			chunk, more, err := s.Next(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			if !more || !yield(chunk, nil) {
				return
			}
		}
	}
}

// InvocationID returns the invocation's id, or "" until the stream has started.
func (s *Stream) InvocationID() string {
	if id := s.id.Load(); id != nil {
		return *id
	}
	return ""
}

// Close ends the stream. Unless it has ended, or may go on without its caller, that cancels the invocation; Close then
// waits for up to a second until the server has heard of it. It returns nil.
func (s *Stream) Close() error {
	s.stop(streamClosed())
	<-s.ended
	return nil
}

func streamClosed() *Error {
	return &Error{Reason: ReasonCancelled, Message: "The stream was closed."}
}

// announce makes the invocation's id known to whoever asks for it.
func (s *Stream) announce() {
	if id := s.state.invocationID; id != "" && s.id.Load() == nil {
		s.id.Store(&id)
	}
}

// follow hands chunks over to the reader until the stream has ended, and returns why it did: nil if it went well.
func (s *Stream) follow(used transport) *Error {
	current := used.openStream(s.ctx, s.state.request())
	for {
		event, silent, failure := s.await(current)
		if s.ctx.Err() != nil {
			return s.leave(current)
		}
		if event == nil || silent {
			current.abandon()
			if used, failure = s.takeUp(used, failure, silent); failure != nil {
				return failure
			}
			current = used.openStream(s.ctx, s.state.request())
			continue
		}
		payloads, failure := s.state.receive(event)
		s.announce()
		switch {
		case failure != nil:
			current.leave(s.state.farewell())
			return failure
		case s.state.completed:
			current.finish()
			return nil
		case len(payloads) == 0:
			continue
		}
		select {
		case s.batches <- payloads:
		case <-s.ctx.Done():
			return s.leave(current)
		}
	}
}

// await waits for the next event, at most until the server counts as gone. The time that the reader takes between two
// chunks is none of the server's.
func (s *Stream) await(current events) (event *runagentv1.RunStreamResponse, silent bool, failure *Error) {
	if s.state.silenceLimit <= 0 {
		event, failure = current.receive()
		return event, false, failure
	}
	var fell atomic.Bool
	timer := time.AfterFunc(s.state.silenceLimit, func() {
		fell.Store(true)
		current.abandon()
	})
	defer timer.Stop()
	event, failure = current.receive()
	// An event that came just then comes again: the stream is taken up behind the one before.
	return event, fell.Load(), failure
}

// takeUp waits until it is time to ask again for what has not come, and returns what to ask, or the error that is the
// stream's end.
func (s *Stream) takeUp(used transport, failure *Error, silent bool) (transport, *Error) {
	var pause time.Duration
	switch {
	case silent:
		pause, failure = s.state.fallSilent(s.ctx, used.contact())
	case failure != nil:
		pause, failure = s.state.fail(s.ctx, failure, used.contact())
	default:
		pause, failure = s.state.end(s.ctx, used.contact())
	}
	if failure != nil {
		return nil, failure
	}
	var next transport
	if failure = wait(s.ctx, pause); failure == nil {
		next, failure = s.client.connection.after(s.ctx, used, s.state.retry.failures, silent)
	}
	if failure != nil {
		if farewell := s.state.farewell(); farewell != nil {
			used.withdraw(s.ctx, farewell)
		}
		failure.InvocationID = s.state.invocationID
	}
	return next, failure
}

// leave ends the stream because its caller has left, or their time is up.
func (s *Stream) leave(current events) *Error {
	current.leave(s.state.farewell())
	failure := contextError(s.ctx)
	failure.InvocationID = s.state.invocationID
	return failure
}
