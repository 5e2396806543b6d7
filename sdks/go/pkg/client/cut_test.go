package client_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/runagent-dev/runagent-go/pkg/client"
)

// cutting passes connections on to a port, and cuts each of the first ones somewhere within the bytes that the server
// sends: half of them in order, half of them with a reset. It returns its own port, and how many it has cut.
func cutting(t *testing.T, seed uint64, cuts, mostBytes, port int) (int, *atomic.Int32) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	chance := rand.New(rand.NewPCG(seed, seed))
	made := new(atomic.Int32)
	go func() {
		for {
			caller, err := listener.Accept()
			if err != nil {
				return
			}
			go passOn(caller.(*net.TCPConn), port, cuts, 1+chance.Int64N(int64(mostBytes)), made)
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port, made
}

func passOn(caller *net.TCPConn, port, cuts int, bytes int64, made *atomic.Int32) {
	defer func() { _ = caller.Close() }()
	server, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() { _, _ = io.Copy(server, caller) }()
	if int(made.Load()) >= cuts {
		_, _ = io.Copy(caller, server)
		return
	}
	if passed, _ := io.CopyN(caller, server, bytes); passed == bytes && made.Add(1)%2 == 0 {
		// A close that does not linger is a reset.
		_ = caller.SetLinger(0)
	}
}

func TestAStreamThatIsCutOverAndOverLosesNothingAndRepeatsNothing(t *testing.T) {
	server := realServer(t)
	// A message holds up to 256 chunks, which a cut loses together; most connections live longer than that.
	const cuts, count = 20, 10_000
	for wire, port := range map[client.Transport]int{
		client.TransportGRPC: server.grpcPort, client.TransportHTTP: server.httpPort,
	} {
		t.Run(string(wire), func(t *testing.T) {
			port, made := cutting(t, 1, cuts, 150_000, port)
			mark := markOf(t)
			c := newClient(t, "count_stream", client.WithAddress("127.0.0.1", port), client.WithTransport(wire))
			stream, err := c.RunStream(t.Context(), map[string]any{"to": count, "mark": mark})
			if err != nil {
				t.Fatal(err)
			}
			came, err := all(t.Context(), stream)
			if err != nil {
				t.Fatalf("After %d cuts and %d chunks: %v", made.Load(), len(came), err)
			}
			for i, chunk := range came {
				if number, _, _ := strings.Cut(chunk.(string), " "); number != fmt.Sprint(i+1) {
					t.Fatalf("Chunk %d was %s.", i+1, number)
				}
			}
			if len(came) != count || made.Load() < 5 {
				t.Errorf("There came %d chunks, over %d cuts.", len(came), made.Load())
			}
			server.eventually(t, mark, "started")
		})
	}
}
