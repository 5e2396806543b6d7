// Command conformance makes the calls of the conformance kit with the Go client: one call a line on standard input, one
// outcome a line on standard output.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/runagent-dev/runagent-go/pkg/client"
)

// A call is a line that the kit writes.
type call struct {
	ID               string           `json:"id"`
	Method           string           `json:"method"`
	Host             string           `json:"host"`
	Port             int              `json:"port"`
	Transport        client.Transport `json:"transport"`
	AgentID          string           `json:"agent_id"`
	EntrypointTag    string           `json:"entrypoint_tag"`
	Args             []value          `json:"args"`
	Kwargs           map[string]value `json:"kwargs"`
	Keywords         []keyword        `json:"keywords"`
	APIKey           string           `json:"api_key"`
	TimeoutSeconds   float64          `json:"timeout_seconds"`
	RetrySeconds     *float64         `json:"retry_seconds"`
	RequestID        string           `json:"request_id"`
	UserID           string           `json:"user_id"`
	PersistentMemory bool             `json:"persistent_memory"`
	OnDisconnect     string           `json:"on_disconnect"`
	Take             *int             `json:"take"`
	InvocationID     string           `json:"invocation_id"`
	AfterSequence    int64            `json:"after_sequence"`
}

// A keyword is a named argument: an array of its name and its value.
type keyword struct {
	name  string
	value value
}

func (k *keyword) UnmarshalJSON(document []byte) error {
	return json.Unmarshal(document, &[]any{&k.name, &k.value})
}

// A value is one of an argument, a result or a chunk: it has one of these.
type value struct {
	Text   *string  `json:"text,omitempty"`
	JSON   *string  `json:"json,omitempty"`
	Binary *[]byte  `json:"binary,omitempty"`
	UTF16  []uint16 `json:"utf16,omitempty"`
	Number string   `json:"number,omitempty"`
}

// An outcome is a line that is answered with.
type outcome struct {
	ID           string   `json:"id"`
	Result       *value   `json:"result,omitempty"`
	Chunks       *[]value `json:"chunks,omitempty"`
	Ended        string   `json:"ended,omitempty"`
	Error        *failure `json:"error,omitempty"`
	InvocationID string   `json:"invocation_id,omitempty"`
}

type failure struct {
	Code       string   `json:"code"`
	Reason     string   `json:"reason"`
	Message    string   `json:"message"`
	Suggestion *string  `json:"suggestion"`
	Fields     []string `json:"fields"`
	RetryAfter *float64 `json:"retry_after"`
}

func main() {
	in, out := bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			writeLine(out, answer(line))
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
}

func writeLine(out *bufio.Writer, answered outcome) {
	line, err := json.Marshal(answered)
	if err != nil {
		line, _ = json.Marshal(outcome{ID: answered.ID, Error: crash(err)})
	}
	_, _ = out.Write(append(ascii(line), '\n'))
	_ = out.Flush()
}

// ascii returns a line of JSON with its other characters escaped.
func ascii(line []byte) []byte {
	escaped := make([]byte, 0, len(line))
	for _, r := range string(line) {
		switch {
		case r < utf8.RuneSelf:
			escaped = append(escaped, byte(r))
		case r > math.MaxUint16:
			high, low := utf16.EncodeRune(r)
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, high, low)
		default:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		}
	}
	return escaped
}

func answer(line []byte) (answered outcome) {
	var c call
	if err := json.Unmarshal(line, &c); err != nil {
		return outcome{ID: c.ID, Error: crash(err)}
	}
	defer func() {
		if trouble := recover(); trouble != nil {
			answered = outcome{Error: crash(fmt.Errorf("%v", trouble))}
		}
		answered.ID = c.ID
	}()
	ctx := context.Background()
	arguments, err := argumentsOf(c)
	if err != nil {
		return outcome{Error: crash(err)}
	}
	made, err := clientOf(c)
	if err != nil {
		return failed(c, err)
	}
	defer func() { _ = made.Close() }()
	switch {
	case c.Method == "cancel":
		if err := made.Cancel(ctx, c.InvocationID); err != nil {
			return outcome{Error: failureOf(err)}
		}
		null := "null"
		return outcome{Result: &value{JSON: &null}}
	case c.Method == "resume":
		stream, err := made.Resume(ctx, c.InvocationID, c.AfterSequence)
		return streamed(ctx, c, stream, err)
	case c.Method == "run_stream" || made.IsStreaming():
		stream, err := made.RunStreamCall(ctx, arguments)
		return streamed(ctx, c, stream, err)
	}
	result, err := made.RunCall(ctx, arguments)
	if err != nil {
		return failed(c, err)
	}
	written := written(result)
	return outcome{Result: &written}
}

func clientOf(c call) (*client.Client, error) {
	options := []client.Option{
		client.WithAddress(c.Host, c.Port),
		client.WithTransport(c.Transport),
		client.WithTimeout(time.Duration(c.TimeoutSeconds * float64(time.Second))),
		client.WithUserID(c.UserID),
		client.WithAPIKey(c.APIKey),
	}
	if c.RetrySeconds != nil {
		options = append(options, client.WithRetryWindow(time.Duration(*c.RetrySeconds*float64(time.Second))))
	}
	if c.OnDisconnect != "" {
		options = append(options, client.WithOnDisconnect(client.OnDisconnect(c.OnDisconnect)))
	}
	if c.PersistentMemory {
		options = append(options, client.WithPersistentMemory())
	}
	return client.New(c.AgentID, c.EntrypointTag, options...)
}

func streamed(ctx context.Context, c call, stream *client.Stream, err error) outcome {
	chunks := []value{}
	answered := outcome{Chunks: &chunks, Ended: "completed"}
	if err != nil {
		answered.Ended, answered.Error = "failed", failureOf(err)
		return answered
	}
	for {
		if c.Take != nil && len(chunks) >= *c.Take {
			answered.Ended = "left"
			break
		}
		chunk, more, err := stream.Next(ctx)
		if err != nil {
			answered.Ended, answered.Error = "failed", failureOf(err)
			answered.InvocationID = invocationOf(err)
			break
		}
		if !more {
			break
		}
		chunks = append(chunks, written(chunk))
	}
	_ = stream.Close()
	if id := stream.InvocationID(); id != "" {
		answered.InvocationID = id
	}
	return answered
}

func failed(c call, err error) outcome {
	answered := outcome{Error: failureOf(err), InvocationID: invocationOf(err)}
	if c.Method == "run_stream" || c.Method == "resume" {
		answered.Chunks, answered.Ended = &[]value{}, "failed"
	}
	return answered
}

func argumentsOf(c call) (client.Call, error) {
	arguments := client.Call{RequestID: c.RequestID, Kwargs: map[string]any{}}
	for _, argument := range c.Args {
		read, err := argument.read()
		if err != nil {
			return arguments, err
		}
		arguments.Args = append(arguments.Args, read)
	}
	for name, argument := range c.Kwargs {
		read, err := argument.read()
		if err != nil {
			return arguments, err
		}
		arguments.Kwargs[name] = read
	}
	for _, given := range c.Keywords {
		read, err := given.value.read()
		if err != nil {
			return arguments, err
		}
		arguments.Keywords = append(arguments.Keywords, client.Keyword{Name: given.name, Value: read})
	}
	return arguments, nil
}

// read returns what a Go programmer would write for the value.
func (v value) read() (any, error) {
	switch {
	case v.Text != nil:
		return *v.Text, nil
	case v.Binary != nil:
		return *v.Binary, nil
	case v.UTF16 != nil:
		return textOfUnits(v.UTF16), nil
	case v.Number != "":
		return map[string]float64{"NaN": math.NaN(), "Infinity": math.Inf(1), "-Infinity": math.Inf(-1)}[v.Number], nil
	case v.JSON == nil:
		return nil, errors.New("an argument has none of text, json, binary, utf16 and number")
	}
	decoder := json.NewDecoder(strings.NewReader(*v.JSON))
	decoder.UseNumber()
	var read any
	if err := decoder.Decode(&read); err != nil {
		return nil, err
	}
	return withNumbers(read)
}

// textOfUnits returns the string of UTF-16 code units. A lone surrogate is no text; the bytes that it would have as a
// character are none, either, which is how a Go string may hold such a thing.
func textOfUnits(units []uint16) string {
	var text []byte
	for i := 0; i < len(units); i++ {
		unit := rune(units[i])
		if i+1 < len(units) {
			if pair := utf16.DecodeRune(unit, rune(units[i+1])); pair != utf8.RuneError {
				text = utf8.AppendRune(text, pair)
				i++
				continue
			}
		}
		if utf16.IsSurrogate(unit) {
			text = append(text, 0xe0|byte(unit>>12), 0x80|byte(unit>>6&0x3f), 0x80|byte(unit&0x3f))
			continue
		}
		text = utf8.AppendRune(text, unit)
	}
	return string(text)
}

func withNumbers(read any) (any, error) {
	var err error
	switch read := read.(type) {
	case json.Number:
		if strings.ContainsAny(string(read), ".eE") {
			return read.Float64()
		}
		if small, err := read.Int64(); err == nil {
			return small, nil
		}
		if large, ok := new(big.Int).SetString(string(read), 10); ok {
			return large, nil
		}
		return nil, fmt.Errorf("%.40s is no number", read)
	case []any:
		for i := range read {
			if read[i], err = withNumbers(read[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range read {
			if read[name], err = withNumbers(read[name]); err != nil {
				return nil, err
			}
		}
	}
	return read, nil
}

// written returns what the client gave, as the kit reads it.
func written(given any) value {
	switch given := given.(type) {
	case string:
		return value{Text: &given}
	case []byte:
		return value{Binary: &given}
	}
	text := textOf(given)
	return value{JSON: &text}
}

func textOf(given any) string {
	switch given := given.(type) {
	case int64, *big.Int:
		return fmt.Sprint(given)
	case float64:
		text, _ := json.Marshal(given)
		if !bytes.ContainsAny(text, ".e") {
			return string(text) + ".0"
		}
		return string(text)
	case []any:
		items := make([]string, len(given))
		for i, item := range given {
			items[i] = textOf(item)
		}
		return "[" + strings.Join(items, ",") + "]"
	case map[string]any:
		items := make([]string, 0, len(given))
		for name, item := range given {
			items = append(items, textOf(name)+":"+textOf(item))
		}
		return "{" + strings.Join(items, ",") + "}"
	}
	text, err := json.Marshal(given)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func failureOf(err error) *failure {
	var told *client.Error
	if !errors.As(err, &told) {
		return crash(err)
	}
	f := &failure{Code: string(told.Code()), Reason: string(told.Reason), Message: told.Message, Fields: []string{}}
	if told.Suggestion != "" {
		f.Suggestion = &told.Suggestion
	}
	for _, violation := range told.Violations {
		f.Fields = append(f.Fields, violation.Field)
	}
	if told.RetryAfter > 0 {
		seconds := told.RetryAfter.Seconds()
		f.RetryAfter = &seconds
	}
	return f
}

func crash(err error) *failure {
	return &failure{Code: "CRASH", Reason: "CRASH", Message: err.Error(), Fields: []string{}}
}

func invocationOf(err error) string {
	var told *client.Error
	if errors.As(err, &told) {
		return told.InvocationID
	}
	return ""
}
