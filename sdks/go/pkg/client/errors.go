package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
)

// A Reason says in one word why a call failed, for programs to branch on. It is an error itself, so that
// errors.Is(err, client.ReasonAgentNotFound) tells whether err has it.
type Reason string

// The reasons, as the server and the other clients name them.
const (
	ReasonValidationError     Reason = "VALIDATION_ERROR"
	ReasonMalformedRequest    Reason = "MALFORMED_REQUEST"
	ReasonStreamEntrypoint    Reason = "STREAM_ENTRYPOINT"     // Run for a tag that streams.
	ReasonNonStreamEntrypoint Reason = "NON_STREAM_ENTRYPOINT" // RunStream for a tag that does not.
	ReasonInvalidCursor       Reason = "INVALID_CURSOR"        // A resume from beyond the last chunk.
	ReasonAgentNotFound       Reason = "AGENT_NOT_FOUND"
	ReasonEntrypointNotFound  Reason = "ENTRYPOINT_NOT_FOUND"
	ReasonInvocationNotFound  Reason = "INVOCATION_NOT_FOUND"
	ReasonRouteNotFound       Reason = "ROUTE_NOT_FOUND"
	ReasonAuthentication      Reason = "AUTHENTICATION_ERROR"
	ReasonPermission          Reason = "PERMISSION_ERROR"
	ReasonRequestIDReused     Reason = "REQUEST_ID_REUSED"
	ReasonReplayExpired       Reason = "REPLAY_EXPIRED" // What a resume or a repeated request needs is not kept any more.
	ReasonPayloadTooLarge     Reason = "PAYLOAD_TOO_LARGE"
	ReasonOverloaded          Reason = "OVERLOADED"
	ReasonRateLimited         Reason = "RATE_LIMITED"
	ReasonConnectionError     Reason = "CONNECTION_ERROR"   // By clients alone: no server answers at the address.
	ReasonStreamInterrupted   Reason = "STREAM_INTERRUPTED" // By clients alone: a stream was cut, or fell silent.
	ReasonShuttingDown        Reason = "SHUTTING_DOWN"
	ReasonInvocationLost      Reason = "INVOCATION_LOST" // The process that ran it died, or was shut down.
	ReasonReaderReplaced      Reason = "READER_REPLACED" // Another reader took the stream over.
	ReasonTimeout             Reason = "TIMEOUT"         // Also errors.Is(err, context.DeadlineExceeded).
	ReasonCancelled           Reason = "CANCELLED"
	ReasonInternal            Reason = "INTERNAL_ERROR"
	ReasonExecutionFailed     Reason = "EXECUTION_FAILED" // The entrypoint raised; the message is its exception's text.
)

// Error makes a Reason an error.
func (r Reason) Error() string { return string(r) }

// A Code is what the documentation of RunAgent calls a failure. It is coarser than a [Reason], and an error, too.
type Code string

// The codes.
const (
	CodeValidationError Code = "VALIDATION_ERROR"
	CodeNotFound        Code = "NOT_FOUND"
	CodeAuthentication  Code = "AUTHENTICATION_ERROR"
	CodePermission      Code = "PERMISSION_ERROR"
	CodeRequestIDReused Code = "REQUEST_ID_REUSED"
	CodeReplayExpired   Code = "REPLAY_EXPIRED"
	CodePayloadTooLarge Code = "PAYLOAD_TOO_LARGE"
	CodeOverloaded      Code = "OVERLOADED"
	CodeRateLimited     Code = "RATE_LIMITED"
	CodeConnectionError Code = "CONNECTION_ERROR"
	CodeShuttingDown    Code = "SHUTTING_DOWN"
	CodeInvocationLost  Code = "INVOCATION_LOST"
	CodeReaderReplaced  Code = "READER_REPLACED"
	CodeTimeout         Code = "TIMEOUT_ERROR"
	CodeCancelled       Code = "CANCELLED"
	CodeInternal        Code = "INTERNAL_ERROR"
)

// Error makes a Code an error.
func (c Code) Error() string { return string(c) }

// A Violation is one argument or option that does not fit.
type Violation struct {
	Field       string
	Description string
}

// An Error is what went wrong with a call, whichever wire it was made over.
type Error struct {
	Reason       Reason
	Message      string // For a person.
	Suggestion   string // What to do about it. Empty where there is nothing to do.
	Details      string // More about it, such as what the transport said.
	Violations   []Violation
	RetryAfter   time.Duration // When a repeated call may fare better. 0: the server did not say.
	InvocationID string        // The invocation that failed, where one had started.

	cause error
}

// Error returns the reason, the message and the suggestion.
func (e *Error) Error() string {
	text := string(e.Reason) + ": " + e.Message
	if e.Suggestion != "" {
		text += " " + e.Suggestion
	}
	return text
}

// Code returns the documented code of the error's reason.
func (e *Error) Code() Code { return rowOf(e.Reason).code }

// Field returns the name of the first argument that does not fit, or "".
func (e *Error) Field() string {
	if len(e.Violations) == 0 {
		return ""
	}
	return e.Violations[0].Field
}

// Is reports whether target is the error's [Reason] or its [Code]. A TIMEOUT counts as context.DeadlineExceeded, whoever
// noticed first that the time was up: the server knows the caller's deadline, too.
func (e *Error) Is(target error) bool {
	switch target := target.(type) {
	case Reason:
		return e.Reason == target
	case Code:
		return e.Code() == target
	}
	return target == context.DeadlineExceeded && e.Reason == ReasonTimeout
}

// Unwrap returns what caused the error, such as context.Canceled, where that was an error of Go's.
func (e *Error) Unwrap() error { return e.cause }

// A row says what a reason is called on each wire.
type row struct {
	reason Reason
	grpc   codes.Code
	http   int
	code   Code
}

// One row a reason, in the order of docs/design.md, errors. The first of a gRPC status also speaks for that status
// when it arrives bare.
var table = []row{
	{ReasonValidationError, codes.InvalidArgument, 422, CodeValidationError},
	{ReasonMalformedRequest, codes.InvalidArgument, 400, CodeValidationError},
	{ReasonStreamEntrypoint, codes.InvalidArgument, 400, CodeValidationError},
	{ReasonNonStreamEntrypoint, codes.InvalidArgument, 400, CodeValidationError},
	{ReasonInvalidCursor, codes.InvalidArgument, 400, CodeValidationError},
	{ReasonAgentNotFound, codes.NotFound, 404, CodeNotFound},
	{ReasonEntrypointNotFound, codes.NotFound, 404, CodeNotFound},
	{ReasonInvocationNotFound, codes.NotFound, 404, CodeNotFound},
	{ReasonRouteNotFound, codes.NotFound, 404, CodeNotFound},
	{ReasonAuthentication, codes.Unauthenticated, 401, CodeAuthentication},
	{ReasonPermission, codes.PermissionDenied, 403, CodePermission},
	{ReasonRequestIDReused, codes.AlreadyExists, 409, CodeRequestIDReused},
	{ReasonReplayExpired, codes.OutOfRange, 410, CodeReplayExpired},
	// gRPC raises RESOURCE_EXHAUSTED itself for a message over the limit.
	{ReasonPayloadTooLarge, codes.ResourceExhausted, 413, CodePayloadTooLarge},
	{ReasonOverloaded, codes.ResourceExhausted, 429, CodeOverloaded},
	{ReasonRateLimited, codes.ResourceExhausted, 429, CodeRateLimited},
	{ReasonConnectionError, codes.Unavailable, 503, CodeConnectionError},
	{ReasonStreamInterrupted, codes.Unavailable, 503, CodeConnectionError},
	{ReasonShuttingDown, codes.Unavailable, 503, CodeShuttingDown},
	{ReasonInvocationLost, codes.Aborted, 500, CodeInvocationLost},
	{ReasonReaderReplaced, codes.Aborted, 500, CodeReaderReplaced},
	{ReasonTimeout, codes.DeadlineExceeded, 200, CodeTimeout},
	{ReasonCancelled, codes.Canceled, 499, CodeCancelled},
	{ReasonInternal, codes.Internal, 500, CodeInternal},
	{ReasonExecutionFailed, codes.Unknown, 200, CodeInternal},
}

// rowOf returns a reason's row; that of an internal error for a reason of a later contract.
func rowOf(reason Reason) row {
	for _, row := range table {
		if row.reason == reason {
			return row
		}
	}
	return rowOf(ReasonInternal)
}

func isKnown(reason Reason) bool { return rowOf(reason).reason == reason }

// reasonOfStatus returns what a bare gRPC status means: a bare UNKNOWN, and one that the table lacks, is an internal error.
func reasonOfStatus(code codes.Code) Reason {
	for _, row := range table {
		if row.grpc == code && code != codes.Unknown {
			return row.reason
		}
	}
	return ReasonInternal
}

func invalid(field, format string, values ...any) *Error {
	description := fmt.Sprintf(format, values...)
	return &Error{
		Reason:     ReasonValidationError,
		Message:    fmt.Sprintf("`%s`: %s", field, description),
		Violations: []Violation{{Field: field, Description: description}},
	}
}

// invalidArgument returns the error of one argument of a call.
func invalidArgument(name, description string) *Error {
	return &Error{
		Reason:     ReasonValidationError,
		Message:    fmt.Sprintf("Argument `%s`: %s", name, description),
		Violations: []Violation{{Field: name, Description: description}},
	}
}

// contextError returns what it means that a context is done: the error that it was ended with, where that is one of ours.
func contextError(ctx context.Context) *Error {
	cause := context.Cause(ctx)
	var own *Error
	if errors.As(cause, &own) {
		twin := *own
		return &twin
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &Error{Reason: ReasonTimeout, Message: "The call timed out.", cause: ctx.Err()}
	}
	failure := &Error{Reason: ReasonCancelled, Message: "The caller cancelled the call.", cause: context.Canceled}
	if !errors.Is(cause, context.Canceled) {
		failure.Details, failure.cause = cause.Error(), errors.Join(context.Canceled, cause)
	}
	return failure
}
