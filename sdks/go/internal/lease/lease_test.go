package lease

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fields returns those of a lease, with these changes.
func fields(changes map[string]any) map[string]any {
	all := map[string]any{
		"format_version": 1, "instance_id": "one", "pid": 4242, "started_at": "2026-03-01T12:00:00.000000Z",
		"host": "127.0.0.1", "http_port": 8450, "grpc_port": nil, "tls": false, "server_name": nil, "ca_file": nil,
		"agents": []any{map[string]any{"agent_id": "chat", "agent_path": "/srv/chat", "framework": "default"}},
	}
	for name, value := range changes {
		all[name] = value
	}
	return all
}

// write writes a lease, and returns the path of its file.
func write(t *testing.T, folder string, changes map[string]any) string {
	t.Helper()
	all := fields(changes)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return writeText(t, folder, all["instance_id"].(string)+".json", string(text))
}

func writeText(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func ids(leases []Lease) (all []string) {
	for _, lease := range leases {
		all = append(all, lease.InstanceID)
	}
	return all
}

func expectIgnored(t *testing.T, folder string, wanted ...string) {
	t.Helper()
	if leases, ignored := Read(folder); len(leases) > 0 || !slices.Equal(ignored, wanted) {
		t.Errorf("%v was read, and %q ignored; %q was expected.", ids(leases), ignored, wanted)
	}
}

func TestTheNewestLeaseComesFirstAndUnknownFieldsAreIgnored(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "servers")
	for id, minute := range map[string]string{"a": "1", "b": "3", "c": "2"} {
		write(t, folder, map[string]any{
			"instance_id": id, "started_at": "2026-03-01T12:0" + minute + ":00.000000Z", "mood": []int{1},
		})
	}
	leases, ignored := Read(folder)
	if !slices.Equal(ids(leases), []string{"b", "c", "a"}) || len(ignored) > 0 {
		t.Fatalf("%v was read, and %q ignored.", ids(leases), ignored)
	}
	agent, serves := leases[0].Agent("chat")
	if !serves || agent.Path != "/srv/chat" || leases[0].Port() != 8450 || leases[0].PID != 4242 {
		t.Errorf("It was read as %+v.", leases[0])
	}
	if _, serves := leases[0].Agent("other"); serves {
		t.Error("It serves an agent that it does not name.")
	}
}

func TestAFolderThatIsMissingHoldsNothingAndIsNotMade(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "servers")
	expectIgnored(t, folder)
	if _, err := os.Stat(folder); err == nil {
		t.Error("It was made.")
	}
}

func TestALeaseThatCannotBeIsIgnoredWithTheReason(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "servers")
	for _, test := range []struct {
		field  string
		value  any
		reason string
	}{
		{"format_version", 2, "has format version 2, newer than this client reads; upgrade the client"},
		{"format_version", "1", "has no valid `format_version`"},
		{"format_version", 0, "has no valid `format_version`"},
		{"format_version", nil, "has no valid `format_version`"},
		{"pid", "1", "has no valid `pid`"},
		{"pid", 0, "has no valid `pid`"},
		{"started_at", "yesterday", "has no valid `started_at`"},
		{"host", "", "has no valid `host`"},
		{"host", "user@elsewhere", "has no valid `host`"},
		{"host", "a/b", "has no valid `host`"},
		{"host", "0.0.0.0", "has no valid `host`"},
		{"host", 1, "has no valid `host`"},
		{"http_port", 0, "has no valid `http_port`"},
		{"http_port", 65536, "has no valid `http_port`"},
		{"grpc_port", "50051", "has no valid `grpc_port`"},
		{"http_port", nil, "has neither `http_port` nor `grpc_port`"},
		{"tls", "no", "has no valid `tls`"},
		{"agents", map[string]any{}, "has no valid `agents`"},
		{"agents", nil, "has no list of `agents`"},
		{"agents", []any{map[string]any{}}, "has an agent without `agent_id`"},
	} {
		path := write(t, folder, map[string]any{test.field: test.value})
		expectIgnored(t, folder, path+" "+test.reason+".")
	}
	path := filepath.Join(folder, "two.json")
	write(t, folder, nil)
	if err := os.Rename(filepath.Join(folder, "one.json"), path); err != nil {
		t.Fatal(err)
	}
	expectIgnored(t, folder, path+" is not named after its `instance_id`.")
}

func TestAMalformedFileIsIgnoredAndHidesNoOther(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "servers")
	write(t, folder, nil)
	for text, reason := range map[string]string{
		"":                              "is not JSON",
		strings.Repeat("[", 100_000):    "is not JSON",
		"[]":                            "is not a JSON object",
		strings.Repeat(" ", maxBytes+1): "is larger than a lease can be",
	} {
		path := writeText(t, folder, "bad.json", text)
		leases, ignored := Read(folder)
		if len(leases) != 1 || !slices.Equal(ignored, []string{path + " " + reason + "."}) {
			t.Errorf("%v was read, and %q ignored.", ids(leases), ignored)
		}
	}
}
