// Package lease finds the servers of this machine: each writes one file about itself (docs/wire.md, leases).
//
// A client sends its key where a lease leads. So a file or a folder that another user owns, or can write to, is never
// read. Whether the server of a lease lives is found out by asking it, which is not done here.
package lease

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
)

// formatVersion changes when a reader of the old format would misunderstand the new one. New fields alone do not change it.
const formatVersion = 1

const largestPort = 65535

var (
	instanceIDs = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	startTimes  = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)
	// A name or an address, and nothing that could make another URL of it.
	hosts = regexp.MustCompile(`^[A-Za-z0-9._:%-]{1,255}$`)
)

// A Lease is what one running server says of itself.
type Lease struct {
	FormatVersion int     `json:"format_version"`
	InstanceID    string  `json:"instance_id"`
	PID           int     `json:"pid"`
	StartedAt     string  `json:"started_at"` // UTC, always of the same length, so that it sorts as text.
	Host          string  `json:"host"`
	HTTPPort      *int    `json:"http_port"`
	GRPCPort      *int    `json:"grpc_port"`
	TLS           bool    `json:"tls"`
	Agents        []Agent `json:"agents"`
}

// An Agent is one that a server serves.
type Agent struct {
	ID   string `json:"agent_id"`
	Path string `json:"agent_path"` // The agent's folder.
}

// Port returns the port that the server is asked at: that of HTTP, where there is one.
func (l Lease) Port() int {
	if l.HTTPPort != nil {
		return *l.HTTPPort
	}
	return *l.GRPCPort
}

// Agent returns one of the agents, and whether the server serves it.
func (l Lease) Agent(id string) (Agent, bool) {
	for _, agent := range l.Agents {
		if agent.ID == id {
			return agent, true
		}
	}
	return Agent{}, false
}

// parse reads the text of a lease's file. An error's text follows the file's path in a sentence.
func parse(text []byte) (Lease, error) {
	// The version first: of a newer format, other fields may be of other types.
	var version struct {
		FormatVersion json.RawMessage `json:"format_version"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return Lease{}, malformed(err)
	}
	var number int
	if json.Unmarshal(version.FormatVersion, &number) != nil || number < 1 {
		return Lease{}, errors.New("has no valid `format_version`")
	}
	if number > formatVersion {
		return Lease{}, fmt.Errorf("has format version %d, newer than this client reads; upgrade the client", number)
	}
	var lease Lease
	if err := json.Unmarshal(text, &lease); err != nil {
		return Lease{}, malformed(err)
	}
	return lease, lease.check()
}

func (l Lease) check() error {
	for _, field := range []struct {
		name  string
		valid bool
	}{
		{"instance_id", instanceIDs.MatchString(l.InstanceID)},
		{"pid", l.PID > 0},
		{"started_at", startTimes.MatchString(l.StartedAt)},
		{"host", hosts.MatchString(l.Host) && l.Host != "0.0.0.0" && l.Host != "::"},
		{"http_port", isPort(l.HTTPPort)},
		{"grpc_port", isPort(l.GRPCPort)},
	} {
		if !field.valid {
			return fmt.Errorf("has no valid `%s`", field.name)
		}
	}
	if l.HTTPPort == nil && l.GRPCPort == nil {
		return errors.New("has neither `http_port` nor `grpc_port`")
	}
	if l.Agents == nil {
		return errors.New("has no list of `agents`")
	}
	if _, nameless := l.Agent(""); nameless {
		return errors.New("has an agent without `agent_id`")
	}
	return nil
}

func isPort(port *int) bool { return port == nil || *port > 0 && *port <= largestPort }

func malformed(err error) error {
	var kind *json.UnmarshalTypeError
	switch {
	case !errors.As(err, &kind):
		return errors.New("is not JSON")
	case kind.Field == "":
		return errors.New("is not a JSON object")
	}
	return fmt.Errorf("has no valid `%s`", kind.Field)
}
