package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/runagent-dev/runagent-go/pkg/client"
)

func TestARunReturnsTheValue(t *testing.T) {
	server := realServer(t)
	overBoth(t, func(t *testing.T, wire client.Option) {
		greeting, err := server.client(t, "greet", wire).Run(t.Context(), map[string]interface{}{"name": "Ada"})
		if err != nil || greeting != "Hello Ada" {
			t.Fatalf("It returned %v, %v.", greeting, err)
		}
	})
}

func TestPositionalArgumentsTravelToo(t *testing.T) {
	greeting, err := realServer(t).client(t, "greet").RunCall(t.Context(), client.Call{Args: []any{"Ada"}})
	if err != nil || greeting != "Hello Ada" {
		t.Fatalf("It returned %v, %v.", greeting, err)
	}
}

func TestKeywordsArriveInTheirOrder(t *testing.T) {
	server := realServer(t)
	overBoth(t, func(t *testing.T, wire client.Option) {
		keywords := []client.Keyword{{Name: "z", Value: 1}, {Name: "a", Value: nil}, {Name: "\"é", Value: "x"}, {Name: "m"}}
		came, err := server.client(t, "names", wire).RunCall(t.Context(), client.Call{
			Keywords: keywords, Kwargs: map[string]any{"c": 1, "b": 2, "d": 3},
		})
		if want := []any{"z", "a", "\"é", "m", "b", "c", "d"}; err != nil || !reflect.DeepEqual(came, want) {
			t.Errorf("They came as %v, %v.", came, err)
		}
	})
}

func TestANameThatIsGivenTwiceIsRefusedByName(t *testing.T) {
	c := realServer(t).client(t, "names")
	for _, call := range []client.Call{
		{Keywords: []client.Keyword{{Name: "a", Value: 1}, {Name: "b", Value: 2}, {Name: "a", Value: 3}}},
		{Keywords: []client.Keyword{{Name: "a", Value: 1}}, Kwargs: map[string]any{"a": 1}},
	} {
		_, err := c.RunCall(t.Context(), call)
		var failure *client.Error
		if !errors.As(err, &failure) || failure.Reason != client.ReasonValidationError ||
			failure.Violations[0].Field != "a" || failure.Message != "Argument `a`: Given twice by name." {
			t.Errorf("It was answered by %v.", err)
		}
	}
}

func TestValuesComeBackAsTheyWere(t *testing.T) {
	server := realServer(t)
	large, _ := new(big.Int).SetString("10000000000000000000000000000000000000000", 10)
	overBoth(t, func(t *testing.T, wire client.Option) {
		echo := server.client(t, "echo", wire)
		for _, value := range []any{
			nil, true, "", "naïve 🙂 <&>\u2028", int64(1) << 53, int64(1)<<53 + 1, large, 1.0, 0.1, -0.5e300,
			[]any{int64(1), 1.0, nil, "x"}, map[string]any{"a": map[string]any{}, "": []any{}},
		} {
			came, err := echo.Run(t.Context(), map[string]any{"value": value})
			if err != nil || !reflect.DeepEqual(came, value) {
				t.Errorf("%#v came back as %#v, %v.", value, came, err)
			}
		}
	})
}

func TestBytesStayBytesOverGRPC(t *testing.T) {
	came, err := realServer(t).client(t, "echo").Run(t.Context(), map[string]any{"value": []byte{0, 255}})
	if err != nil || !reflect.DeepEqual(came, []byte{0, 255}) {
		t.Fatalf("It returned %#v, %v.", came, err)
	}
}

func TestTheDocumentedLoopPrintsTheStream(t *testing.T) {
	server := realServer(t)
	c, err := client.NewWithAddress(agentID, "chat_stream", false, "localhost", server.httpPort)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.RunStream(t.Context(), map[string]interface{}{"message": "Tell me a story"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	printed := ""
	for {
		data, hasMore, err := s.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !hasMore {
			break
		}
		printed += fmt.Sprint(data)
	}
	if printed != "You said: Tellmeastory" {
		t.Fatalf("It printed %q.", printed)
	}
	if s.InvocationID() == "" {
		t.Error("The stream does not know its invocation.")
	}
}

func TestAnAgentOfThisMachineIsFoundByItsID(t *testing.T) {
	server := realServer(t)
	t.Setenv("RUNAGENT_CACHE_DIR", server.cache)

	c, err := client.NewWithAddress(agentID, "greet", true, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if greeting, err := c.Run(t.Context(), map[string]any{"name": "Ada"}); greeting != "Hello Ada" {
		t.Fatalf("It returned %v, %v.", greeting, err)
	}
	_, err = client.New("somebody-else", "greet", client.WithLocal())
	if !errors.Is(err, client.ReasonAgentNotFound) {
		t.Fatalf("An unknown agent was answered by %v.", err)
	}
}

func TestAnAgentIsUnknownWhereThereIsNoRegistry(t *testing.T) {
	t.Setenv("RUNAGENT_CACHE_DIR", filepath.Join(t.TempDir(), "none"))
	_, err := client.NewWithAddress(agentID, "greet", true, "", 0)
	if !errors.Is(err, client.CodeNotFound) {
		t.Fatalf("It was answered by %v.", err)
	}
}

func TestAnErrorSaysWhatTheServerSaid(t *testing.T) {
	server := realServer(t)
	overBoth(t, func(t *testing.T, wire client.Option) {
		_, err := server.client(t, "count_stream", wire).Run(t.Context(), nil)
		if !errors.Is(err, client.ReasonStreamEntrypoint) || !errors.Is(err, client.CodeValidationError) {
			t.Errorf("Run of a stream was answered by %v.", err)
		}
		stream, err := server.client(t, "count_stream", wire).RunStream(t.Context(), map[string]any{"to": "many"})
		if err != nil {
			t.Fatal(err)
		}
		_, more, err := stream.Next(t.Context())
		var told *client.Error
		if more || !errors.As(err, &told) || told.Field() != "to" {
			t.Errorf("An argument that does not fit was answered by %v, %v.", more, err)
		}
	})
}

func TestArgumentsThatCannotTravelAreRefusedBeforeAnythingIsSent(t *testing.T) {
	c := newClient(t, "greet", client.WithAddress("127.0.0.1", 1))
	for _, value := range []any{make(chan int), func() {}, "\xff", []any{"\xff"}, nest(101)} {
		_, err := c.Run(t.Context(), map[string]any{"name": value})
		var told *client.Error
		if !errors.As(err, &told) || told.Reason != client.ReasonValidationError || told.Field() != "name" {
			t.Errorf("%T was answered by %v.", value, err)
		}
	}
}

func nest(levels int) any {
	var value any
	for range levels {
		value = []any{value}
	}
	return value
}

func TestAServerThatNeverAnsweredIsGivenUpAtOnce(t *testing.T) {
	overBoth(t, func(t *testing.T, wire client.Option) {
		start := time.Now()
		_, err := newClient(t, "greet", client.WithAddress("127.0.0.1", 1), wire).Run(t.Context(), nil)
		if !errors.Is(err, client.ReasonConnectionError) || time.Since(start) > 3*time.Second {
			t.Fatalf("After %v it was answered by %v.", time.Since(start), err)
		}
	})
}

func TestNoAddressIsAnErrorThatNamesTheThreePlaces(t *testing.T) {
	_, err := client.NewWithAddress(agentID, "greet", false, "", 0)
	const wanted = "CONNECTION_ERROR: No server is named. Give host and port (or WithBaseURL), look the agent up on this " +
		"machine (local, or WithLocal), or set RUNAGENT_BASE_URL."
	if err == nil || err.Error() != wanted {
		t.Fatalf("It was answered by %v.", err)
	}
}

func TestACancelledContextCancelsTheWork(t *testing.T) {
	server := realServer(t)
	overBoth(t, func(t *testing.T, wire client.Option) {
		mark := markOf(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		waiting := server.client(t, "wait", wire)
		go func() {
			_, err := waiting.Run(ctx, map[string]any{"mark": mark})
			ended <- err
		}()
		server.eventually(t, mark, "started")
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || !errors.Is(err, client.ReasonCancelled) {
			t.Errorf("It was answered by %v.", err)
		}
		server.eventually(t, mark, "started", "left")
	})
}

func TestADeadlineEndsTheWorkAndTheCall(t *testing.T) {
	server := realServer(t)
	overBoth(t, func(t *testing.T, wire client.Option) {
		mark := markOf(t)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := server.client(t, "wait", wire).Run(ctx, map[string]any{"mark": mark})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, client.CodeTimeout) || time.Since(start) > 5*time.Second {
			t.Errorf("After %v it was answered by %v.", time.Since(start), err)
		}
		_, err = server.client(t, "wait", wire, client.WithTimeout(200*time.Millisecond)).
			Run(t.Context(), map[string]any{"mark": mark})
		if !errors.Is(err, client.ReasonTimeout) {
			t.Errorf("It was answered by %v.", err)
		}
		server.eventually(t, mark, "started", "left", "started", "left")
	})
}

func TestLeavingTheLoopCancelsTheStream(t *testing.T) {
	server := realServer(t)
	overBoth(t, func(t *testing.T, wire client.Option) {
		mark := markOf(t)
		stream, err := server.client(t, "forever_stream", wire).RunStream(t.Context(), map[string]any{"mark": mark})
		if err != nil {
			t.Fatal(err)
		}
		for chunk := range stream.All(t.Context()) {
			if chunk == int64(3) {
				break
			}
		}
		server.eventually(t, mark, "left")
		if _, more, err := stream.Next(t.Context()); more || !errors.Is(err, client.ReasonCancelled) {
			t.Errorf("After its end the stream gave %v, %v.", more, err)
		}
	})
}

func TestClosingTheClientEndsItsStreams(t *testing.T) {
	server := realServer(t)
	mark := markOf(t)
	c := server.client(t, "forever_stream")
	stream, err := c.RunStream(t.Context(), map[string]any{"mark": mark})
	if err != nil {
		t.Fatal(err)
	}
	if _, more, err := stream.Next(t.Context()); !more {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	server.eventually(t, mark, "left")
	if _, err := c.Run(t.Context(), nil); !errors.Is(err, client.ReasonCancelled) {
		t.Errorf("A closed client answered %v.", err)
	}
}

func TestTheContextOfNextBoundsThatWaitAlone(t *testing.T) {
	server := realServer(t)
	stream, err := server.client(t, "forever_stream").RunStream(t.Context(), map[string]any{"mark": t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, more, err := stream.Next(done); more || !errors.Is(err, context.Canceled) {
		t.Errorf("A wait that was over gave %v, %v.", more, err)
	}
	if chunk, more, err := stream.Next(t.Context()); !more || chunk != int64(1) {
		t.Errorf("The next wait gave %v, %v, %v.", chunk, more, err)
	}
}

func TestAStreamCanBeTakenUpByItsID(t *testing.T) {
	server := realServer(t)
	overBoth(t, func(t *testing.T, wire client.Option) {
		c := server.client(t, "count_stream", wire)
		stream, err := c.RunStream(t.Context(), map[string]any{"to": 5})
		if err != nil {
			t.Fatal(err)
		}
		chunks, err := all(t.Context(), stream)
		if len(chunks) != 5 || err != nil {
			t.Fatalf("It streamed %v, %v.", chunks, err)
		}
		again, err := c.Resume(t.Context(), stream.InvocationID(), 3)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := all(t.Context(), again)
		if err != nil || !reflect.DeepEqual(rest, chunks[3:]) {
			t.Fatalf("Behind chunk 3 came %v, %v.", rest, err)
		}
		if err := c.Cancel(t.Context(), stream.InvocationID()); err != nil {
			t.Error(err)
		}
		if err := c.Cancel(t.Context(), "nobody"); !errors.Is(err, client.ReasonInvocationNotFound) {
			t.Error(err)
		}
	})
}

func TestARepeatedRequestRunsOnce(t *testing.T) {
	server := realServer(t)
	mark := markOf(t)
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			stream, err := server.client(t, "count_stream").RunStreamCall(t.Context(), client.Call{
				Kwargs: map[string]any{"to": 3, "mark": mark}, RequestID: mark,
			})
			if err != nil {
				t.Error(err)
				return
			}
			// One reader at a time: others are told that they were replaced.
			if _, err := all(t.Context(), stream); err != nil && !errors.Is(err, client.ReasonReaderReplaced) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	server.eventually(t, mark, "started")
	_, err := server.client(t, "greet").RunCall(t.Context(), client.Call{
		Kwargs: map[string]any{"name": "Ada"}, RequestID: mark,
	})
	if !errors.Is(err, client.ReasonRequestIDReused) {
		t.Errorf("The id of another call was answered by %v.", err)
	}
}

func TestGoroutinesShareAClient(t *testing.T) {
	greet := realServer(t).client(t, "greet")
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			name := fmt.Sprint(i)
			if greeting, err := greet.Run(t.Context(), map[string]any{"name": name}); greeting != "Hello "+name {
				t.Errorf("%s was greeted by %v, %v.", name, greeting, err)
			}
		})
	}
	group.Wait()
}
