package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
)

// An httpTransport speaks the documented wire: REST for values, a WebSocket for each stream.
//
// Published servers would run a repeated call twice, and know of no resuming; with them nothing is tried again.
type httpTransport struct {
	address address
	options *options
	web     *http.Client

	mu     sync.Mutex
	had    contact
	known  bool   // Whether the server is known to be one of ours, or not to be.
	onlyID string // The id of the server's only agent, for which published servers know no alias.
}

func newHTTPTransport(at address, o *options, had contact) *httpTransport {
	made := &httpTransport{address: at, options: o, web: newHTTPClient(at, o), had: had}
	made.known = at.asked || had == contactAnswer
	if at.asked {
		made.had = contactOf(at.resumable)
	}
	return made
}

func contactOf(resumable bool) contact {
	if resumable {
		return contactAnswer
	}
	return contactNone
}

func (t *httpTransport) run(ctx context.Context, call *runagentv1.Call) (any, *Error) {
	agentID, failure := t.meet(ctx, call.AgentId)
	if failure != nil {
		return nil, failure
	}
	body := bodyOf(ctx, call, t.contact() != contactAnswer)
	document, failure := t.document(ctx, http.MethodPost, agentPath(agentID, "run"), body, call.RequestId)
	if failure != nil {
		return nil, failure
	}
	return valueOf(payloadIn(document["data"]))
}

func (t *httpTransport) openStream(ctx context.Context, request *runagentv1.RunStreamRequest) events {
	// A request to take a stream up does not say whose it is.
	agentID, failure := t.meet(ctx, t.options.agentID)
	if failure != nil {
		return &failedEvents{failure}
	}
	return openWebSocket(ctx, t, agentPath(agentID, "run-stream"), request)
}

func (t *httpTransport) withdraw(ctx context.Context, farewell *runagentv1.CancelInvocationRequest) {
	ctx, cancel := farewellContext(ctx)
	defer cancel()
	_, _, _, _ = t.ask(ctx, http.MethodPost, homePath+"/invocations/cancel", nil, farewell.RequestId)
}

func (t *httpTransport) cancel(ctx context.Context, invocationID string) *Error {
	path := homePath + "/invocations/" + url.PathEscape(invocationID) + "/cancel"
	_, failure := t.document(ctx, http.MethodPost, path, nil, "")
	if failure != nil && failure.Code() == CodeNotFound && failure.Reason != ReasonInvocationNotFound {
		// It is the route that published servers do not have.
		return &Error{
			Reason:     ReasonConnectionError,
			Message:    "The server at " + t.address.String() + " is spoken to over REST, which cannot cancel an invocation by its id.",
			Suggestion: "Name the server's gRPC port.",
		}
	}
	return failure
}

func (t *httpTransport) contact() contact {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.had
}

func (t *httpTransport) close() { t.web.CloseIdleConnections() }

// meet returns the agent's id, or that of the only agent there, and finds out what server it is.
func (t *httpTransport) meet(ctx context.Context, agentID string) (string, *Error) {
	t.mu.Lock()
	known, onlyID := t.known, t.onlyID
	t.mu.Unlock()
	if agentID == "" {
		agentID = onlyID
	}
	if known && agentID != "" {
		return agentID, nil
	}
	status, header, body, failure := t.ask(ctx, http.MethodGet, homePath, nil, "")
	if failure != nil {
		return "", failure
	}
	home := objectIn(body)
	if status == http.StatusOK && home != nil {
		t.mu.Lock()
		t.known, t.onlyID, t.had = true, agentIDIn(home), contactOf(isResumable(home))
		onlyID = t.onlyID
		t.mu.Unlock()
	} else if agentID == "" {
		return "", failureOfResponse(t.address, status, header, body)
	}
	if agentID == "" {
		agentID = onlyID
	}
	return agentID, nil
}

// document asks, and returns the JSON object that a 200 holds, or what any other response says.
func (t *httpTransport) document(
	ctx context.Context, method, path string, content []byte, requestID string,
) (map[string]json.RawMessage, *Error) {
	status, header, body, failure := t.ask(ctx, method, path, content, requestID)
	if failure != nil {
		return nil, failure
	}
	document := objectIn(body)
	if status != http.StatusOK || document == nil || string(document["success"]) == "false" {
		return nil, failureOfResponse(t.address, status, header, body)
	}
	return document, nil
}

func (t *httpTransport) ask(
	ctx context.Context, method, path string, content []byte, requestID string,
) (int, http.Header, []byte, *Error) {
	request, err := http.NewRequestWithContext(ctx, method, httpURL(t.address, path), bytes.NewReader(content))
	if err != nil {
		return 0, nil, nil, nobodyAnswers(t.address, err)
	}
	setHeaders(request.Header, t.options.apiKey)
	request.Header.Set("Content-Type", "application/json")
	// What follows the first question gets a connection that is as new as can be.
	request.Close = path == homePath
	if requestID != "" {
		request.Header.Set(idempotencyHeader, requestID)
	}
	response, err := t.web.Do(request)
	if err != nil {
		return 0, nil, nil, t.failure(ctx, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxMessageBytes+1))
	if err != nil {
		return 0, nil, nil, t.failure(ctx, err)
	}
	if len(body) > maxMessageBytes {
		return 0, nil, nil, tooLarge()
	}
	return response.StatusCode, response.Header, body, nil
}

// failure returns what it means that a request got no response.
func (t *httpTransport) failure(ctx context.Context, err error) *Error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	switch {
	case isBroken(err):
		t.metSomebody()
		return lost(t.address, err)
	case errors.As(err, new(*net.OpError)):
		return nobodyAnswers(t.address, err)
	}
	return notOurHTTP(t.address, err.Error())
}

// metSomebody says that a connection failed which somebody had taken.
func (t *httpTransport) metSomebody() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.known {
		t.had = max(t.had, contactConnection)
	}
}

// isBroken reports whether it was a connection that broke which somebody had taken.
func isBroken(err error) bool {
	var operation *net.OpError
	if errors.As(err, &operation) && operation.Op == "dial" {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) || operation != nil
}

// tooLarge returns what it means that the server sends more than a client takes.
func tooLarge() *Error {
	return &Error{Reason: ReasonPayloadTooLarge, Message: "The server sent a value of more than 33,554,432 bytes."}
}

// failedEvents are those of a stream that could not be asked for.
type failedEvents struct {
	failure *Error
}

func (e *failedEvents) receive() (*runagentv1.RunStreamResponse, *Error) { return nil, e.failure }
func (e *failedEvents) finish()                                          {}
func (e *failedEvents) leave(*runagentv1.CancelInvocationRequest)        {}
func (e *failedEvents) abandon()                                         {}
