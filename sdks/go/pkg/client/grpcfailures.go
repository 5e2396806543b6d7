package client

import (
	"context"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const errorDomain = "runagent.dev"

// What gRPC's texts say, for the status alone does not tell: somebody answered with something that is no HTTP/2, ...
var speaksSomethingElse = []string{"HTTP/1", "http2: ", "malformed header", "first record does not look like a TLS"}

// ... nobody took the connection, ...
var nobodyThere = []string{"Error while dialing", "name resolver error", "produced zero addresses", "no such host"}

// ... it broke before anything was said, ...
var brokeAtOnce = []string{"error reading server preface", "authentication handshake failed"}

// ... or within an answer, which gRPC does not always call UNAVAILABLE.
var brokeWithin = []string{"unexpected EOF", "without sending trailers", "RST_STREAM"}

// failureOfStatus returns what a failed RPC means, the error that the server told or else what the bare status says, and
// what it shows of whoever is at the address.
func failureOfStatus(ctx context.Context, err error, at address) (*Error, contact) {
	told := status.Convert(err)
	if len(told.Details()) > 0 {
		return failureOfDetails(told), contactAnswer
	}
	if ctx.Err() != nil {
		return contextError(ctx), contactNone
	}
	text := told.Message()
	switch told.Code() {
	case codes.Canceled:
		if strings.Contains(text, "client connection is closing") {
			return closedError(), contactNone
		}
		// Who cancels an invocation is told so in words. A bare status is what a server that ends leaves of calls that
		// it has not looked at yet, and what a proxy leaves of those that it gives up.
		return lost(at, err), contactAnswer
	case codes.DeadlineExceeded:
		return &Error{Reason: ReasonTimeout, Message: "The call timed out.", Details: text, cause: err}, contactNone
	case codes.Unavailable:
		return failureOfUnavailable(err, text, at)
	case codes.Unimplemented, codes.Unknown, codes.Internal:
		if says(text, brokeWithin) {
			return lost(at, err), contactAnswer
		}
		return notOurGRPC(at, err), contactNone
	}
	return failureOfDetails(told), contactNone
}

func failureOfUnavailable(err error, text string, at address) (*Error, contact) {
	switch {
	case says(text, nobodyThere):
		return nobodyAnswers(at, err), contactNone
	case says(text, speaksSomethingElse):
		return notOurGRPC(at, err), contactNone
	case strings.Contains(text, "tls: ") || strings.Contains(text, "x509: "):
		return &Error{
			Reason:     ReasonConnectionError,
			Message:    "No TLS connection could be made to " + at.String() + ".",
			Suggestion: "Check the certificates, and that the server speaks TLS.",
			Details:    err.Error(),
			cause:      err,
		}, contactNone
	case says(text, brokeAtOnce):
		return nobodyAnswers(at, err), contactConnection
	}
	return lost(at, err), contactAnswer
}

// failureOfDetails returns the error that a status carries, or what its bare code says by the same table.
func failureOfDetails(told *status.Status) *Error {
	failure := &Error{Reason: reasonOfStatus(told.Code()), Message: told.Message(), cause: told.Err()}
	if failure.Message == "" {
		failure.Message = told.Code().String()
	}
	for _, detail := range told.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if reason := Reason(detail.GetReason()); detail.GetDomain() == errorDomain && isKnown(reason) {
				failure.Reason, failure.Suggestion = reason, detail.GetMetadata()["suggestion"]
			}
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				failure.Violations = append(failure.Violations, Violation{violation.GetField(), violation.GetDescription()})
			}
		case *errdetails.RetryInfo:
			failure.RetryAfter = detail.GetRetryDelay().AsDuration()
		}
	}
	return failure
}

// nobodyAnswers returns what it means that nothing listens at the address.
func nobodyAnswers(at address, err error) *Error {
	return &Error{
		Reason:     ReasonConnectionError,
		Message:    "No server answers at " + at.String() + ".",
		Suggestion: "Check the address, and that the server runs (`runagent serve PATH`).",
		Details:    err.Error(),
		cause:      err,
	}
}

// lost returns what it means that a connection broke.
func lost(at address, err error) *Error {
	return &Error{
		Reason:  ReasonConnectionError,
		Message: "The connection to the server at " + at.String() + " was lost.",
		Details: err.Error(),
		cause:   err,
	}
}

// notOurGRPC returns what it means that an answer is nothing that a RunAgent server's gRPC port says.
func notOurGRPC(at address, err error) *Error {
	return &Error{
		Reason:     ReasonConnectionError,
		Message:    "What answers at " + at.String() + " is not a RunAgent server's gRPC port.",
		Suggestion: "Check the port; `runagent serve` prints it.",
		Details:    err.Error(),
		cause:      err,
	}
}

func says(text string, phrases []string) bool {
	for _, phrase := range phrases {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}
