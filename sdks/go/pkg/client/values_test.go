package client

import (
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	runagentv1 "github.com/runagent-dev/runagent-go/gen/runagent/v1"
)

func TestArgumentsTravelByTheDocumentedRules(t *testing.T) {
	type role string
	type point struct {
		X int     `json:"x"`
		Y float64 `json:"y"`
	}
	huge := new(big.Int).Exp(big.NewInt(10), big.NewInt(40), nil)
	for _, c := range []struct {
		value  any
		wanted string
	}{
		{nil, `json null`},
		{true, `json true`},
		{1, `json 1`},
		{uint64(math.MaxUint64), `json 18446744073709551615`},
		{1.0, `json 1.0`},
		{float32(0.1), `json 0.1`},
		{math.Copysign(0, -1), `json -0.0`},
		{1e300, `json 1e+300`},
		{math.NaN(), `json null`},
		{math.Inf(-1), `text -inf`},
		{[]any{math.Inf(1)}, `json ["inf"]`},
		{huge, `json 1` + strings.Repeat("0", 40)},
		{json.Number("1.50"), `json 1.50`},
		{json.RawMessage(`{"a":1}`), `json {"a":1}`},
		{"text", `text text`},
		{role("admin"), `text admin`},
		{[]byte{0, 255}, "binary \x00\xff"},
		{[][]byte{{0, 255}}, `json ["AP8="]`},
		{[]string{"a"}, `json ["a"]`},
		{[2]int{1, 2}, `json [1,2]`},
		{map[int]bool{2: true, 10: false}, `json {"10":false,"2":true}`},
		{map[string]any{"b": 1, "a": 1.0}, `json {"a":1.0,"b":1}`},
		{point{1, 2.5}, `json {"x":1,"y":2.5}`},
		{&point{1, 2.5}, `json {"x":1,"y":2.5}`},
		{(*point)(nil), `json null`},
		{time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC), `text 2024-02-29T12:00:00Z`},
	} {
		payload, failure := payloadOf(c.value, "value")
		if failure != nil {
			t.Errorf("%#v: %v", c.value, failure)
			continue
		}
		if came := described(payload); came != c.wanted {
			t.Errorf("%#v travels as %s, not as %s.", c.value, came, c.wanted)
		}
	}
}

func described(payload *runagentv1.Payload) string {
	switch kind := payload.Kind.(type) {
	case *runagentv1.Payload_Text:
		return "text " + kind.Text
	case *runagentv1.Payload_Json:
		return "json " + kind.Json
	}
	return "binary " + string(payload.GetBinary())
}

func TestAValueThatHoldsItselfIsRefused(t *testing.T) {
	loop := map[string]any{}
	loop["self"] = loop
	if _, failure := payloadOf(loop, "value"); failure == nil || failure.Field() != "value" {
		t.Fatalf("It was answered by %v.", failure)
	}
}

func TestAPayloadOfNoKnownKindIsNil(t *testing.T) {
	if value, failure := valueOf(&runagentv1.Payload{}); value != nil || failure != nil {
		t.Fatalf("It is %v, %v.", value, failure)
	}
}

func TestWhatIsNoJSONIsTheServersFault(t *testing.T) {
	for _, document := range []string{"", "{", "1 2", "NaN", "1e999"} {
		if _, failure := valueOfJSON(document); failure == nil || failure.Reason != ReasonInternal {
			t.Errorf("%q was answered by %v.", document, failure)
		}
	}
}

func FuzzAnyJSONTravelsToAndFro(f *testing.F) {
	for _, document := range []string{`null`, `[1,1.0,-0,1e5]`, `{"a":"\ud83d\ude42","b":[[]]}`, `12345678901234567890`} {
		f.Add(document)
	}
	f.Fuzz(func(t *testing.T, document string) {
		value, failure := valueOfJSON(document)
		if failure != nil {
			return
		}
		payload, failure := payloadOf(value, "value")
		if failure != nil {
			return
		}
		if again, failure := valueOf(payload); failure != nil || !reflect.DeepEqual(again, value) {
			t.Fatalf("%#v came back as %#v, %v.", value, again, failure)
		}
	})
}
