package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
)

const (
	// pingAfter says after how much silence a client asks whether the server is still there, ...
	pingAfter = 20 * time.Second
	// ... and pongWithin how long the answer may take. A published server that runs blocking code answers when that
	// lets it.
	pongWithin = 60 * time.Second
)

// webSocketEvents are the events of one stream, on a WebSocket of its own.
type webSocketEvents struct {
	transport *httpTransport
	ctx       context.Context // The caller's.
	socket    *websocket.Conn
	reader    frameReader
	frames    chan frame
	dropped   context.Context // Done once nobody receives any more.
	drop      context.CancelFunc
	closing   sync.Once
}

// A frame is what the socket gave: a message, or the error that is the last thing it gives.
type frame struct {
	content []byte
	err     error
}

func openWebSocket(
	ctx context.Context, t *httpTransport, path string, request *runagentv1.RunStreamRequest,
) events {
	header := http.Header{}
	setHeaders(header, t.options.apiKey)
	if id := request.GetCall().GetRequestId(); id != "" {
		header.Set(idempotencyHeader, id)
	}
	opening, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	socket, response, err := websocket.Dial(opening, httpURL(t.address, path), &websocket.DialOptions{
		HTTPClient: t.web, HTTPHeader: header,
	})
	if err != nil {
		if ctx.Err() == nil && response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			return &failedEvents{failureOfRefusal(t.address, response)}
		}
		return &failedEvents{t.failure(ctx, err)}
	}
	socket.SetReadLimit(maxMessageBytes)
	e := &webSocketEvents{
		transport: t, ctx: ctx, socket: socket, reader: frameReader{address: t.address}, frames: make(chan frame),
	}
	e.dropped, e.drop = context.WithCancel(context.WithoutCancel(ctx))
	whole := t.contact() != contactAnswer
	if err := socket.Write(ctx, websocket.MessageText, firstFrameOf(ctx, request, whole)); err != nil {
		e.abandon()
		return &failedEvents{e.failure(err)}
	}
	go e.read()
	return e
}

// read hands over what the socket gives. A read that ends with the caller's context would break the connection, and
// leave no way to say that this is on purpose.
func (e *webSocketEvents) read() {
	for {
		_, content, err := e.socket.Read(context.WithoutCancel(e.ctx))
		select {
		case e.frames <- frame{content, err}:
		case <-e.dropped.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

func (e *webSocketEvents) receive() (*runagentv1.RunStreamResponse, *Error) {
	frame, failure := e.next()
	switch {
	case failure != nil:
		return nil, failure
	case frame.err == nil:
		return e.reader.event(frame.content)
	case websocket.CloseStatus(frame.err) == websocket.StatusNormalClosure:
		return nil, nil
	}
	return nil, e.failure(frame.err)
}

// next waits for a frame. Where none comes, a ping tells whether the server is still there.
func (e *webSocketEvents) next() (frame, *Error) {
	silence := time.NewTimer(pingAfter)
	defer silence.Stop()
	pong := make(chan error, 1)
	for {
		select {
		case next := <-e.frames:
			return next, nil
		case <-e.ctx.Done():
			return frame{}, contextError(e.ctx)
		case <-e.dropped.Done():
			return frame{}, lost(e.transport.address, errors.New("the stream was dropped"))
		case <-silence.C:
			go func() {
				within, cancel := context.WithTimeout(e.dropped, pongWithin)
				defer cancel()
				pong <- e.socket.Ping(within)
			}()
		case err := <-pong:
			if err != nil {
				return frame{}, &Error{
					Reason:  ReasonStreamInterrupted,
					Message: "The server fell silent for " + (pingAfter + pongWithin).String() + ".",
					Details: err.Error(),
				}
			}
			silence.Reset(pingAfter)
		}
	}
}

func (e *webSocketEvents) finish() { e.close(websocket.StatusNormalClosure) }

// leave closes the WebSocket, with the code that cancels or with one that does not.
func (e *webSocketEvents) leave(farewell *runagentv1.CancelInvocationRequest) {
	if farewell != nil {
		e.close(websocket.StatusNormalClosure)
		return
	}
	e.close(websocket.StatusGoingAway)
}

func (e *webSocketEvents) close(code websocket.StatusCode) {
	e.closing.Do(func() {
		e.drop()
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			_ = e.socket.Close(code, "")
		}()
		select {
		case <-closed:
		case <-time.After(farewellTimeout):
		}
	})
}

func (e *webSocketEvents) abandon() {
	e.closing.Do(func() {
		e.drop()
		_ = e.socket.CloseNow()
	})
}

// failure returns what it means that a stream's connection is gone.
func (e *webSocketEvents) failure(err error) *Error {
	switch websocket.CloseStatus(err) {
	case websocket.StatusMessageTooBig:
		return &Error{Reason: ReasonPayloadTooLarge, Message: "The call is larger than the server takes.", cause: err}
	case websocket.StatusServiceRestart:
		return &Error{Reason: ReasonShuttingDown, Message: "The server is shutting down.", cause: err}
	}
	if errors.Is(err, websocket.ErrMessageTooBig) {
		return tooLarge()
	}
	if e.ctx.Err() != nil {
		return contextError(e.ctx)
	}
	e.transport.metSomebody()
	return lost(e.transport.address, err)
}

// failureOfRefusal returns what it means that a stream was refused before it began.
func failureOfRefusal(at address, response *http.Response) *Error {
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	failure := failureOfResponse(at, response.StatusCode, response.Header, body)
	if failure.Reason == ReasonPermission && objectIn(body) == nil {
		failure.Suggestion = "Check the agent's id, for a published server says so of one it does not know, and the key."
	}
	return failure
}
