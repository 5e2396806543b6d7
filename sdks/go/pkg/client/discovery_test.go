package client_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
	"github.com/runagent-dev/runagent-go/pkg/client"
)

// naming serves the HTTP face of a server that names a gRPC port, and answers runs over REST, too.
func naming(t *testing.T, grpcPort *atomic.Int32) int {
	t.Helper()
	routes := http.NewServeMux()
	routes.HandleFunc("GET /api/v1", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"agent_id":"go-tests","grpc":{"port":%d,"tls":false}}`, grpcPort.Load())
	})
	routes.HandleFunc("POST /api/v1/agents/{id}/run", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"success":true,"data":"{\"type\":\"string\",\"payload\":\"\\\"REST\\\"\"}"}`))
	})
	server := httptest.NewServer(routes)
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

func TestAServerThatHasMovedIsFoundAgain(t *testing.T) {
	_, next := play(t, send(nil, started("i", 0), chunks(2, "b"), completed(2)))
	var named atomic.Int32
	gone := make(chan struct{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	first := grpc.NewServer()
	runagentv1.RegisterAgentServiceServer(first, &scripted{steps: []step{
		func(events grpc.ServerStreamingServer[runagentv1.RunStreamResponse]) error {
			_ = send(nil, started("i", 0), chunks(1, "a"))(events)
			<-gone
			return status.Error(codes.Unavailable, "gone")
		},
	}})
	go func() { _ = first.Serve(listener) }()
	t.Cleanup(first.Stop)
	named.Store(int32(listener.Addr().(*net.TCPAddr).Port))

	c := newClient(t, "x_stream", client.WithAddress("127.0.0.1", naming(t, &named)))
	stream, err := c.RunStream(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if chunk, _, err := stream.Next(t.Context()); chunk != "a" {
		t.Fatal(chunk, err)
	}
	named.Store(int32(next))
	_ = listener.Close()
	close(gone)
	expect(t, stream, "b")
}

func TestAGRPCPortThatNothingCanReachIsPassedOver(t *testing.T) {
	var named atomic.Int32
	named.Store(1)
	value, err := newClient(t, "x", client.WithAddress("127.0.0.1", naming(t, &named))).Run(t.Context(), nil)
	if value != "REST" || err != nil {
		t.Fatalf("It returned %v, %v.", value, err)
	}
}

func TestWhiteSpaceAroundAKeyOfTheEnvironmentIsNoPartOfIt(t *testing.T) {
	came := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case came <- r.Header.Get("Authorization"):
		default:
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	t.Setenv("RUNAGENT_API_KEY", " key\r\n")
	_, _ = newClient(t, "x", client.WithBaseURL(server.URL)).Run(t.Context(), nil)
	if header := <-came; header != "Bearer key" {
		t.Errorf("The header was %q.", header)
	}
	t.Setenv("RUNAGENT_API_KEY", "a\nb")
	var told *client.Error
	if _, err := client.New(agentID, "x"); !errors.As(err, &told) || told.Field() != "RUNAGENT_API_KEY" {
		t.Errorf("It was answered by %v.", err)
	}
}

func TestAnAddressThatIsNoneIsRefused(t *testing.T) {
	for field, option := range map[string]client.Option{
		"host":          client.WithAddress("", 8450),
		"port":          client.WithAddress("localhost", 0),
		"base_url":      client.WithBaseURL("ftp://localhost"),
		"transport":     client.WithTransport("carrier pigeon"),
		"on_disconnect": client.WithOnDisconnect("weep"),
		"api_key":       client.WithAPIKey("a\nb"),
		"timeout":       client.WithTimeout(-1),
	} {
		_, err := client.New(agentID, "x", option)
		told, ok := err.(*client.Error)
		if !ok || told.Field() != field {
			t.Errorf("A wrong %s was answered by %v.", field, err)
		}
	}
	for _, key := range []string{" key", "key\n", " ", "schlüssel"} {
		var told *client.Error
		if _, err := client.New(agentID, "x", client.WithAPIKey(key)); !errors.As(err, &told) || told.Field() != "api_key" {
			t.Errorf("The key %q was answered by %v.", key, err)
		}
	}
	if _, err := client.New(agentID, "x", client.WithAddress("http://localhost", 1)); err == nil {
		t.Error("A URL passed for a host.")
	}
	t.Setenv("RUNAGENT_BASE_URL", "grpc://localhost")
	if _, err := client.NewWithAddress(agentID, "x", false, "", 0); err != nil {
		t.Error(err)
	}
	if _, err := client.New(agentID, "x", client.WithTransport(client.TransportHTTP)); err == nil {
		t.Error("grpc:// and HTTP did not contradict each other.")
	}
}
