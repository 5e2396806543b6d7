package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
	"github.com/runagent-dev/runagent-go/pkg/client"
)

// A scripted server answers the first stream by the first step, the second by the second, and so on. It is what a real
// server is only by accident: one that goes away, stops within a stream, or sends nonsense.
type scripted struct {
	runagentv1.UnimplementedAgentServiceServer
	steps []step

	mu        sync.Mutex
	requests  []*runagentv1.RunStreamRequest
	farewells []*runagentv1.CancelInvocationRequest
}

type step func(events grpc.ServerStreamingServer[runagentv1.RunStreamResponse]) error

func (s *scripted) RunStream(
	request *runagentv1.RunStreamRequest, events grpc.ServerStreamingServer[runagentv1.RunStreamResponse],
) error {
	s.mu.Lock()
	number := len(s.requests)
	s.requests = append(s.requests, request)
	s.mu.Unlock()
	if number >= len(s.steps) {
		return status.Error(codes.Internal, "the script has no more steps")
	}
	return s.steps[number](events)
}

func (s *scripted) CancelInvocation(
	_ context.Context, request *runagentv1.CancelInvocationRequest,
) (*runagentv1.CancelInvocationResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.farewells = append(s.farewells, request)
	return &runagentv1.CancelInvocationResponse{}, nil
}

// play serves a script, and returns it with its port.
func play(t *testing.T, steps ...step) (*scripted, int) {
	t.Helper()
	return playWith(t, nil, steps...)
}

func playWith(t *testing.T, options []grpc.ServerOption, steps ...step) (*scripted, int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	script := &scripted{steps: steps}
	server := grpc.NewServer(options...)
	runagentv1.RegisterAgentServiceServer(server, script)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return script, listener.Addr().(*net.TCPAddr).Port
}

func started(id string, heartbeats time.Duration) *runagentv1.RunStreamResponse {
	return &runagentv1.RunStreamResponse{Event: &runagentv1.RunStreamResponse_Started{Started: &runagentv1.StreamStarted{
		InvocationId: id, HeartbeatInterval: durationpb.New(heartbeats),
	}}}
}

func chunks(first int64, texts ...string) *runagentv1.RunStreamResponse {
	made := &runagentv1.StreamChunks{FirstSequence: first}
	for _, text := range texts {
		made.Values = append(made.Values, &runagentv1.Payload{Kind: &runagentv1.Payload_Text{Text: text}})
	}
	return &runagentv1.RunStreamResponse{Event: &runagentv1.RunStreamResponse_Chunks{Chunks: made}}
}

func heartbeat() *runagentv1.RunStreamResponse {
	return &runagentv1.RunStreamResponse{
		Event: &runagentv1.RunStreamResponse_Heartbeat{Heartbeat: &runagentv1.StreamHeartbeat{}},
	}
}

func completed(count int64) *runagentv1.RunStreamResponse {
	return &runagentv1.RunStreamResponse{
		Event: &runagentv1.RunStreamResponse_Completed{Completed: &runagentv1.StreamCompleted{ChunkCount: count}},
	}
}

// send sends events, and ends the stream as said.
func send(end error, events ...*runagentv1.RunStreamResponse) step {
	return func(stream grpc.ServerStreamingServer[runagentv1.RunStreamResponse]) error {
		for _, event := range events {
			if err := stream.Send(event); err != nil {
				return err
			}
		}
		return end
	}
}

// hang sends events, and then nothing, until its caller has gone.
func hang(events ...*runagentv1.RunStreamResponse) step {
	return func(stream grpc.ServerStreamingServer[runagentv1.RunStreamResponse]) error {
		_ = send(nil, events...)(stream)
		<-stream.Context().Done()
		return stream.Context().Err()
	}
}

func unavailable(t *testing.T, after time.Duration) error {
	t.Helper()
	told, err := status.New(codes.Unavailable, "The server is shutting down.").WithDetails(
		&errdetails.ErrorInfo{Reason: "SHUTTING_DOWN", Domain: "runagent.dev"},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(after)},
	)
	if err != nil {
		t.Fatal(err)
	}
	return told.Err()
}

func streamOf(t *testing.T, port int, options ...client.Option) *client.Stream {
	t.Helper()
	options = append([]client.Option{
		client.WithAddress("127.0.0.1", port), client.WithTransport(client.TransportGRPC),
	}, options...)
	stream, err := newClient(t, "x_stream", options...).RunStream(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func expect(t *testing.T, stream *client.Stream, wanted ...string) {
	t.Helper()
	came, err := all(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, chunk := range came {
		texts = append(texts, chunk.(string))
	}
	if strings.Join(texts, " ") != strings.Join(wanted, " ") {
		t.Fatalf("There came %v, not %v.", texts, wanted)
	}
}

func TestAStreamGoesOnBehindTheLastChunkThatCame(t *testing.T) {
	script, port := play(t,
		send(status.Error(codes.Unavailable, "cut"), started("i", 0), chunks(1, "a", "b")),
		send(nil, started("i", 0), chunks(3, "c")), // It ends without its terminal event.
		send(nil, started("i", 0), chunks(3, "c", "d"), heartbeat(), &runagentv1.RunStreamResponse{}, completed(4)),
	)
	expect(t, streamOf(t, port), "a", "b", "c", "d")
	for i, after := range []int64{2, 3} {
		point := script.requests[i+1].GetResume()
		if point.GetInvocationId() != "i" || point.GetAfterSequence() != after {
			t.Errorf("It was taken up by %v.", point)
		}
	}
}

func TestACallThatHasNotStartedIsMadeAgainWithTheSameRequestID(t *testing.T) {
	script, port := play(t,
		send(unavailable(t, time.Millisecond)),
		send(nil, started("i", 0), chunks(1, "a"), completed(1)),
	)
	expect(t, streamOf(t, port), "a")
	first, second := script.requests[0].GetCall(), script.requests[1].GetCall()
	if first.GetRequestId() == "" || first.GetRequestId() != second.GetRequestId() {
		t.Errorf("The ids were %q and %q.", first.GetRequestId(), second.GetRequestId())
	}
	if first.GetOnDisconnect() != runagentv1.OnDisconnect_ON_DISCONNECT_LINGER || first.GetResumeWindow().GetSeconds() != 10 {
		t.Errorf("The call was %v.", first)
	}
}

func TestTheServersTimeToComeBackIsRespected(t *testing.T) {
	_, port := play(t,
		send(unavailable(t, 700*time.Millisecond)),
		send(nil, started("i", 0), completed(0)),
	)
	start := time.Now()
	expect(t, streamOf(t, port))
	if time.Since(start) < 700*time.Millisecond {
		t.Errorf("It came back after %v.", time.Since(start))
	}
}

func TestASilentServerIsLeftForAnotherConnection(t *testing.T) {
	script, port := play(t,
		hang(started("i", 50*time.Millisecond), chunks(1, "a")),
		send(nil, started("i", 50*time.Millisecond), chunks(2, "b"), completed(2)),
	)
	expect(t, streamOf(t, port), "a", "b")
	if after := script.requests[1].GetResume().GetAfterSequence(); after != 1 {
		t.Errorf("It was taken up behind %d.", after)
	}
	if len(script.farewells) > 0 {
		t.Error("Silence was taken for leaving.")
	}
}

func TestTheReadersOwnTimeIsNoSilenceOfTheServer(t *testing.T) {
	script, port := play(t, func(events grpc.ServerStreamingServer[runagentv1.RunStreamResponse]) error {
		_ = send(nil, started("i", 20*time.Millisecond), chunks(1, "a"), chunks(2, "b"), chunks(3, "c"))(events)
		return send(nil, completed(3))(events)
	})
	stream := streamOf(t, port)
	for range 3 {
		if _, more, err := stream.Next(t.Context()); !more {
			t.Fatal(err)
		}
		// It is the reader's taking its time that is tested.
		time.Sleep(100 * time.Millisecond)
	}
	expect(t, stream)
	if len(script.requests) != 1 {
		t.Errorf("There were %d requests.", len(script.requests))
	}
}

func TestAStreamWithoutItsTerminalEventIsAnError(t *testing.T) {
	_, port := play(t, send(nil, started("i", 0), chunks(1, "a")))
	came, err := all(t.Context(), streamOf(t, port, client.WithRetryWindow(0)))
	var told *client.Error
	if len(came) != 1 || !errors.As(err, &told) || told.Reason != client.ReasonStreamInterrupted || told.InvocationID != "i" {
		t.Fatalf("There came %v, %v.", came, err)
	}
}

func TestAMissingChunkAndAWrongCountAreErrors(t *testing.T) {
	for _, events := range [][]*runagentv1.RunStreamResponse{
		{started("i", 0), chunks(1, "a"), chunks(3, "c")},
		{started("i", 0), chunks(1, "a"), completed(2)},
	} {
		script, port := play(t, send(nil, events...))
		came, err := all(t.Context(), streamOf(t, port))
		if len(came) != 1 || !errors.Is(err, client.ReasonStreamInterrupted) {
			t.Errorf("There came %v, %v.", came, err)
		}
		if len(script.requests) != 1 {
			t.Errorf("There were %d requests.", len(script.requests))
		}
	}
}

func TestTheStreamOfAnotherInvocationIsAnError(t *testing.T) {
	_, port := play(t,
		send(status.Error(codes.Unavailable, "cut"), started("i", 0)),
		send(nil, started("j", 0), chunks(1, "a"), completed(1)),
	)
	if came, err := all(t.Context(), streamOf(t, port)); len(came) > 0 || !errors.Is(err, client.ReasonInternal) {
		t.Fatalf("There came %v, %v.", came, err)
	}
}

func TestPatienceEndsWithTheRetryWindow(t *testing.T) {
	down := send(status.Error(codes.Unavailable, "down"))
	steps := []step{send(status.Error(codes.Unavailable, "cut"), started("i", 0), chunks(1, "a"))}
	for range 100 {
		steps = append(steps, down)
	}
	_, port := play(t, steps...)
	start := time.Now()
	came, err := all(t.Context(), streamOf(t, port, client.WithRetryWindow(500*time.Millisecond)))
	if len(came) != 1 || !errors.Is(err, client.ReasonStreamInterrupted) || !strings.Contains(err.Error(), "It was tried ") {
		t.Errorf("There came %v, %v.", came, err)
	}
	if time.Since(start) > 5*time.Second {
		t.Errorf("It took %v.", time.Since(start))
	}
}

func TestAFailureOfTheEntrypointIsNotTriedAgain(t *testing.T) {
	told, err := status.New(codes.Unknown, "no such luck").WithDetails(
		&errdetails.ErrorInfo{
			Reason: "EXECUTION_FAILED", Domain: "runagent.dev", Metadata: map[string]string{"suggestion": "Be lucky."},
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	script, port := play(t, send(told.Err(), started("i", 0), chunks(1, "a")))
	came, err := all(t.Context(), streamOf(t, port))
	var own *client.Error
	if len(came) != 1 || !errors.As(err, &own) || own.Error() != "EXECUTION_FAILED: no such luck Be lucky." {
		t.Fatalf("There came %v, %v.", came, err)
	}
	if own.Code() != client.CodeInternal || own.InvocationID != "i" || len(script.requests) != 1 || len(script.farewells) != 0 {
		t.Errorf("It was %+v after %d requests.", own, len(script.requests))
	}
}

func TestWhoLeavesBeforeTheStartCancelsByTheRequestID(t *testing.T) {
	called := make(chan struct{})
	script, port := play(t, func(events grpc.ServerStreamingServer[runagentv1.RunStreamResponse]) error {
		close(called)
		return hang()(events)
	})
	stream := streamOf(t, port)
	<-called
	_ = stream.Close()
	if len(script.farewells) != 1 || script.farewells[0].RequestId != script.requests[0].GetCall().RequestId {
		t.Errorf("The server was told %v.", script.farewells)
	}
}

func TestADetachedStreamIsLeftToItself(t *testing.T) {
	script, port := play(t, hang(started("i", 0), chunks(1, "a")))
	stream := streamOf(t, port, client.WithOnDisconnect(client.Detach))
	if _, more, err := stream.Next(t.Context()); !more {
		t.Fatal(err)
	}
	_ = stream.Close()
	if len(script.farewells) != 0 {
		t.Errorf("The server was told %v.", script.farewells)
	}
}

func TestTLSAsksForARootAndAClientCertificate(t *testing.T) {
	authority := newAuthority(t)
	server := credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{authority.issue(t, x509.ExtKeyUsageServerAuth)},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    authority.pool(),
	})
	_, port := playWith(t, []grpc.ServerOption{grpc.Creds(server)}, send(nil, started("i", 0), chunks(1, "a"), completed(1)))
	certificate := client.WithClientCertificate(authority.issue(t, x509.ExtKeyUsageClientAuth))

	stranger := streamOf(t, port, certificate)
	if _, err := all(t.Context(), stranger); !errors.Is(err, client.ReasonConnectionError) {
		t.Errorf("Without the root it was answered by %v.", err)
	}
	expect(t, streamOf(t, port, certificate, client.WithRootCAs(authority.pool())), "a")
}

// An authority is one that only this test trusts.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	key, raw := signed(t, template, nil)
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return authority{parsed, key}
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

func (a authority) issue(t *testing.T, usage x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	key, raw := signed(t, template, &a)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func signed(t *testing.T, template *x509.Certificate, by *authority) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, raw
}
