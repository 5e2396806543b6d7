package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What a failed request, or a stream's error frame, means (docs/wire.md, errors). Our servers name the reason. Published
// ones tell a code and a text, some the text alone: the first that matches tells its reason, where the code agrees.
var documentedTexts = []struct {
	reason  Reason
	pattern *regexp.Regexp
}{
	{ReasonExecutionFailed, regexp.MustCompile(`^Agent execution failed: (Server error running agent \S+: )?`)},
	{ReasonExecutionFailed, regexp.MustCompile(`^Streaming error: `)},
	{ReasonAgentNotFound, regexp.MustCompile(`^Agent (.+ )?not found`)},
	{ReasonEntrypointNotFound, regexp.MustCompile(`^Entrypoint .+ not found`)},
	{ReasonInvocationNotFound, regexp.MustCompile(`^Invocation (.+ )?not found`)},
	{ReasonStreamEntrypoint, regexp.MustCompile(`^Can't use Streaming Entrypoint `)},
	{ReasonNonStreamEntrypoint, regexp.MustCompile(`^Entrypoint .+ is not a streaming entrypoint`)},
	{ReasonMalformedRequest, regexp.MustCompile(`^Invalid JSON format: `)},
	{ReasonValidationError, regexp.MustCompile(`^Missing required field: `)},
}

// What statuses mean that several reasons share, or none has: a proxy may send them with nothing of ours inside.
var sharedStatuses = map[int]Reason{
	400: ReasonMalformedRequest,
	404: ReasonAgentNotFound,
	429: ReasonOverloaded,
	500: ReasonInternal,
	502: ReasonConnectionError,
	503: ReasonConnectionError,
	504: ReasonConnectionError,
}

// failureOfResponse returns the error that a response means.
func failureOfResponse(at address, status int, header http.Header, body []byte) *Error {
	told := toldBy(objectIn(body))
	reason := reasonTold(told, status)
	if reason == "" {
		return notOurHTTP(at, fmt.Sprintf("HTTP status %d", status))
	}
	failure := failureTold(reason, told, fmt.Sprintf("The server refused the call (HTTP status %d).", status))
	if seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 31); err == nil {
		failure.RetryAfter = time.Duration(seconds) * time.Second
	}
	failure.InvocationID = header.Get(invocationIDMetadata)
	return failure
}

// failureOfFrame returns the error that an error frame means.
func failureOfFrame(message map[string]json.RawMessage) *Error {
	told := toldBy(message)
	for name, value := range texts(objectIn(message["data"])) {
		told[name] = value
	}
	reason := reasonTold(told, 0)
	if reason == "" {
		reason = ReasonExecutionFailed
	}
	return failureTold(reason, told, "The stream failed.")
}

// toldBy returns the texts that a failure's document tells, by the names that they have in its "error".
func toldBy(document map[string]json.RawMessage) map[string]string {
	if inner := objectIn(document["error"]); inner != nil {
		return texts(inner)
	}
	told := texts(document)
	for _, name := range []string{"error", "detail", "message"} {
		if text := told[name]; text != "" {
			told["message"] = text
			return told
		}
		if fits, field, code := toldByFastAPI(document[name]); fits != "" {
			told["message"], told["field"], told["code"] = fits, field, code
			return told
		}
	}
	return told
}

// toldByFastAPI returns what the framework of published servers tells of a body that does not fit.
func toldByFastAPI(detail json.RawMessage) (message, field, code string) {
	var problems []struct {
		Loc []any
		Msg string
	}
	if json.Unmarshal(detail, &problems) != nil {
		return "", "", ""
	}
	var sentences []string
	for _, problem := range problems {
		var place []string
		for _, step := range problem.Loc[min(1, len(problem.Loc)):] {
			place = append(place, fmt.Sprint(step))
		}
		if field == "" {
			field = strings.Join(place, ".")
		}
		sentences = append(sentences, fmt.Sprintf("`%s`: %s.", strings.Join(place, "."), problem.Msg))
	}
	return strings.Join(sentences, " "), field, string(CodeValidationError)
}

func texts(document map[string]json.RawMessage) map[string]string {
	found := map[string]string{}
	for name := range document {
		if text := textIn(document, name); text != "" {
			found[name] = text
		}
	}
	return found
}

// reasonTold returns the reason that was named, or that a documented text, a code or a status stands for; "" for none.
func reasonTold(told map[string]string, status int) Reason {
	if named := Reason(told["reason"]); isKnown(named) {
		return named
	}
	code, message := Code(told["code"]), told["message"]
	for _, text := range documentedTexts {
		if text.pattern.MatchString(message) && (code == "" || rowOf(text.reason).code == code) {
			return text.reason
		}
	}
	first := Reason("")
	for _, row := range table {
		if row.code == code && row.http == status {
			return row.reason
		}
		if row.code == code && first == "" {
			first = row.reason
		}
	}
	says := message != "" || code != ""
	switch {
	case first != "":
		return first
	case status == http.StatusOK && says:
		return ReasonExecutionFailed
	case status == http.StatusOK, status == 0:
		return ""
	case !says && (status == 400 || status == 404 || status == 500):
		return ""
	}
	if shared, ok := sharedStatuses[status]; ok {
		return shared
	}
	for _, row := range table {
		if row.http == status {
			return row.reason
		}
	}
	return ""
}

func failureTold(reason Reason, told map[string]string, otherwise string) *Error {
	failure := &Error{
		Reason: reason, Message: told["message"], Suggestion: told["suggestion"], Details: told["details"],
	}
	switch {
	case failure.Message == "":
		failure.Message = otherwise
	case failure.Message == "Not Found":
		// What a server says of a path that it does not have: the agent's id is the only part of ours that may be unknown.
		failure.Message = "Agent not found"
	}
	switch reason {
	case ReasonExecutionFailed:
		// The exception's own text, as gRPC tells it: what stands before it is for clients that know texts alone.
		for _, text := range documentedTexts {
			if place := text.pattern.FindStringIndex(failure.Message); text.reason == reason && place != nil {
				failure.Message = failure.Message[place[1]:]
				break
			}
		}
	case ReasonAuthentication:
		// A server's own advice is for those who write their HTTP requests themselves.
		failure.Suggestion = "Give the key with WithAPIKey, or set " + apiKeyVariable + "."
	}
	if field := told["field"]; field != "" {
		failure.Violations = []Violation{{Field: field, Description: failure.Message}}
	}
	return failure
}

// notOurHTTP returns what it means that an answer is nothing that a RunAgent server says.
func notOurHTTP(at address, details string) *Error {
	return &Error{
		Reason:     ReasonConnectionError,
		Message:    "What answers at " + at.String() + " is not a RunAgent server.",
		Suggestion: "Check the address; `runagent serve` prints it.",
		Details:    details,
	}
}
