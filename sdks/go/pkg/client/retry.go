package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// A contact is what a client has ever had of a server, which says what it means that none answers.
type contact int32

const (
	// Nothing: the address is wrong, or no server runs. Also of a server that would run a repeated call twice.
	contactNone contact = iota
	// Somebody took a connection, and it broke.
	contactConnection
	// It has answered: one that does not now is being restarted, or cannot be reached for a moment.
	contactAnswer
)

const (
	firstPause   = 50 * time.Millisecond
	longestPause = 2 * time.Second
	// Enough for a connection that breaks before it is one; a port of something else is told soon, all the same.
	strangerWindow = 5 * time.Second
)

// A retry counts the tries of one call, and says when the next one is due (docs/design.md, idempotency). Only
// what the want of a server made fail is made again: the call's request_id, or its place in a stream, keeps the server
// from doing anything twice.
type retry struct {
	window       time.Duration
	failures     int // How many there were since the server last gave something.
	failingSince time.Time
	now          func() time.Time
	chance       func() float64
}

func newRetry(window time.Duration) *retry {
	return &retry{window: window, now: time.Now, chance: rand.Float64}
}

// progressed says that the server gave something that was not there before: patience and backoff start anew.
func (r *retry) progressed() { r.failures = 0 }

// pauseAfter returns how long to wait before the next try, or the error to give up with.
func (r *retry) pauseAfter(ctx context.Context, failure *Error, had contact) (time.Duration, *Error) {
	now := r.now()
	if r.failures == 0 {
		r.failingSince = now
	}
	tried := now.Sub(r.failingSince)
	r.failures++
	pause := max(r.backoff(), failure.RetryAfter)
	if !isWantOfServer(failure.Reason) || tried+pause > r.patience(had) {
		return 0, r.last(failure, tried)
	}
	if deadline, ok := ctx.Deadline(); ok && deadline.Sub(now) <= pause {
		return 0, r.last(failure, tried)
	}
	return pause, nil
}

func (r *retry) patience(had contact) time.Duration {
	switch had {
	case contactAnswer:
		return r.window
	case contactConnection:
		return min(r.window, strangerWindow)
	}
	// Not even once: a pause is always longer.
	return 0
}

func (r *retry) backoff() time.Duration {
	whole := longestPause
	if doublings := r.failures - 1; doublings < 10 {
		whole = min(longestPause, firstPause<<doublings)
	}
	return time.Duration(float64(whole) * (0.5 + 0.5*r.chance()))
}

func (r *retry) last(failure *Error, tried time.Duration) *Error {
	if r.failures > 1 && isWantOfServer(failure.Reason) {
		failure.Message += fmt.Sprintf(" It was tried %d times in %.1f s.", r.failures, tried.Seconds())
	}
	return failure
}

func isWantOfServer(reason Reason) bool {
	return reason == ReasonConnectionError || reason == ReasonStreamInterrupted || reason == ReasonShuttingDown
}

// wait waits for d, or until the context is done.
func wait(ctx context.Context, d time.Duration) *Error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}
