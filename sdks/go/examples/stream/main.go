// Command stream asks an agent, and prints its answer as it comes:
//
//	go run ./examples/stream -agent quickstart -port 8450 "Tell me a story"
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/runagent-dev/runagent-go/pkg/client"
)

func main() {
	agent := flag.String("agent", "quickstart", "the agent's id")
	tag := flag.String("tag", "chat_stream", "the entrypoint; it ends in _stream")
	host := flag.String("host", "localhost", "where the server is")
	port := flag.Int("port", 8450, "the server's port; 0 looks the agent up on this machine")
	flag.Parse()

	// Ctrl-C leaves on purpose, which ends the work on the server, too.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := ask(ctx, *agent, *tag, *host, *port, strings.Join(flag.Args(), " ")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

func ask(ctx context.Context, agent, tag, host string, port int, message string) error {
	if port == 0 {
		host = ""
	}
	c, err := client.NewWithAddress(agent, tag, port == 0, host, port)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	stream, err := c.RunStream(ctx, map[string]interface{}{"message": message})
	if err != nil {
		return err
	}
	for chunk, err := range stream.All(ctx) {
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Print(chunk)
	}
	fmt.Println()
	return nil
}
