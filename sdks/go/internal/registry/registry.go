// Package registry finds the agents that are served on this machine, in the file that RunAgent servers and other clients
// share (docs/wire.md, local registry).
//
// It reads the SQLite file itself rather than through a driver. A client needs one row of one table: a driver without cgo
// would add 8 MB to every program that calls an agent, and half a minute to its first build. What is read here is a small,
// frozen part of the format, and only ever read.
package registry

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// ErrUnknown says that the registry has no such agent, or that there is no registry.
var ErrUnknown = errors.New("the registry does not know the agent")

// An Agent is one line of the address book.
type Agent struct {
	Host   string
	Port   int
	Path   string // The agent's folder.
	Status string
}

// Path returns where the registry is: runagent_local.db in $RUNAGENT_CACHE_DIR, by default in ~/.runagent.
func Path() (string, error) {
	if folder := os.Getenv("RUNAGENT_CACHE_DIR"); folder != "" {
		return filepath.Join(folder, "runagent_local.db"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".runagent", "runagent_local.db"), nil
}

// Find returns the line of an agent. It creates nothing where there is no file.
func Find(agentID string) (Agent, error) {
	path, err := Path()
	if err != nil {
		return Agent{}, err
	}
	rows, err := readTable(path, "agents")
	i := slices.IndexFunc(rows, func(row map[string]any) bool { return row["agent_id"] == agentID })
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && i < 0:
		return Agent{}, ErrUnknown
	case err != nil:
		return Agent{}, err
	}
	found := agentOf(rows[i])
	if found.Port < 1 || found.Port > 65535 {
		return Agent{}, fmt.Errorf("the agent's port is %d", found.Port)
	}
	return found, nil
}

func agentOf(row map[string]any) Agent {
	text := func(column string) string {
		value, _ := row[column].(string)
		return value
	}
	port, _ := row["port"].(int64)
	return Agent{Host: connectable(text("host")), Port: int(port), Path: text("agent_path"), Status: text("status")}
}

// connectable returns a host that a client on this machine can connect to, where host may stand for every address.
func connectable(host string) string {
	switch host {
	case "", "0.0.0.0":
		return "127.0.0.1"
	case "::", "[::]":
		return "::1"
	}
	return host
}
