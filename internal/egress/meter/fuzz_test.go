package meter

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// What is accepted means the same to encoding/json, which takes the last of two names in any case, and to a reader that
// takes the first, in the exact case only.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","max_tokens":10,"stream":true,"messages":[{"cache_control":{"ttl":"1h"}}]}`,
		`{"model":"m","Model":"n"}`, `{"max_tokens":1,"max_tokens":2}`, `{"m\u006fdel":"m","n":3}`, "{\"\u017ftream\":true}",
		`[]`, ` {"a":[[{}]],"":{"":1}} `, `{"model":null,"max_tokens":null}`, `{"a.model":"x","model":"y"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, api := range []API{Messages, Responses, Chat} {
			got, err := ParseRequest(api, body)
			if err != nil {
				continue
			}
			var last struct {
				Model  string
				Stream bool
				Max    int64 `json:"max_tokens"`
			}
			var top map[string]json.RawMessage
			if json.Unmarshal(body, &top) != nil || json.Unmarshal(body, &last) != nil && api == Messages {
				t.Fatalf("accepted: %q", body)
			}
			first := firstOnes(t, body)
			if utf8.Valid(body) && last.Model != got.Model || last.Stream != got.Stream || api == Messages && last.Max != got.MaxOutput {
				t.Fatalf("%+v, but encoding/json has %+v: %q", got, last, body)
			}
			if model, ok := first["model"].(string); utf8.Valid(body) && ok && model != got.Model {
				t.Fatalf("%+v, but the first model is %q: %q", got, model, body)
			}
			if n, ok := first["max_tokens"].(json.Number); ok && api == Messages && n.String() != strconv.FormatInt(got.MaxOutput, 10) && got.MaxOutput != 0 {
				t.Fatalf("%+v, but the first max_tokens is %v: %q", got, n, body)
			}
		}
	})
}

// firstOnes returns the first scalar of each name at the top of an object.
func firstOnes(t *testing.T, body []byte) map[string]any {
	t.Helper()
	first := map[string]any{}
	for _, found := range tokens(body) {
		if _, ok := first[found.path]; !ok && found.kind != kindKey {
			first[found.path] = found.value
		}
	}
	return first
}

// A thing is what stands somewhere in a JSON text.
type thing struct {
	path  string
	kind  kind
	value any
}

// tokens reads a JSON text the simple way: the whole of it, with encoding/json.
func tokens(body []byte) (things []thing) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var walk func(path []string, depth int) bool
	walk = func(path []string, depth int) bool {
		at := strings.Join(path, ".")
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		delimiter, ok := token.(json.Delim)
		if !ok {
			k := kindWord
			if _, ok := token.(string); ok {
				k = kindString
			}
			things = append(things, thing{at, k, token})
			return true
		}
		things = append(things, thing{at, kindOpen, nil})
		for decoder.More() {
			name := "[]"
			if delimiter == '{' {
				key, err := decoder.Token()
				if err != nil {
					return false
				}
				name = strings.ReplaceAll(key.(string), ".", "\x00")
			}
			if !walk(append(path[:len(path):len(path)], name), depth+1) {
				return false
			}
		}
		_, err = decoder.Token()
		return err == nil
	}
	walk(nil, 0)
	return things
}

// The scanner finds in a JSON text what encoding/json finds.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{messageStart, responseEnd, chatEnd, `[1,[2,{"a":null}],"\u00e4\"\\",true]`, ` {"a.b":{"":[[]]}} `, `5`, `"x"`} {
		f.Add([]byte(seed), uint8(1))
	}
	f.Fuzz(func(t *testing.T, all []byte, piece uint8) {
		body := all
		var got []thing
		s := scanner{}
		s.tell = func(path []byte, k kind, text []byte) {
			var value any
			switch string(text) {
			case "true":
				value = true
			case "false":
				value = false
			case "null":
			default:
				value = json.Number(text)
			}
			switch k {
			case kindString:
				value = string(text)
			case kindOpen:
				value = nil
			case kindKey:
				return
			}
			got = append(got, thing{string(path), k, value})
		}
		for len(body) > 0 && piece > 0 {
			n := min(len(body), int(piece))
			s.write(body[:n])
			body = body[n:]
		}
		s.write(body)
		s.end()
		body = all
		if !json.Valid(body) || !utf8.Valid(body) || len(body) > maxText || bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > maxPath {
			return // beyond what is promised
		}
		if diff := cmp.Diff(tokens(body), got, cmp.AllowUnexported(thing{})); diff != "" || !s.done {
			t.Fatalf("%q, complete: %v: %s", body, s.done, diff)
		}
	})
}

// datas reads an event stream the simple way: the whole of it, by the words of the specification, but that an event which
// the end of the stream cuts off counts.
func datas(body string) (events []string) {
	body = strings.TrimPrefix(body, bom)
	body = strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\r", "\n")
	data := ""
	for line := range strings.SplitSeq(body+"\n\n", "\n") {
		if line == "" {
			if data != "" {
				events = append(events, strings.TrimSuffix(data, "\n"))
			}
			data = ""
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		if name == "data" {
			data += strings.TrimPrefix(value, " ") + "\n"
		}
	}
	return events
}

// A stream has the events that a second reading of it finds, and the usage is the same in whatever pieces it comes.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		stream(messageStart, messageText, messageDelta, messageStop), stream(responseStart, responseEnd), stream(chatText, chatEnd, "[DONE]"),
		"\xef\xbb\xbfdata: a\r\ndata\rdata:b\n\n:c\n\ndatax: d\n data: e\n\ndata:  f", "\xef\xbbdata: a", "data\n\ndata", "\r\n\r\ndata:\r\n\r\n",
		messageStart, `{"model":"m",` + responseUsage + `}`, "data: 1\r", "\xef\xbb\xbf\xef\xbb\xbfdata: a",
	} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, body []byte, piece uint8) {
		var got []string
		var data []byte
		s := eventStream{data: func(p []byte) { data = append(data, p...) }, end: func() { got, data = append(got, string(data)), nil }}
		s.write(body)
		s.finish()
		if diff := cmp.Diff(datas(string(body)), got); diff != "" {
			t.Fatalf("%q: %s", body, diff)
		}
		for _, api := range []API{Messages, Responses, Chat} {
			for _, kind := range []string{"text/event-stream", "application/json", ""} {
				whole := NewReader(api, kind)
				if n, err := io.Copy(whole, bytes.NewReader(body)); n != int64(len(body)) || err != nil {
					t.Fatal(errors.Join(err, io.ErrShortWrite))
				}
				want := whole.Result()
				if diff := cmp.Diff(want, read(api, kind, string(body), 1+int(piece))); diff != "" {
					t.Fatalf("%v %q in pieces of %d: %s", api, body, piece, diff)
				}
				u := want.Usage
				if min(u.Input, u.Output, u.CacheRead, u.CacheWrite, u.CacheWriteLong, u.WebSearches) < 0 || u.Tokens() < 0 || want.Complete && want.Estimated {
					t.Fatalf("%+v", want)
				}
			}
		}
	})
}
