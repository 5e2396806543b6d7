package client

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
)

const invocationIDMetadata = "x-invocation-id"

// A grpcTransport speaks runagent.v1 on one channel.
type grpcTransport struct {
	address address
	apiKey  string
	channel *grpc.ClientConn
	agents  runagentv1.AgentServiceClient
	had     atomic.Int32
}

func newGRPCTransport(at address, o *options, had contact) (*grpcTransport, *Error) {
	trust := insecure.NewCredentials()
	if at.tls {
		trust = credentials.NewTLS(o.tlsConfig(at.host))
	}
	settings := []grpc.DialOption{
		grpc.WithTransportCredentials(trust),
		grpc.WithUserAgent(userAgent),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxMessageBytes), grpc.MaxCallSendMsgSize(maxMessageBytes),
		),
		// Until the next attempt is made, calls fail with what the last one met, so that a server that is back would
		// count as away for as long: up to 120 s by default.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 20 * time.Second}),
		// A name server could otherwise say how calls are to be repeated.
		grpc.WithDisableServiceConfig(),
	}
	if at.isLoopback() {
		// A proxy named by the environment has no way to this machine's own loopback.
		settings = append(settings, grpc.WithNoProxy())
	}
	channel, err := grpc.NewClient("dns:///"+at.String(), settings...)
	if err != nil {
		return nil, nobodyAnswers(at, err)
	}
	made := &grpcTransport{
		address: at, apiKey: o.apiKey, channel: channel, agents: runagentv1.NewAgentServiceClient(channel),
	}
	made.had.Store(int32(had))
	return made, nil
}

func (t *grpcTransport) run(ctx context.Context, call *runagentv1.Call) (any, *Error) {
	var header metadata.MD
	response, err := t.agents.Run(t.with(ctx), &runagentv1.RunRequest{Call: call}, grpc.Header(&header))
	if err != nil {
		failure := t.failure(ctx, err)
		failure.InvocationID = announcedID(header)
		return nil, failure
	}
	t.met(contactAnswer)
	return valueOf(response.GetResult())
}

func (t *grpcTransport) openStream(ctx context.Context, request *runagentv1.RunStreamRequest) events {
	own, cancel := context.WithCancel(ctx)
	stream, err := t.agents.RunStream(t.with(own), request)
	return &grpcEvents{transport: t, ctx: ctx, drop: cancel, stream: stream, err: err}
}

func (t *grpcTransport) withdraw(ctx context.Context, farewell *runagentv1.CancelInvocationRequest) {
	ctx, cancel := farewellContext(ctx)
	defer cancel()
	_, _ = t.agents.CancelInvocation(t.with(ctx), farewell)
}

func (t *grpcTransport) cancel(ctx context.Context, invocationID string) *Error {
	request := &runagentv1.CancelInvocationRequest{InvocationId: invocationID}
	if _, err := t.agents.CancelInvocation(t.with(ctx), request); err != nil {
		return t.failure(ctx, err)
	}
	t.met(contactAnswer)
	return nil
}

func (t *grpcTransport) contact() contact { return contact(t.had.Load()) }

func (t *grpcTransport) close() { _ = t.channel.Close() }

func (t *grpcTransport) met(had contact) {
	for {
		before := t.had.Load()
		if before >= int32(had) || t.had.CompareAndSwap(before, int32(had)) {
			return
		}
	}
}

// with returns the context that a call is made with.
func (t *grpcTransport) with(ctx context.Context) context.Context {
	if t.apiKey == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+t.apiKey)
}

// failure returns what a failed RPC means.
func (t *grpcTransport) failure(ctx context.Context, err error) *Error {
	failure, had := failureOfStatus(ctx, err, t.address)
	t.met(had)
	return failure
}

// grpcEvents are the events of one RunStream.
type grpcEvents struct {
	transport *grpcTransport
	ctx       context.Context // The caller's; drop ends the call without it.
	drop      context.CancelFunc
	stream    grpc.ServerStreamingClient[runagentv1.RunStreamResponse]
	err       error // Why the stream could not be opened.
}

func (e *grpcEvents) receive() (*runagentv1.RunStreamResponse, *Error) {
	if e.err != nil {
		return nil, e.transport.failure(e.ctx, e.err)
	}
	event, err := e.stream.Recv()
	if err == nil {
		e.transport.met(contactAnswer)
		return event, nil
	}
	if errors.Is(err, io.EOF) {
		e.transport.met(contactAnswer)
		return nil, nil
	}
	failure := e.transport.failure(e.ctx, err)
	if header, err := e.stream.Header(); err == nil {
		failure.InvocationID = announcedID(header)
	}
	return nil, failure
}

func (e *grpcEvents) finish() {
	// The status follows the terminal event; without it the call would count as cancelled.
	timer := time.AfterFunc(farewellTimeout, e.drop)
	defer timer.Stop()
	_, _ = e.stream.Recv()
	e.drop()
}

func (e *grpcEvents) leave(farewell *runagentv1.CancelInvocationRequest) {
	e.drop()
	if farewell != nil {
		e.transport.withdraw(e.ctx, farewell)
	}
}

func (e *grpcEvents) abandon() { e.drop() }

func announcedID(header metadata.MD) string {
	if values := header.Get(invocationIDMetadata); len(values) > 0 {
		return values[0]
	}
	return ""
}
