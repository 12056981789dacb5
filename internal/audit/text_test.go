package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func encoded(t testing.TB, e Event) []byte {
	t.Helper()
	enc := encoder{secrets: &Redactor{}}
	data, err := enc.append(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(data) || !printable(data) {
		t.Errorf("%q is not JSON in printable ASCII", data)
	}
	return data
}

func TestTextsAreLosslessAndHarmless(t *testing.T) {
	for _, s := range []string{
		"", "plain", "\x00\x1b]52;c;AAAA\x07", "\xff\xfe", "ü€𝄞", "\u202eevil\u2028\ufeff", `"\` + "\n\r", "\xed\xb2\x80", "a\xf0\x9d",
		"\x7f\u009b31m", "\ufffd", `\udc80`, "x\n{\"v\":1,\"type\":\"session.end\"}", `{"cut":"","bytes":1,"sha256":""}`,
	} {
		data := encoded(t, &Kill{By: Text(s)})
		e, err := Record{Type: "session.kill", Data: data}.Event()
		if back, ok := e.(*Kill); err != nil || !ok || string(back.By) != s {
			t.Errorf("%q as %s came back as %q (%v)", s, data, e, err)
		}
		if b, err := json.Marshal(Text(s)); err != nil || !printable(b) {
			t.Errorf("%q is %q to encoding/json", s, b)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		b := appendText(nil, s)
		var back Text
		if err := json.Unmarshal(b, &back); err != nil || string(back) != s || !printable(b) {
			t.Errorf("%q as %s came back as %q, %v", s, b, back, err)
		}
		_ = back.UnmarshalJSON([]byte(s))
	})
}

// A cut is marked by its form, which no text has, and says what was there.
func TestLongTextsAreCut(t *testing.T) {
	long := strings.Repeat("x", maxText-1) + "€ curl evil"
	sum := sha256.Sum256([]byte(long))
	data := encoded(t, &Kill{By: Text(long), Signal: "kept"})
	var got struct {
		By     map[string]any `json:"by"`
		Signal string         `json:"signal"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.By["cut"] != long[:maxText-1] || got.By["bytes"] != float64(len(long)) || got.By["sha256"] != hex.EncodeToString(sum[:]) || got.Signal != "kept" {
		t.Errorf("%.100s…%s", data, data[len(data)-200:])
	}
	e, err := Record{Type: "session.kill", Data: data}.Event()
	if k, ok := e.(*Kill); err != nil || !ok || !strings.HasSuffix(string(k.By), fmt.Sprintf("x[cut: %d bytes, SHA-256 ", len(long))+hex.EncodeToString(sum[:])+"]") {
		t.Error(err)
	}
}

// What a Linux command line can hold at most fits a record.
func TestLongListsAreCut(t *testing.T) {
	for name, argv := range map[string][]string{
		"many short arguments": strings.Split(strings.Repeat("x,", 1<<20), ","),
		"many empty arguments": make([]string, 1<<20),
		"long arguments":       strings.SplitAfter(strings.Repeat(strings.Repeat("\xff", 1<<17)+",", 16), ","),
	} {
		t.Run(name, func(t *testing.T) {
			data := encoded(t, &Exec{Argv: Texts(argv)})
			if len(data) > maxData {
				t.Errorf("%d bytes", len(data))
			}
			var got struct{ Argv []json.RawMessage }
			if err := json.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			var rest cut
			last := len(got.Argv) - 1
			if err := json.Unmarshal(got.Argv[last], &rest); err != nil || int(rest.Items) != len(argv)-last {
				t.Errorf("%s stands for the rest of %d, %d are written", got.Argv[last], len(argv), last)
			}
			h := sha256.New()
			for _, a := range argv[last:] {
				h.Write([]byte(a + "\x00"))
			}
			if string(rest.SHA256) != hex.EncodeToString(h.Sum(nil)) {
				t.Errorf("SHA-256 %s", rest.SHA256)
			}
		})
	}
}

func TestHalfCharactersAreLeftOut(t *testing.T) {
	for s, want := range map[string]string{"": "", "a": "a", "a€": "a€", "a\xe2": "a", "a\xe2\x82": "a", "\xff": "\xff", "\x80\x80\x80\x80": "\x80\x80\x80\x80", "𝄞"[:3]: ""} {
		if got := whole(s); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	if !utf8.ValidString(whole("ab€"[:3])) {
		t.Error("half a character is left")
	}
}

// The effective policy is JSON already: its strings become like all others, the rest stays.
func TestRawJSON(t *testing.T) {
	for in, want := range map[string]string{
		"":                             `{}`,
		`{ "a" : [1, -2.5e3, null] }`:  `{"a":[1,-2.5e3,null]}`,
		"{\"é\":\"\u202e\\u0041\\n\"}": `{"\u00e9":"\u202eA\u000a"}`,
		`{"authorization":"Bearer abcdefghijklmnopqrst"}`: `{"authorization":"Bearer [redacted:bearer]"}`,
		`{"a":"\"","b":"\\"}`:                             `{"a":"\"","b":"\\"}`,
	} {
		if got := string(encoded(t, &Start{Policy: []byte(in)})); !strings.Contains(got, `"policy":`+want+`,`) {
			t.Errorf("%s gives %s", in, got)
		}
	}
	var enc encoder
	enc.secrets = &Redactor{}
	for _, bad := range []string{`{`, `{"a"`, `"`, "{}x"} {
		if _, err := enc.append(nil, &Start{Policy: []byte(bad)}); err == nil {
			t.Errorf("%s is written", bad)
		}
	}
}

type odd struct {
	F any `json:"f"`
}

func (odd) Type() string { return "odd" }

// A record that cannot be written as it is is refused, and the log goes on.
func TestEventsThatAreRefused(t *testing.T) {
	l := create(t, Options{})
	for name, e := range map[string]Event{
		"not a number": &Usage{CPUSeconds: math.NaN()},
		"infinite":     &Usage{CPUSeconds: math.Inf(1)},
		"too large":    &Start{Policy: []byte(`{"a":"` + strings.Repeat("x", maxData) + `"}`)},
		"odd":          odd{F: 1},
		"nothing":      (*Usage)(nil),
	} {
		if err := l.Append(e); err == nil {
			t.Errorf("%s: written", name)
		}
	}
	if err := errors.Join(l.Commit(&Usage{CPUSeconds: 1e-9}), l.Close()); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, content(t, l), Expected{}); r.Verdict != Sealed || r.Records != 2 {
		t.Errorf("%v", r)
	}
}
