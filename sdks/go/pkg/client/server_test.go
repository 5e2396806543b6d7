package client_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/runagent-dev/runagent-go/pkg/client"
)

const (
	agentID = "go-tests"
	// When what has not happened counts as what never will.
	patience = 30 * time.Second
)

// A server is a `runagent serve` of testdata/agent.
type server struct {
	httpPort, grpcPort int
	cache              string // The RUNAGENT_CACHE_DIR that it has.
}

var shared struct {
	once    sync.Once
	server  *server
	err     error
	process *exec.Cmd
	cache   string
}

func TestMain(m *testing.M) {
	// What a person has set would decide what the tests call.
	for _, name := range []string{"RUNAGENT_BASE_URL", "RUNAGENT_API_KEY", "RUNAGENT_CACHE_DIR"} {
		_ = os.Unsetenv(name)
	}
	code := m.Run()
	if shared.process != nil {
		_ = shared.process.Process.Kill()
		_ = shared.process.Wait()
		_ = os.RemoveAll(shared.cache)
	}
	os.Exit(code)
}

// realServer returns the one server that all tests share, and skips the test where there is no Python to run it.
func realServer(t *testing.T) *server {
	t.Helper()
	python := os.Getenv("RUNAGENT_PYTHON")
	if python == "" {
		python = filepath.Join("..", "..", "..", "..", ".venv", "bin", "python")
	}
	if _, err := exec.LookPath(python); err != nil {
		if os.Getenv("REQUIRE_TOOLCHAINS") != "" {
			t.Fatalf("There is no Python with the server at %s; set RUNAGENT_PYTHON.", python)
		}
		t.Skipf("There is no Python with the server at %s; set RUNAGENT_PYTHON.", python)
	}
	shared.once.Do(func() { shared.server, shared.err = serve(python) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

func serve(python string) (*server, error) {
	cache, err := os.MkdirTemp("", "runagent-go-")
	if err != nil {
		return nil, err
	}
	shared.cache = cache
	folder, err := filepath.Abs(filepath.Join("testdata", "agent"))
	if err != nil {
		return nil, err
	}
	// With a journal, so that a stream that is cut over and over can be taken up however far behind its reader is.
	command := exec.Command(
		python, "-m", "runagent_cli", "serve", folder, "--port", "0", "--grpc-port", "0", "--journal",
	)
	command.Env = append(os.Environ(), "RUNAGENT_CACHE_DIR="+cache, "HOME="+cache)
	said, err := command.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	shared.process = command
	made := &server{cache: cache}
	lines := bufio.NewScanner(said)
	ports := map[string]*int{"http": &made.httpPort, "grpc": &made.grpcPort}
	heard := ""
	for lines.Scan() {
		heard += lines.Text() + "\n"
		if found := regexp.MustCompile(`(http|grpc)://127\.0\.0\.1:(\d+)`).FindStringSubmatch(lines.Text()); found != nil {
			*ports[found[1]], _ = strconv.Atoi(found[2])
		}
		if regexp.MustCompile(`Ctrl-C`).MatchString(lines.Text()) {
			// Whoever reads no more makes the server wait when it says more.
			go func() {
				for lines.Scan() {
				}
			}()
			return made, nil
		}
	}
	return nil, fmt.Errorf("the server ended before it served, and said:\n%s", heard)
}

// client returns a client of the server, closed when the test ends.
func (s *server) client(t *testing.T, tag string, options ...client.Option) *client.Client {
	t.Helper()
	return newClient(t, tag, append([]client.Option{client.WithAddress("127.0.0.1", s.httpPort)}, options...)...)
}

func newClient(t *testing.T, tag string, options ...client.Option) *client.Client {
	t.Helper()
	made, err := client.New(agentID, tag, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.Close() })
	return made
}

// eventually waits until the calls with this mark have had these things happen to them.
func (s *server) eventually(t *testing.T, mark string, wanted ...string) {
	t.Helper()
	runs := s.client(t, "runs")
	var seen any
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var err error
		if seen, err = runs.Run(t.Context(), map[string]any{"mark": mark}); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(seen) == fmt.Sprint(wanted) {
			return
		}
	}
	t.Fatalf("Of the calls %q, %v was seen, and %v was expected.", mark, seen, wanted)
}

// markOf returns what the calls of this run of a test are known by.
func markOf(t *testing.T) string {
	return fmt.Sprintf("%s %d", t.Name(), time.Now().UnixNano())
}

// all reads a stream to its end.
func all(ctx context.Context, stream *client.Stream) ([]any, error) {
	var chunks []any
	for chunk, err := range stream.All(ctx) {
		if err != nil {
			return chunks, err
		}
		chunks = append(chunks, chunk)
	}
	return chunks, nil
}

// overBoth runs a test over each wire.
func overBoth(t *testing.T, test func(*testing.T, client.Option)) {
	for _, transport := range []client.Transport{client.TransportAuto, client.TransportHTTP} {
		t.Run(string(transport), func(t *testing.T) { test(t, client.WithTransport(transport)) })
	}
}
