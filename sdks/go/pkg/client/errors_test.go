package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheTableOfErrorsIsTheDocumentedOne(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "docs", "design.md"))
	if err != nil {
		t.Skip("The documentation is not there: this is the module by itself.")
	}
	_, section, _ := strings.Cut(string(page), "\n## Errors\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := regexp.MustCompile(`(?m)^\| ([A-Z_]+) \| ([A-Z_]+) \| (\d+) \| ([A-Z_]+) \|`).FindAllStringSubmatch(section, -1)
	var written, ours []string
	for _, cells := range rows {
		written = append(written, strings.Join(cells[1:], " "))
	}
	for _, row := range table {
		ours = append(ours, fmt.Sprintf("%s %s %d %s", row.reason, statusNames[row.grpc], row.http, row.code))
	}
	if !slices.Equal(written, ours) {
		t.Errorf("The documentation has\n%s\nand the table\n%s", strings.Join(written, "\n"), strings.Join(ours, "\n"))
	}
}

// statusNames are the statuses' names as the documentation writes them, by number.
var statusNames = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
	"INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

func TestAnErrorIsItsReasonAndItsCode(t *testing.T) {
	var err error = &Error{Reason: ReasonAgentNotFound, Message: "Agent not found"}
	err = fmt.Errorf("calling: %w", err)
	for target, wanted := range map[error]bool{
		ReasonAgentNotFound: true, CodeNotFound: true,
		ReasonEntrypointNotFound: false, CodeTimeout: false, context.DeadlineExceeded: false,
	} {
		if errors.Is(err, target) != wanted {
			t.Errorf("That it is %T %v is not %v.", target, target, wanted)
		}
	}
}

func TestBackoffDoublesUpToTwoSecondsAndIsSpread(t *testing.T) {
	now := time.Unix(0, 0)
	chance := 1.0
	tries := &retry{
		window: time.Minute, now: func() time.Time { return now }, chance: func() float64 { return chance },
	}
	cut := func() *Error { return &Error{Reason: ReasonConnectionError, Message: "cut"} }
	for _, wanted := range []time.Duration{50, 100, 200, 400, 800, 1600, 2000, 2000} {
		pause, failure := tries.pauseAfter(t.Context(), cut(), contactAnswer)
		if pause != wanted*time.Millisecond || failure != nil {
			t.Errorf("The pause was %v, not %d ms (%v).", pause, wanted, failure)
		}
		now = now.Add(pause)
	}
	chance = 0
	if pause, _ := tries.pauseAfter(t.Context(), cut(), contactAnswer); pause != time.Second {
		t.Errorf("The shortest pause was %v.", pause)
	}
	tries.progressed()
	if pause, _ := tries.pauseAfter(t.Context(), cut(), contactAnswer); pause != 25*time.Millisecond {
		t.Errorf("After progress the pause was %v.", pause)
	}
}

func TestPatienceIsForWhoHasAnswered(t *testing.T) {
	for had, wanted := range map[contact]time.Duration{
		contactNone: 0, contactConnection: strangerWindow, contactAnswer: time.Minute,
	} {
		now := time.Unix(0, 0)
		tries := &retry{window: time.Minute, now: func() time.Time { return now }, chance: func() float64 { return 1 }}
		for {
			pause, failure := tries.pauseAfter(t.Context(), &Error{Reason: ReasonShuttingDown}, had)
			if failure != nil {
				break
			}
			now = now.Add(pause)
		}
		if tried := now.Sub(time.Unix(0, 0)); tried > wanted || tried < wanted-longestPause {
			t.Errorf("Contact %d was worth %v, not %v.", had, tried, wanted)
		}
	}
}

func TestNoPauseOutlivesTheDeadline(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	failure := &Error{Reason: ReasonShuttingDown, RetryAfter: 2 * time.Second}
	if _, given := newRetry(time.Minute).pauseAfter(ctx, failure, contactAnswer); given != failure {
		t.Errorf("It was answered by %v.", given)
	}
}

func TestAnotherFailureIsNotTriedAgain(t *testing.T) {
	for _, row := range table {
		_, given := newRetry(time.Minute).pauseAfter(t.Context(), &Error{Reason: row.reason}, contactAnswer)
		if (given == nil) != isWantOfServer(row.reason) {
			t.Errorf("%s was answered by %v.", row.reason, given)
		}
	}
}
