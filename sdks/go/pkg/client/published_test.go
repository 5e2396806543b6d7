package client_test

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/runagent-dev/runagent-go/pkg/client"
)

// A published server speaks REST and WebSocket, and knows of no resuming.
func published(t *testing.T, run http.HandlerFunc, frames ...string) (int, *atomic.Int32) {
	t.Helper()
	calls := new(atomic.Int32)
	routes := http.NewServeMux()
	routes.HandleFunc("GET /api/v1", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"message":"RunAgent","config":{"agent_id":"the-only-one"}}`))
	})
	routes.HandleFunc("POST /api/v1/agents/{id}/run", func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		run(w, r)
	})
	routes.HandleFunc("GET /api/v1/agents/{id}/run-stream", func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		socket, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		_, _, _ = socket.Read(r.Context())
		for _, frame := range frames {
			_ = socket.Write(r.Context(), websocket.MessageText, []byte(frame))
		}
		_ = socket.CloseNow()
	})
	server := httptest.NewServer(routes)
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port, calls
}

func TestAPublishedServerIsSpokenToOverREST(t *testing.T) {
	var body map[string]any
	port, _ := published(t, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&body)
		body["id"], body["key"] = r.PathValue("id"), r.Header.Get("Authorization")
		_, _ = w.Write([]byte(`{"success":true,"data":"{\"type\":\"integer\",\"payload\":\"3\"}","error":null}`))
	})
	c, err := client.New("", "add", client.WithAddress("localhost", port), client.WithAPIKey("k"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sum, err := c.Run(t.Context(), map[string]any{"a": 1, "b": 2.0})
	if err != nil || sum != int64(3) {
		t.Fatalf("It returned %v, %v.", sum, err)
	}
	if body["id"] != "the-only-one" || body["key"] != "Bearer k" || body["entrypoint_tag"] != "add" {
		t.Errorf("It was asked for %v.", body)
	}
}

func TestAPublishedServerIsNotAskedTwice(t *testing.T) {
	port, calls := published(t, func(w http.ResponseWriter, _ *http.Request) {
		connection, _, _ := http.NewResponseController(w).Hijack()
		_ = connection.Close()
	},
		`{"type":"status","status":"stream_started","invocation_id":"i"}`,
		`{"type":"data","content":"{\"type\":\"string\",\"payload\":\"\\\"a\\\"\"}"}`,
		`{"type":"data","content":{"native":1}}`,
	)
	c := newClient(t, "x", client.WithAddress("127.0.0.1", port))
	if _, err := c.Run(t.Context(), nil); !errors.Is(err, client.ReasonConnectionError) {
		t.Errorf("A run that broke was answered by %v.", err)
	}
	stream, err := newClient(t, "x_stream", client.WithAddress("127.0.0.1", port)).RunStream(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	came, err := all(t.Context(), stream)
	wanted := []any{"a", map[string]any{"native": int64(1)}}
	if !reflect.DeepEqual(came, wanted) || !errors.Is(err, client.ReasonStreamInterrupted) {
		t.Errorf("There came %v, %v.", came, err)
	}
	if calls.Load() != 2 {
		t.Errorf("There were %d calls.", calls.Load())
	}
}

func TestFailuresOfPublishedServersHaveTheirReasons(t *testing.T) {
	for answer, wanted := range map[string]client.Error{
		`200 {"success":false,"error":"Agent execution failed: no luck"}`: {
			Reason: client.ReasonExecutionFailed, Message: "no luck",
		},
		`404 {"detail":"Entrypoint x not found"}`: {Reason: client.ReasonEntrypointNotFound, Message: "Entrypoint x not found"},
		`422 {"detail":[{"loc":["body","input_args"],"msg":"Input should be a list"}]}`: {
			Reason: client.ReasonValidationError, Message: "`input_args`: Input should be a list.",
		},
		`403 {"detail":"No."}`: {Reason: client.ReasonPermission, Message: "No."},
		`502 <html>`:           {Reason: client.ReasonConnectionError, Message: "The server refused the call (HTTP status 502)."},
	} {
		status, body, _ := strings.Cut(answer, " ")
		port, _ := published(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(map[string]int{"200": 200, "403": 403, "404": 404, "422": 422, "502": 502}[status])
			_, _ = w.Write([]byte(body))
		})
		_, err := newClient(t, "x", client.WithAddress("127.0.0.1", port)).Run(t.Context(), nil)
		var told *client.Error
		if !errors.As(err, &told) || told.Reason != wanted.Reason || told.Message != wanted.Message {
			t.Errorf("%s was told as %v.", answer, err)
		}
	}
}
