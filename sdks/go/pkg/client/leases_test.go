package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runagent-dev/runagent-go/pkg/client"
)

// writeLease writes a lease of the agent of these tests into the cache folder that its clients look into.
func writeLease(t *testing.T, cache string, changes map[string]any) {
	t.Helper()
	fields := map[string]any{
		"format_version": 1, "instance_id": "one", "pid": 4242, "started_at": "2026-03-01T12:00:00.000000Z",
		"host": "127.0.0.1", "http_port": 1, "grpc_port": nil, "tls": false,
		"agents": []any{map[string]any{"agent_id": agentID, "agent_path": "/srv/chat"}},
	}
	for name, value := range changes {
		fields[name] = value
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(cache, "servers")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, fields["instance_id"].(string)+".json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

func emptyCache(t *testing.T) string {
	t.Helper()
	cache := t.TempDir()
	t.Setenv("RUNAGENT_CACHE_DIR", cache)
	return cache
}

func expectUnavailable(t *testing.T, message string, options ...client.Option) {
	t.Helper()
	_, err := newClient(t, "greet", append(options, client.WithLocal())...).Run(t.Context(), nil)
	if !errors.Is(err, client.ReasonConnectionError) || !strings.Contains(err.Error(), message) {
		t.Fatalf("It was answered by %v.", err)
	}
}

func TestAKilledServerIsToldWithHowToStartItAgain(t *testing.T) {
	cache := emptyCache(t)
	for _, ports := range []map[string]any{{}, {"http_port": nil, "grpc_port": 1}} {
		writeLease(t, cache, ports)
		expectUnavailable(t, "The server of agent `go-tests` (process 4242) has ended without an orderly stop. "+
			"Start it again with `runagent serve /srv/chat`.")
	}
}

func TestTheNewestServerThatLivesIsCalled(t *testing.T) {
	server := realServer(t)
	t.Setenv("RUNAGENT_CACHE_DIR", server.cache)
	for id, year := range map[string]string{"older": "2000", "newer": "9999"} {
		writeLease(t, server.cache, map[string]any{"instance_id": id, "started_at": year + "-01-01T00:00:00.000000Z"})
		t.Cleanup(func() { _ = os.Remove(filepath.Join(server.cache, "servers", id+".json")) })
	}
	for _, wire := range []client.Transport{client.TransportAuto, client.TransportGRPC, client.TransportHTTP} {
		c := newClient(t, "greet", client.WithLocal(), client.WithTransport(wire))
		if greeting, err := c.Run(t.Context(), map[string]any{"name": "Ada"}); greeting != "Hello Ada" {
			t.Fatalf("Over %s it returned %v, %v.", wire, greeting, err)
		}
	}
}

func TestAServerWithoutHTTPIsFoundByItsInstanceToo(t *testing.T) {
	server := realServer(t)
	folder := filepath.Join(server.cache, "servers")
	names, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(names) != 1 {
		t.Fatalf("There are %v, %v.", names, err)
	}
	instance := strings.TrimSuffix(filepath.Base(names[0]), ".json")
	cache := emptyCache(t)
	writeLease(t, cache, map[string]any{"instance_id": instance, "http_port": nil, "grpc_port": server.grpcPort})
	c := newClient(t, "greet", client.WithLocal())
	if greeting, err := c.Run(t.Context(), map[string]any{"name": "Ada"}); greeting != "Hello Ada" {
		t.Fatalf("It returned %v, %v.", greeting, err)
	}
	_, err = newClient(t, "greet", client.WithLocal(), client.WithTransport(client.TransportHTTP)).Run(t.Context(), nil)
	var told *client.Error
	if !errors.As(err, &told) || told.Field() != "transport" {
		t.Fatalf("A transport that it lacks was answered by %v.", err)
	}

	cache = emptyCache(t)
	writeLease(t, cache, map[string]any{"instance_id": "another", "http_port": nil, "grpc_port": server.grpcPort})
	expectUnavailable(t, "has ended")
}

func TestAStrangerOnThePortOfAKilledServerIsSentNoKey(t *testing.T) {
	heard := make(chan http.Header, 10)
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- r.Header
		_, _ = w.Write([]byte("{}"))
	}))
	defer stranger.Close()
	port := stranger.Listener.Addr().(*net.TCPAddr).Port
	writeLease(t, emptyCache(t), map[string]any{"http_port": port, "grpc_port": port})
	expectUnavailable(t, "has ended", client.WithAPIKey("secret-key"))
	if header := <-heard; len(heard) > 0 || header.Get("Authorization") != "" {
		t.Fatalf("It was sent %v, and %d more.", header, len(heard))
	}
}

func TestAServerThatDoesNotAnswerIsToldFromOneThatHasEnded(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	writeLease(t, emptyCache(t), map[string]any{"http_port": listener.Addr().(*net.TCPAddr).Port})
	expectUnavailable(t, "(process 4242) does not answer. Wait until it does")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := newClient(t, "greet", client.WithLocal()).Run(ctx, nil); !errors.Is(err, client.ReasonTimeout) {
		t.Fatalf("A caller without patience was answered by %v.", err)
	}
}

func TestAnUnknownAgentIsToldWithTheLeasesThatWereIgnored(t *testing.T) {
	cache := emptyCache(t)
	writeLease(t, cache, map[string]any{"format_version": 2})
	_, err := client.New(agentID, "greet", client.WithLocal())
	if !errors.Is(err, client.ReasonAgentNotFound) || !strings.Contains(err.Error(), "one.json has format version 2") {
		t.Fatalf("It was answered by %v.", err)
	}
}

func TestAServerThatIsKilledIsNoticedByTheNextClient(t *testing.T) {
	python := filepath.Join("..", "..", "..", "..", ".venv", "bin", "python")
	if given := os.Getenv("RUNAGENT_PYTHON"); given != "" {
		python = given
	}
	realServer(t)
	cache := emptyCache(t)
	folder, err := filepath.Abs(filepath.Join("testdata", "agent"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(python, "-m", "runagent_cli", "serve", folder, "--port", "0", "--grpc-port", "0")
	command.Env = append(os.Environ(), "HOME="+cache)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if names, _ := filepath.Glob(filepath.Join(cache, "servers", "*.json")); len(names) == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("It wrote no lease.")
		}
	}
	c := newClient(t, "greet", client.WithLocal())
	if greeting, err := c.Run(t.Context(), map[string]any{"name": "Ada"}); greeting != "Hello Ada" {
		t.Fatalf("It returned %v, %v.", greeting, err)
	}
	_ = command.Process.Kill()
	_ = command.Wait()
	expectUnavailable(t, "has ended without an orderly stop")
}
