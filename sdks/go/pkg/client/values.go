package client

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
)

// What JSON of ours may hold at most, in docs/wire.md, values.
const (
	maxDepth         = 100
	maxIntegerDigits = 4300
)

// payloadOf returns the message of an argument. An error names the argument.
func payloadOf(value any, name string) (*runagentv1.Payload, *Error) {
	if raw, ok := value.([]byte); ok {
		return &runagentv1.Payload{Kind: &runagentv1.Payload_Binary{Binary: raw}}, nil
	}
	var written jsonWriter
	if err := written.value(value, 0); err != nil {
		return nil, invalidArgument(name, err.Error())
	}
	return payloadOfJSON(written.buffer.Bytes()), nil
}

// payloadOfJSON returns a value's message: a string travels as itself, not as JSON.
func payloadOfJSON(document []byte) *runagentv1.Payload {
	var text string
	if document[0] == '"' && json.Unmarshal(document, &text) == nil {
		return &runagentv1.Payload{Kind: &runagentv1.Payload_Text{Text: text}}
	}
	return &runagentv1.Payload{Kind: &runagentv1.Payload_Json{Json: string(document)}}
}

// valueOf returns the value of a result or a chunk. One of no kind, or of a kind of a later contract, is nil.
func valueOf(payload *runagentv1.Payload) (any, *Error) {
	switch kind := payload.GetKind().(type) {
	case *runagentv1.Payload_Text:
		return kind.Text, nil
	case *runagentv1.Payload_Binary:
		return kind.Binary, nil
	case *runagentv1.Payload_Json:
		return valueOfJSON(kind.Json)
	}
	return nil, nil
}

func valueOfJSON(document string) (any, *Error) {
	decoder := json.NewDecoder(strings.NewReader(document))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	if err == nil && decoder.More() {
		err = fmt.Errorf("there is more behind the value")
	}
	if err == nil {
		value, err = exact(value)
	}
	if err != nil {
		return nil, &Error{
			Reason: ReasonInternal, Message: "The server sent a value that is no JSON.", Details: err.Error(), cause: err,
		}
	}
	return value, nil
}

// exact puts Go's numbers in the place of texts of numbers, in place.
func exact(value any) (any, error) {
	var err error
	switch value := value.(type) {
	case json.Number:
		return number(string(value))
	case []any:
		for i := range value {
			if value[i], err = exact(value[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for key := range value {
			if value[key], err = exact(value[key]); err != nil {
				return nil, err
			}
		}
	}
	return value, nil
}

func number(text string) (any, error) {
	if strings.ContainsAny(text, ".eE") {
		return strconv.ParseFloat(text, 64)
	}
	if small, err := strconv.ParseInt(text, 10, 64); err == nil {
		return small, nil
	}
	if large, ok := new(big.Int).SetString(text, 10); ok && len(text) <= maxIntegerDigits+1 {
		return large, nil
	}
	return nil, fmt.Errorf("%.40s is no number", text)
}

// A jsonWriter writes arguments. encoding/json would write float64(1) as the integer 1, replace what is no UTF-8
// without a word, and refuse what is not a number.
type jsonWriter struct {
	buffer bytes.Buffer
}

func (w *jsonWriter) value(value any, depth int) error {
	switch value := value.(type) {
	case nil:
		w.buffer.WriteString("null")
		return nil
	case string:
		return w.text(value)
	case json.Number:
		return w.number(string(value))
	case *big.Int:
		if value == nil {
			w.buffer.WriteString("null")
			return nil
		}
		return w.number(value.String())
	case big.Int:
		return w.number(value.String())
	case json.Marshaler, encoding.TextMarshaler:
		return w.marshalled(value)
	}
	return w.reflected(reflect.ValueOf(value), depth)
}

func (w *jsonWriter) reflected(value reflect.Value, depth int) error {
	switch value.Kind() {
	case reflect.Bool:
		w.buffer.WriteString(strconv.FormatBool(value.Bool()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.buffer.WriteString(strconv.FormatInt(value.Int(), 10))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		w.buffer.WriteString(strconv.FormatUint(value.Uint(), 10))
	case reflect.Float32:
		return w.float(value.Float(), 32)
	case reflect.Float64:
		return w.float(value.Float(), 64)
	case reflect.String:
		return w.text(value.String())
	case reflect.Pointer, reflect.Interface:
		if value.IsNil() {
			w.buffer.WriteString("null")
			return nil
		}
		// A pointer is a level, too, so that one that leads to itself comes to an end.
		return w.inside(depth, func(depth int) error { return w.value(value.Elem().Interface(), depth) })
	case reflect.Slice, reflect.Array:
		return w.list(value, depth)
	case reflect.Map:
		return w.inside(depth, func(depth int) error { return w.object(value, depth) })
	case reflect.Struct:
		return w.marshalled(value.Interface())
	default:
		return sentence("A %s has no form in JSON.", value.Type())
	}
	return nil
}

func (w *jsonWriter) list(list reflect.Value, depth int) error {
	switch {
	case list.Kind() == reflect.Slice && list.IsNil():
		w.buffer.WriteString("null")
		return nil
	case list.Kind() == reflect.Slice && list.Type().Elem().Kind() == reflect.Uint8:
		return w.text(base64.StdEncoding.EncodeToString(list.Bytes()))
	}
	return w.inside(depth, func(depth int) error {
		w.buffer.WriteByte('[')
		for i := range list.Len() {
			if i > 0 {
				w.buffer.WriteByte(',')
			}
			if err := w.value(list.Index(i).Interface(), depth); err != nil {
				return err
			}
		}
		w.buffer.WriteByte(']')
		return nil
	})
}

func (w *jsonWriter) object(object reflect.Value, depth int) error {
	if object.IsNil() {
		w.buffer.WriteString("null")
		return nil
	}
	items := make(map[string]reflect.Value, object.Len())
	names := make([]string, 0, object.Len())
	for entries := object.MapRange(); entries.Next(); {
		name, err := nameOf(entries.Key())
		if err != nil {
			return err
		}
		items[name] = entries.Value()
		names = append(names, name)
	}
	// In an order that is the same for a call that is repeated.
	slices.Sort(names)
	w.buffer.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			w.buffer.WriteByte(',')
		}
		if err := w.text(name); err != nil {
			return err
		}
		w.buffer.WriteByte(':')
		if err := w.value(items[name].Interface(), depth); err != nil {
			return err
		}
	}
	w.buffer.WriteByte('}')
	return nil
}

func nameOf(key reflect.Value) (string, error) {
	if marshaler, ok := key.Interface().(encoding.TextMarshaler); ok && key.Kind() != reflect.String {
		text, err := marshaler.MarshalText()
		return string(text), err
	}
	switch key.Kind() {
	case reflect.String:
		return key.String(), nil
	case reflect.Bool:
		return strconv.FormatBool(key.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(key.Int(), 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return strconv.FormatUint(key.Uint(), 10), nil
	}
	return "", sentence("A map's key of type %s has no form in JSON.", key.Type())
}

func (w *jsonWriter) inside(depth int, write func(depth int) error) error {
	if depth == maxDepth {
		return sentence("The value nests deeper than %d levels.", maxDepth)
	}
	return write(depth + 1)
}

func (w *jsonWriter) text(text string) error {
	if !utf8.ValidString(text) {
		return sentence("The value holds a string that is not UTF-8.")
	}
	return w.marshalled(text)
}

func (w *jsonWriter) number(text string) error {
	if !json.Valid([]byte(text)) || text == "" || !strings.ContainsAny(text[:1], "-0123456789") {
		return sentence("%.40q is not a number.", text)
	}
	if !strings.ContainsAny(text, ".eE") && len(strings.TrimPrefix(text, "-")) > maxIntegerDigits {
		return sentence("The value holds an integer of more than 4,300 digits.")
	}
	w.buffer.WriteString(text)
	return nil
}

func (w *jsonWriter) float(number float64, bits int) error {
	switch {
	case math.IsNaN(number):
		w.buffer.WriteString("null")
		return nil
	case math.IsInf(number, 0):
		return w.text(strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(number, 'g', -1, bits)), "+"))
	}
	text := strconv.FormatFloat(number, 'g', -1, bits)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	w.buffer.WriteString(text)
	return nil
}

// marshalled writes what encoding/json makes of a value.
func (w *jsonWriter) marshalled(value any) error {
	encoder := json.NewEncoder(&w.buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return sentence("The value has no form in JSON (%v).", err)
	}
	// An Encoder ends what it writes with a new line.
	w.buffer.Truncate(w.buffer.Len() - 1)
	return nil
}

// A sentence is an error whose text is shown to people as it is.
func sentence(format string, values ...any) error {
	return fmt.Errorf(format, values...)
}
