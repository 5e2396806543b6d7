package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// What the documented REST and WebSocket wire looks like, without any I/O (docs/wire.md, rest and websocket). Calls
// become bodies, and frames become the events of the contract, so that what a stream means is written once.

const (
	idempotencyHeader = "Idempotency-Key"
	longestHeartbeat  = 1e6
)

func httpURL(at address, path string) string {
	if at.tls {
		return "https://" + at.String() + path
	}
	return "http://" + at.String() + path
}

func agentPath(agentID, what string) string {
	return homePath + "/agents/" + url.PathEscape(agentID) + "/" + what
}

// setHeaders sets what every request carries. A key in the URL would end up in logs.
func setHeaders(header http.Header, apiKey string) {
	header.Set("User-Agent", userAgent)
	header.Set("Accept", "application/json")
	if apiKey != "" {
		header.Set("Authorization", "Bearer "+apiKey)
	}
}

// newHTTPClient returns what requests to an address are made with.
func newHTTPClient(at address, o *options) *http.Client {
	proxy := http.ProxyFromEnvironment
	if at.isLoopback() {
		// A proxy named by the environment has no way to this machine's own loopback.
		proxy = nil
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:           proxy,
			DialContext:     (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSClientConfig: o.tlsConfig(at.host, "http/1.1"),
			// A body that is not compressed cannot grow beyond its limit.
			DisableCompression: true,
			// Servers drop a connection that was idle for five seconds, perhaps just when the next request is on its way.
			IdleConnTimeout:     2 * time.Second,
			TLSHandshakeTimeout: connectTimeout,
		},
		// Following a redirect would send the call with all its arguments, and the key, somewhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bodyOf returns the body of a run, which is also the first frame of a stream. JSON arguments go in as they are.
// Published servers take no timeouts but of whole seconds.
func bodyOf(ctx context.Context, call *runagentv1.Call, whole bool) []byte {
	fields := map[string]any{"entrypoint_tag": call.EntrypointTag, "async_execution": false}
	if deadline, ok := ctx.Deadline(); ok {
		fields["timeout_seconds"] = secondsUntil(deadline, whole)
	}
	if call.UserId != "" {
		fields["user_id"] = call.UserId
	}
	if call.PersistentMemory {
		fields["persistent_memory"] = true
	}
	switch call.OnDisconnect {
	case runagentv1.OnDisconnect_ON_DISCONNECT_LINGER:
		fields["on_disconnect"] = string(Linger)
	case runagentv1.OnDisconnect_ON_DISCONNECT_DETACH:
		fields["on_disconnect"] = string(Detach)
	}
	if call.ResumeWindow != nil {
		fields["resume_window"] = call.ResumeWindow.AsDuration().Seconds()
	}
	args := make([]json.RawMessage, len(call.Args))
	for i, argument := range call.Args {
		args[i] = jsonOf(argument)
	}
	fields["input_args"], fields["input_kwargs"] = args, objectOf(call.Keywords)
	return mustMarshal(fields)
}

// wireVersion says that a client knows every status frame, and keeps its chunks when the last frame comes.
const wireVersion = 2

// objectOf returns named arguments as one JSON object, whose keys are in their order.
func objectOf(keywords []*runagentv1.KeywordArgument) json.RawMessage {
	members := make([][]byte, len(keywords))
	for i, keyword := range keywords {
		members[i] = slices.Concat(mustMarshal(keyword.Name), []byte(":"), jsonOf(keyword.Value))
	}
	return slices.Concat([]byte("{"), bytes.Join(members, []byte(",")), []byte("}"))
}

// firstFrameOf returns the frame that asks for a stream, or for the rest of one.
func firstFrameOf(ctx context.Context, request *runagentv1.RunStreamRequest, whole bool) []byte {
	point := request.GetResume()
	if point == nil {
		body := bodyOf(ctx, request.GetCall(), whole)
		return append(fmt.Appendf(nil, `{"wire":%d,`, wireVersion), body[1:]...)
	}
	return mustMarshal(map[string]any{
		"wire":   wireVersion,
		"resume": map[string]any{"invocation_id": point.InvocationId, "after_sequence": point.AfterSequence},
	})
}

func secondsUntil(deadline time.Time, whole bool) any {
	seconds := max(time.Until(deadline).Seconds(), 0.001)
	if whole {
		return int64(math.Ceil(seconds))
	}
	return seconds
}

func jsonOf(payload *runagentv1.Payload) json.RawMessage {
	switch kind := payload.GetKind().(type) {
	case *runagentv1.Payload_Text:
		return mustMarshal(kind.Text)
	case *runagentv1.Payload_Json:
		return json.RawMessage(kind.Json)
	}
	// Bytes, for which JSON has no word: as they travel inside any other value.
	return mustMarshal(base64.StdEncoding.EncodeToString(payload.GetBinary()))
}

// mustMarshal returns the JSON of what was made here and cannot fail.
func mustMarshal(value any) []byte {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}

// payloadIn returns the payload in a value as the wire wraps it; one that is not wrapped is the value itself.
func payloadIn(data json.RawMessage) *runagentv1.Payload {
	var text string
	if json.Unmarshal(data, &text) == nil {
		wrapped := objectIn([]byte(text))
		var payload string
		if wrapped != nil && wrapped["type"] != nil && json.Unmarshal(wrapped["payload"], &payload) == nil {
			return payloadOfText(payload)
		}
	}
	if len(data) == 0 {
		data = json.RawMessage("null")
	}
	return payloadOfJSON(data)
}

func payloadOfText(document string) *runagentv1.Payload {
	if document == "" {
		return &runagentv1.Payload{Kind: &runagentv1.Payload_Json{}}
	}
	return payloadOfJSON([]byte(document))
}

// A frameReader turns the frames of one stream into events.
type frameReader struct {
	address address
	count   int64
}

// sign is an event without a content: the server lives, and that is all.
var sign = &runagentv1.RunStreamResponse{
	Event: &runagentv1.RunStreamResponse_Heartbeat{Heartbeat: &runagentv1.StreamHeartbeat{}},
}

func (r *frameReader) event(frame []byte) (*runagentv1.RunStreamResponse, *Error) {
	message := objectIn(frame)
	switch textIn(message, "type") {
	case "data":
		return r.chunk(message), nil
	case "status":
		return r.status(message), nil
	case "error":
		return nil, failureOfFrame(message)
	case "":
		return nil, notOurHTTP(r.address, "a frame is no JSON object with a type")
	}
	// A type of a later dialect is not for us.
	return sign, nil
}

func (r *frameReader) chunk(message map[string]json.RawMessage) *runagentv1.RunStreamResponse {
	r.count++
	if sequence, ok := integerIn(message, "sequence"); ok && sequence > 0 {
		r.count = sequence
	}
	chunks := &runagentv1.StreamChunks{
		FirstSequence: r.count, Values: []*runagentv1.Payload{payloadIn(message["content"])},
	}
	return &runagentv1.RunStreamResponse{Event: &runagentv1.RunStreamResponse_Chunks{Chunks: chunks}}
}

func (r *frameReader) status(message map[string]json.RawMessage) *runagentv1.RunStreamResponse {
	switch textIn(message, "status") {
	case "stream_started":
		started := &runagentv1.StreamStarted{InvocationId: textIn(message, "invocation_id")}
		seconds, err := strconv.ParseFloat(string(message["heartbeat_interval"]), 64)
		if err == nil && seconds > 0 && seconds < longestHeartbeat {
			started.HeartbeatInterval = durationpb.New(time.Duration(seconds * float64(time.Second)))
		}
		return &runagentv1.RunStreamResponse{Event: &runagentv1.RunStreamResponse_Started{Started: started}}
	case "stream_completed":
		completed := &runagentv1.StreamCompleted{ChunkCount: r.count}
		if total, ok := integerIn(message, "total_chunks"); ok && total >= 0 {
			completed.ChunkCount = total
		}
		return &runagentv1.RunStreamResponse{Event: &runagentv1.RunStreamResponse_Completed{Completed: completed}}
	}
	return sign
}

// objectIn returns the JSON object that a text holds, or nil where it is another value, or no JSON.
func objectIn(text []byte) map[string]json.RawMessage {
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil {
		return nil
	}
	return object
}

// textIn returns a field's text, empty where it holds none.
func textIn(object map[string]json.RawMessage, name string) string {
	var text string
	if json.Unmarshal(object[name], &text) != nil {
		return ""
	}
	return text
}

func integerIn(object map[string]json.RawMessage, name string) (int64, bool) {
	number, err := strconv.ParseInt(string(object[name]), 10, 64)
	return number, err == nil
}

// agentIDIn returns the id of the agent that a server's description of itself names, or the alias that stands for it.
func agentIDIn(home map[string]json.RawMessage) string {
	documents := []map[string]json.RawMessage{home, objectIn(home["config"])}
	i := slices.IndexFunc(documents, func(document map[string]json.RawMessage) bool {
		return textIn(document, "agent_id") != ""
	})
	if i < 0 {
		return "default"
	}
	return textIn(documents[i], "agent_id")
}
