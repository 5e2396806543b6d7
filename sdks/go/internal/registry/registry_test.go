package registry

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// database lets SQLite itself make a file, by Python, and returns its path. What the script starts it may leave to the
// end of the test: it ends with its standard input.
func database(t *testing.T, script string) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("REQUIRE_TOOLCHAINS") != "" {
			t.Fatal("There is no python3 to make databases with.")
		}
		t.Skip("There is no python3 to make databases with.")
	}
	path := filepath.Join(t.TempDir(), "runagent_local.db")
	command := exec.Command(python, "-c", `
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
run = connection.execute
`+script+`
print("made", flush=True)
sys.stdin.read()
`, path)
	end, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = end.Close()
		_ = command.Wait()
	})
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		t.Fatalf("The database was not made: %v", err)
	}
	t.Setenv("RUNAGENT_CACHE_DIR", filepath.Dir(path))
	return path
}

const table = `
run("CREATE TABLE agents (agent_id VARCHAR NOT NULL, agent_path VARCHAR NOT NULL, host VARCHAR, port INTEGER, status VARCHAR, PRIMARY KEY (agent_id))")
`

const rows = `
for n in range(3000):
    run("INSERT INTO agents VALUES (?, ?, ?, ?, ?)", (f"agent-{n}", "x" * (n * 7 % 9000), "0.0.0.0", 8000 + n, "deployed"))
`

func expectAgent(t *testing.T, id string, wanted Agent) {
	t.Helper()
	found, err := Find(id)
	if err != nil || found != wanted {
		t.Errorf("%s was found as %.200v, %v.", id, found, err)
	}
}

func expectThousands(t *testing.T) {
	t.Helper()
	for _, n := range []int{0, 1, 1234, 2999} {
		wanted := Agent{Host: "127.0.0.1", Port: 8000 + n, Path: strings.Repeat("x", n*7%9000), Status: "deployed"}
		expectAgent(t, fmt.Sprintf("agent-%d", n), wanted)
	}
	if _, err := Find("agent-3000"); !errors.Is(err, ErrUnknown) {
		t.Errorf("An agent that is not there was answered by %v.", err)
	}
}

func TestATableOfManyPagesIsReadWhole(t *testing.T) {
	database(t, table+`run("BEGIN")`+rows+`run("COMMIT"); connection.close()`)
	expectThousands(t)
}

func TestWhatIsOnlyInTheLogIsReadFromThere(t *testing.T) {
	database(t, `run("PRAGMA journal_mode = WAL"); run("PRAGMA wal_autocheckpoint = 0")`+table+`run("BEGIN")`+rows+`run("COMMIT")`)
	expectThousands(t)
}

func TestTheLogsNewestCommittedVersionCounts(t *testing.T) {
	database(t, `run("PRAGMA journal_mode = WAL"); run("PRAGMA wal_autocheckpoint = 0")`+table+`
run("INSERT INTO agents VALUES ('a', '/a', 'localhost', 1, 'deployed')")
run("UPDATE agents SET port = 2, status = 'stopped'")
run("PRAGMA cache_size = 1")
run("BEGIN")
run("UPDATE agents SET port = 3")
for n in range(2000):
    run("INSERT INTO agents VALUES (?, ?, 'h', 1, 's')", (n, "x" * 1000))
`)
	// The last transaction fills the cache, and so the log, and is not committed.
	expectAgent(t, "a", Agent{Host: "localhost", Port: 2, Path: "/a", Status: "stopped"})
}

func TestALogThatWasWrittenAnewIsReadUpToItsNewEnd(t *testing.T) {
	database(t, `run("PRAGMA journal_mode = WAL")`+table+`
for n in range(100):
    run("INSERT INTO agents VALUES (?, '', 'old', 1, 's')", (n,))
run("PRAGMA wal_checkpoint(FULL)")
run("INSERT INTO agents VALUES ('a', '', 'new', 2, 's')")
`)
	expectAgent(t, "a", Agent{Host: "new", Port: 2, Status: "s"})
}

func TestATableThatWasMadeElsewhereIsReadAsItIs(t *testing.T) {
	database(t, `
run('''CREATE TABLE "agents" ( -- what (it, holds)
	[port] INTEGER DEFAULT (8450), "agent_id" VARCHAR(36) UNIQUE CHECK (length(agent_id) < 99), extra NUMERIC(10, 2), /* , */
	host VARCHAR, CONSTRAINT one PRIMARY KEY (agent_id))''')
run("INSERT INTO agents VALUES (70000 - 10000, 'b', 1.5, '::')")
run("INSERT INTO agents VALUES (-1, 'c', NULL, 'h')")
run("ALTER TABLE agents ADD COLUMN status VARCHAR")
connection.close()
`)
	expectAgent(t, "b", Agent{Host: "::1", Port: 60000})
	if _, err := Find("c"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("An impossible port was answered by %v.", err)
	}
}

func TestAFileThatIsWrittenAllTheTimeIsReadAllTheSame(t *testing.T) {
	database(t, `run("PRAGMA journal_mode = WAL"); run("PRAGMA wal_autocheckpoint = 20")`+table+`
import threading
run("INSERT INTO agents VALUES ('a', '', 'h', 1, 's')")
run("CREATE TABLE noise (text)")
def write():
    other = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
    while True:
        other.execute("UPDATE agents SET port = 2, status = 'even'")
        other.execute("UPDATE agents SET port = 1, status = 'odd'")
        other.execute("INSERT INTO noise VALUES (?)", ("x" * 5000,))
        threading.Event().wait(0.005)
threading.Thread(target=write, daemon=True).start()
`)
	for range 100 {
		found, err := Find("a")
		if err != nil || found.Status != "s" && (found.Status == "odd") != (found.Port == 1) {
			t.Fatalf("It was found as %v, %v.", found, err)
		}
	}
}

func TestATransactionThatIsBeingWrittenIsWaitedFor(t *testing.T) {
	if testing.Short() {
		t.Skip("It waits until all patience is at its end.")
	}
	database(t, `run("PRAGMA cache_size = 1")`+table+`run("BEGIN")`+rows)
	if _, err := Find("agent-1"); !errors.Is(err, errChanged) {
		t.Fatalf("It was answered by %v.", err)
	}
}

func TestAFileWithoutTheTableHasNoAgents(t *testing.T) {
	database(t, `run("CREATE TABLE others (agent_id)"); connection.close()`)
	if _, err := Find("a"); !errors.Is(err, ErrUnknown) {
		t.Fatalf("It was answered by %v.", err)
	}
}

func TestWhatIsNoDatabaseIsAnErrorThatIsNotUnknown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runagent_local.db")
	t.Setenv("RUNAGENT_CACHE_DIR", filepath.Dir(path))
	for _, content := range []string{"", "nothing of the kind", strings.Repeat("\x00", 5000)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Find("a"); err == nil || errors.Is(err, ErrUnknown) {
			t.Errorf("%.20q was answered by %v.", content, err)
		}
	}
}

func TestADamagedFileIsAnErrorAndNeverAPanic(t *testing.T) {
	path := database(t, table+`run("BEGIN")`+strings.Replace(rows, "3000", "60", 1)+`run("COMMIT"); connection.close()`)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		damaged := append([]byte{}, whole...)
		for range 1 + chance.IntN(20) {
			// Mostly where pages begin, for that is where their structure is.
			at := chance.IntN(len(damaged)/4096)*4096 + chance.IntN(200)
			damaged[at] = byte(chance.IntN(256))
		}
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = Find("agent-59")
	}
}
