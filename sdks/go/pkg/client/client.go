package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
)

const (
	version      = "0.1.0"
	userAgent    = "runagent-go/" + version
	streamSuffix = "_stream"
	resumeWindow = 10 * time.Second
)

// A Client calls one entrypoint of one agent. Goroutines may share it.
type Client struct {
	tag        string
	options    *options
	connection *connection

	mu      sync.Mutex
	streams map[*Stream]struct{}
}

// NewWithAddress returns a client of an entrypoint. The server is the one at host and port, where they are given; else,
// with local, the one that serves the agent on this machine; else the one that RUNAGENT_BASE_URL names.
func NewWithAddress(agentID, tag string, local bool, host string, port int) (*Client, error) {
	var given []Option
	if local {
		given = append(given, WithLocal())
	}
	if host != "" || port != 0 {
		given = append(given, WithAddress(host, port))
	}
	return New(agentID, tag, given...)
}

// New returns a client of an entrypoint. It finds out where the server is, and connects when the first call needs it.
// An empty agentID calls the only agent that the server serves.
func New(agentID, tag string, given ...Option) (*Client, error) {
	o, failure := optionsOf(given)
	if failure != nil {
		return nil, failure
	}
	for field, text := range map[string]string{"agent_id": agentID, "entrypoint_tag": tag} {
		if !utf8.ValidString(text) {
			return nil, invalid(field, "%+q is not UTF-8.", text)
		}
	}
	o.agentID = agentID
	lookup := func() (address, *Error) { return resolve(agentID, o) }
	told, failure := lookup()
	if failure != nil {
		return nil, failure
	}
	return &Client{
		tag:        tag,
		options:    o,
		connection: newConnection(told, lookup, o),
		streams:    map[*Stream]struct{}{},
	}, nil
}

// A Keyword is an argument by name.
type Keyword struct {
	Name  string
	Value interface{}
}

// A Call says more about a call than its named arguments.
type Call struct {
	Args []interface{} // The arguments by position.
	// Kwargs are the arguments by name. A map has no order: they are sent sorted by name, after Keywords.
	Kwargs map[string]interface{}
	// Keywords are arguments by name, too, in an order that an entrypoint with **kwargs sees. A name that is given twice
	// is refused.
	Keywords []Keyword
	// RequestID makes the call known to the server, for callers who repeat it themselves, in another process perhaps: a
	// server that has seen the id joins the call to the first one, or answers with its outcome, and refuses it where it
	// asks for something else. Empty takes a new one.
	RequestID string
}

// Run calls the entrypoint with these named arguments, and returns its value. An entrypoint that streams is for
// [Client.RunStream].
func (c *Client) Run(ctx context.Context, kwargs map[string]interface{}) (interface{}, error) {
	return c.RunCall(ctx, Call{Kwargs: kwargs})
}

// RunCall is [Client.Run] for a call of more than named arguments.
func (c *Client) RunCall(ctx context.Context, call Call) (interface{}, error) {
	message, failure := c.message(call)
	if failure != nil {
		return nil, failure
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	var value any
	failure = c.tried(ctx, func(t transport) (failure *Error) {
		value, failure = t.run(ctx, message)
		if failure != nil && errors.Is(ctx.Err(), context.Canceled) {
			// This caller will not come back for the answer. A deadline the server knows by itself.
			if farewell := farewellTo(message, ""); farewell != nil {
				t.withdraw(ctx, farewell)
			}
		}
		return failure
	})
	if failure != nil {
		return nil, failure
	}
	return value, nil
}

// RunStream calls the entrypoint, which must stream, with these named arguments. The call is under way when this returns;
// what goes wrong with it, the first [Stream.Next] tells. Read the stream to its end, or close it, or cancel ctx.
func (c *Client) RunStream(ctx context.Context, kwargs map[string]interface{}) (*Stream, error) {
	return c.RunStreamCall(ctx, Call{Kwargs: kwargs})
}

// RunStreamCall is [Client.RunStream] for a call of more than named arguments.
func (c *Client) RunStreamCall(ctx context.Context, call Call) (*Stream, error) {
	message, failure := c.message(call)
	if failure != nil {
		return nil, failure
	}
	return c.stream(ctx, &runagentv1.RunStreamRequest{Source: &runagentv1.RunStreamRequest_Call{Call: message}})
}

// Resume takes up a stream behind its chunk number after, in the place of whoever reads it; 0 starts from the first.
// Closing the stream cancels nothing: what becomes of the invocation was said when it was started.
func (c *Client) Resume(ctx context.Context, invocationID string, after int64) (*Stream, error) {
	switch {
	case invocationID == "" || !utf8.ValidString(invocationID):
		return nil, invalid("invocation_id", "Name the invocation whose stream it is.")
	case after < 0:
		return nil, invalid("after", "%d is not the number of a chunk, or 0 for all of them.", after)
	}
	return c.stream(ctx, resumeRequest(invocationID, after))
}

// Cancel cancels an invocation. One that has ended stays as it ended.
func (c *Client) Cancel(ctx context.Context, invocationID string) error {
	if invocationID == "" || !utf8.ValidString(invocationID) {
		return invalid("invocation_id", "Name the invocation to cancel.")
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	if failure := c.tried(ctx, func(t transport) *Error { return t.cancel(ctx, invocationID) }); failure != nil {
		return failure
	}
	return nil
}

// Close closes the streams of the client, which cancels what they stream, and the connection. It returns nil.
func (c *Client) Close() error {
	c.mu.Lock()
	open := make([]*Stream, 0, len(c.streams))
	for stream := range c.streams {
		open = append(open, stream)
	}
	c.mu.Unlock()
	for _, stream := range open {
		stream.stop(streamClosed())
	}
	for _, stream := range open {
		<-stream.ended
	}
	c.connection.close()
	return nil
}

// tried makes an attempt, and makes it again for as long as the want of a server is what makes it fail.
func (c *Client) tried(ctx context.Context, attempt func(transport) *Error) *Error {
	retry := newRetry(c.options.retryWindow)
	used, failure := c.connection.transport(ctx)
	for failure == nil {
		failed := attempt(used)
		if failed == nil {
			return nil
		}
		var pause time.Duration
		if pause, failure = retry.pauseAfter(ctx, failed, used.contact()); failure != nil {
			break
		}
		if failure = wait(ctx, pause); failure != nil {
			break
		}
		used, failure = c.connection.after(ctx, used, retry.failures, false)
	}
	return failure
}

// bounded returns the context of a whole call.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.options.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, c.options.timeout, &Error{
		Reason:  ReasonTimeout,
		Message: fmt.Sprintf("The call timed out after %v.", c.options.timeout),
		cause:   context.DeadlineExceeded,
	})
}

func (c *Client) message(call Call) (*runagentv1.Call, *Error) {
	if c.tag == "" {
		return nil, invalid("entrypoint_tag", "Name the entrypoint to call.")
	}
	if !utf8.ValidString(call.RequestID) {
		return nil, invalid("request_id", "%+q is not UTF-8.", call.RequestID)
	}
	message := &runagentv1.Call{
		AgentId:          c.options.agentID,
		EntrypointTag:    c.tag,
		RequestId:        call.RequestID,
		UserId:           c.options.userID,
		PersistentMemory: c.options.persistentMemory,
		OnDisconnect:     onDisconnectValues[c.options.onDisconnect],
	}
	if message.RequestId == "" {
		message.RequestId = newRequestID()
	}
	if c.options.onDisconnect == Linger {
		message.ResumeWindow = durationpb.New(resumeWindow)
	}
	for i, value := range call.Args {
		payload, failure := payloadOf(value, fmt.Sprintf("args[%d]", i))
		if failure != nil {
			return nil, failure
		}
		message.Args = append(message.Args, payload)
	}
	given := make(map[string]bool, len(call.Keywords)+len(call.Kwargs))
	for _, keyword := range call.keywords() {
		name := keyword.Name
		if !utf8.ValidString(name) {
			return nil, invalid("kwargs", "%+q is not UTF-8.", name)
		}
		if given[name] {
			return nil, invalidArgument(name, "Given twice by name.")
		}
		given[name] = true
		payload, failure := payloadOf(keyword.Value, name)
		if failure != nil {
			return nil, failure
		}
		message.Keywords = append(message.Keywords, &runagentv1.KeywordArgument{Name: name, Value: payload})
	}
	return message, nil
}

// keywords returns all arguments by name, in the order in which they are sent.
func (c Call) keywords() []Keyword {
	keywords := slices.Clone(c.Keywords)
	for _, name := range slices.Sorted(maps.Keys(c.Kwargs)) {
		keywords = append(keywords, Keyword{Name: name, Value: c.Kwargs[name]})
	}
	return keywords
}

// IsStreaming reports whether the client's entrypoint streams.
func (c *Client) IsStreaming() bool { return strings.HasSuffix(c.tag, streamSuffix) }

var onDisconnectValues = map[OnDisconnect]runagentv1.OnDisconnect{
	Cancel: runagentv1.OnDisconnect_ON_DISCONNECT_CANCEL,
	Linger: runagentv1.OnDisconnect_ON_DISCONNECT_LINGER,
	Detach: runagentv1.OnDisconnect_ON_DISCONNECT_DETACH,
}

// newRequestID returns a random UUID (RFC 9562, version 4).
func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // It never fails.
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
