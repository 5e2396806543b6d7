package client

import (
	"context"
	"time"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
)

const (
	// maxMessageBytes is the largest message that clients send and take; gRPC's own default is 4 MiB.
	maxMessageBytes = 32 * 1024 * 1024
	// farewellTimeout is how long a client that leaves waits for the server to hear of it.
	farewellTimeout = time.Second
	// connectTimeout is how long an attempt to connect may take.
	connectTimeout = 10 * time.Second
)

// A transport speaks one wire to one address. Goroutines may share it.
type transport interface {
	// run makes a call, and returns its value.
	run(ctx context.Context, call *runagentv1.Call) (any, *Error)
	// openStream asks for a stream. What goes wrong with that, the first receive tells.
	openStream(ctx context.Context, request *runagentv1.RunStreamRequest) events
	// withdraw tells the server that a caller has left, as well as it can.
	withdraw(ctx context.Context, farewell *runagentv1.CancelInvocationRequest)
	// cancel cancels an invocation by its id.
	cancel(ctx context.Context, invocationID string) *Error
	// contact returns what was had of the server.
	contact() contact
	close()
}

// events are those of one stream. One goroutine receives; any may abandon.
type events interface {
	// receive waits for the next event, for as long as the context that the stream was opened with lasts. It returns
	// nil when there are no more.
	receive() (*runagentv1.RunStreamResponse, *Error)
	// finish ends the stream behind its terminal event.
	finish()
	// leave ends it before that, and tells the server so unless farewell is nil.
	leave(farewell *runagentv1.CancelInvocationRequest)
	// abandon drops the connection without a word, and wakes whoever receives.
	abandon()
}

// farewellContext returns a context for what has to be said although the caller's own is done.
func farewellContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), farewellTimeout)
}
