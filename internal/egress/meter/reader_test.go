package meter

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// read gives the body to a Reader in pieces of random length up to the given one.
func read(api API, contentType, body string, piece int) Result {
	r := NewReader(api, contentType)
	random := rand.New(rand.NewPCG(1, uint64(piece)))
	for len(body) > 0 {
		n := min(len(body), 1+random.IntN(piece))
		r.Write([]byte(body[:n]))
		body = body[n:]
	}
	r.Result()
	r.Write([]byte("event: late\n"))
	return r.Result()
}

// stream writes events as Anthropic and OpenAI do.
func stream(events ...string) string {
	return "data: " + strings.Join(events, "\n\ndata: ") + "\n\n"
}

const (
	messageStart = `{"type":"message_start","message":{"id":"msg","type":"message","model":"claude-opus-4-8","usage":{"input_tokens":10,"cache_creation_input_tokens":70,"cache_read_input_tokens":300,"cache_creation":{"ephemeral_5m_input_tokens":50,"ephemeral_1h_input_tokens":20},"output_tokens":1}}}`
	messageText  = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"0123456789"}}`
	messageDelta = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":25}}`
	messageStop  = `{"type":"message_stop"}`

	responseUsage = `"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":60,"cache_write_tokens":30},"output_tokens":40,"output_tokens_details":{"reasoning_tokens":15},"total_tokens":140}`
	responseStart = `{"type":"response.created","response":{"model":"gpt-5","instructions":"a long text","error":null,"usage":null}}`
	responseText  = `{"type":"response.output_text.delta","delta":"01234567"}`
	responseEnd   = `{"type":"response.completed","response":{"model":"gpt-5-2025-08-07","error":null,"output":[{"type":"web_search_call"},{"type":"message","content":[{"type":"output_text"}]}],` + responseUsage + `}}`

	chatText  = `{"model":"gpt-4o","choices":[{"delta":{"content":"0123"}}],"usage":null}`
	chatUsage = `"usage":{"prompt_tokens":100,"prompt_tokens_details":{"cached_tokens":60},"completion_tokens":40,"completion_tokens_details":{"reasoning_tokens":15}}`
	chatEnd   = `{"model":"gpt-4o","choices":[],` + chatUsage + `}`
)

func TestReader(t *testing.T) {
	message := Usage{Input: 10, Output: 25, CacheRead: 300, CacheWrite: 50, CacheWriteLong: 20}
	response := Usage{Input: 10, Output: 40, CacheRead: 60, CacheWrite: 30, Reasoning: 15}
	searched := response
	searched.WebSearches = 1
	chat := Usage{Input: 40, Output: 40, CacheRead: 60, Reasoning: 15}
	said := func(model string, u Usage) Result { return Result{Model: model, Usage: u, Found: true, Complete: true} }
	cut := strings.TrimSuffix(messageDelta, "5}}")
	const sse, json = "text/event-stream; charset=utf-8", "application/json"

	for what, test := range map[string]struct {
		api        API
		kind, body string
		want       Result
	}{
		"a message": {Messages, json, `{"type":"message","model":"claude-opus-4-8","content":[{"type":"text","text":"\"usage\":{\"output_tokens\":9}"}],"usage":{"input_tokens":10,"cache_creation_input_tokens":70,"cache_read_input_tokens":300,"cache_creation":{"ephemeral_5m_input_tokens":50,"ephemeral_1h_input_tokens":20},"output_tokens":25,"server_tool_use":null}}`,
			said("claude-opus-4-8", message)},
		"a message with searches, fast, in one region": {Messages, json, `{"model":"m","usage":{"input_tokens":1,"output_tokens":2,"speed":"fast","inference_geo":"us","server_tool_use":{"web_search_requests":3}}}`,
			said("m", Usage{Input: 1, Output: 2, WebSearches: 3, Fast: true, Regional: true})},
		"a message with writes to the cache that are not told apart": {Messages, json, `{"model":"m","usage":{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":7}}`,
			said("m", Usage{Input: 1, Output: 2, CacheWrite: 7})},
		"a stream of a message": {Messages, sse, stream(messageStart, `{"type":"ping"}`, messageText, messageDelta, messageStop), said("claude-opus-4-8", message)},
		"one whose end says more of the input": {Messages, sse, stream(messageStart, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":500,"output_tokens":25}}`),
			said("claude-opus-4-8", Usage{Input: 500, Output: 25, CacheRead: 300, CacheWrite: 50, CacheWriteLong: 20})},
		"one whose end says nothing of the input": {Messages, sse, stream(messageStart, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"output_tokens":25}}`),
			said("claude-opus-4-8", message)},
		"one without a last blank line": {Messages, sse, strings.TrimSpace(stream(messageStart, messageText, messageDelta)), said("claude-opus-4-8", message)},
		"one that breaks off": {Messages, sse, stream(messageStart, messageText, messageText),
			Result{Model: "claude-opus-4-8", Found: true, Estimated: true, Usage: Usage{Input: 10, Output: int64(2*len(messageText)+3) / 4, CacheRead: 300, CacheWrite: 50, CacheWriteLong: 20}}},
		"one that breaks off before its text": {Messages, sse, stream(messageStart),
			Result{Model: "claude-opus-4-8", Found: true, Estimated: true, Usage: Usage{Input: 10, Output: 1, CacheRead: 300, CacheWrite: 50, CacheWriteLong: 20}}},
		"one that breaks off in its last number": {Messages, sse, "data: " + messageStart + "\n\ndata: " + cut,
			Result{Model: "claude-opus-4-8", Found: true, Estimated: true, Usage: Usage{Input: 10, Output: int64(len(cut)+3) / 4, CacheRead: 300, CacheWrite: 50, CacheWriteLong: 20}}},
		"one that ends in an error": {Messages, sse, stream(messageStart, messageText, `{"type":"error","error":{"type":"overloaded_error"}}`),
			Result{Model: "claude-opus-4-8", Found: true, Estimated: true, Usage: Usage{Input: 10, Output: int64(len(messageText)+3) / 4, CacheRead: 300, CacheWrite: 50, CacheWriteLong: 20}}},
		"one that is only an error": {Messages, sse, "event: error\n" + stream(`{"type":"error","error":{"type":"overloaded_error"}}`), Result{}},
		"an error":                  {Messages, json, `{"type":"error","error":{"type":"api_error","message":"m"}}`, Result{}},
		"nothing":                   {Messages, sse, "", Result{Estimated: true}},
		"something else":            {Messages, "", "\x1f\x8b\x08\x00\x00\x00\x00\x00", Result{Estimated: true, Usage: Usage{Output: 2}}},
		"a document that breaks off": {Messages, json, `{"model":"m","content":[{"te`,
			Result{Model: "m", Estimated: true, Usage: Usage{Output: 7}}},
		"a document without usage": {Messages, json, `{"model":"m"}`, Result{Model: "m", Estimated: true, Usage: Usage{Output: 4}}},
		"absurd numbers": {Messages, json, `{"model":"m","usage":{"input_tokens":1e300,"output_tokens":-5,"cache_read_input_tokens":"7"}}`,
			Result{Model: "m", Found: true, Estimated: true, Usage: Usage{Input: maxCount, Output: 24}}},
		"a stream without a Content-Type":   {Messages, "", "event: message_start\n" + stream(messageStart, messageDelta), said("claude-opus-4-8", message)},
		"a document without a Content-Type": {Messages, "", " \n" + `{"model":"m","usage":{"input_tokens":1,"output_tokens":2}}`, said("m", Usage{Input: 1, Output: 2})},

		"a response":                   {Responses, json, `{"object":"response","model":"gpt-5","error":null,"output":[],` + responseUsage + `}`, said("gpt-5", response)},
		"a stream of a response":       {Responses, sse, stream(responseStart, responseText, responseEnd), said("gpt-5-2025-08-07", searched)},
		"one that is incomplete":       {Responses, sse, stream(strings.Replace(responseEnd, "completed", "incomplete", 1)), said("gpt-5-2025-08-07", searched)},
		"one that failed":              {Responses, sse, stream(responseStart, `{"type":"response.failed","response":{"model":"gpt-5","error":{"code":"server_error"},"usage":null}}`), Result{Model: "gpt-5"}},
		"one of the priority tier":     {Responses, json, `{"model":"m","service_tier":"priority","usage":{"input_tokens":1,"output_tokens":2}}`, said("m", Usage{Input: 1, Output: 2, Fast: true})},
		"a response that breaks off":   {Responses, sse, stream(responseStart, responseText), Result{Model: "gpt-5", Estimated: true, Usage: Usage{Output: int64(len(responseText)+3) / 4}}},
		"a response in the background": {Responses, json, `{"status":"queued","usage":null}`, Result{Estimated: true, Usage: Usage{Output: 8}}},

		"a completion":                       {Chat, json, `{"model":"gpt-4o","choices":[{"message":{"content":"a"}}],` + chatUsage + `}`, said("gpt-4o", chat)},
		"a stream of a completion":           {Chat, sse, stream(chatText, chatEnd, "[DONE]"), said("gpt-4o", chat)},
		"one with usage in every chunk":      {Chat, sse, stream(`{"choices":[{}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`, `{"choices":[{}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`, "[DONE]"), said("", Usage{Input: 1, Output: 2})},
		"one of those that breaks off":       {Chat, sse, stream(`{"choices":[{}],"usage":{"prompt_tokens":1,"completion_tokens":500}}`), Result{Found: true, Estimated: true, Usage: Usage{Input: 1, Output: 500}}},
		"one whose usage nobody asked for":   {Chat, sse, stream(chatText, "[DONE]"), Result{Model: "gpt-4o", Estimated: true, Usage: Usage{Output: int64(len(chatText)+3) / 4}}},
		"a completion's error in the stream": {Chat, sse, stream(`{"error":{"message":"m"}}`), Result{}},
		"a completion's error in a string":   {Chat, json, `{"error":"m"}`, Result{}},
	} {
		t.Run(what, func(t *testing.T) {
			for _, piece := range []int{1, 2, 7, 1 << 20} {
				if diff := cmp.Diff(test.want, read(test.api, test.kind, test.body, piece)); diff != "" {
					t.Fatalf("in pieces of %d: %s", piece, diff)
				}
			}
		})
	}
}

func TestLinesOfAStream(t *testing.T) {
	want := read(Messages, "text/event-stream", stream(messageStart, messageDelta), 100)
	start, end, _ := strings.Cut(messageDelta, ",")
	for what, body := range map[string]string{
		"CR":                       strings.ReplaceAll(stream(messageStart, messageDelta), "\n", "\r"),
		"CRLF":                     strings.ReplaceAll(stream(messageStart, messageDelta), "\n", "\r\n"),
		"a BOM":                    "\xef\xbb\xbf" + stream(messageStart, messageDelta),
		"comments":                 ": hello\n" + strings.ReplaceAll(stream(messageStart, messageDelta), "\n\n", "\n:\n: data: {}\n\n"),
		"no space":                 strings.ReplaceAll(stream(messageStart, messageDelta), "data: ", "data:"),
		"other fields":             "id: 1\nretry: 5\ndatabase: {\n" + stream(messageStart, messageDelta),
		"data in several lines":    stream(messageStart, start+"\nevent: x\ndata:,\ndata\ndata:"+end),
		"lines of any length":      stream(messageStart, `{"type":"x","text":"`+strings.Repeat("a", 3<<20)+`"}`, messageDelta),
		"usage behind a long text": stream(messageStart, `{"text":"`+strings.Repeat("a", 3<<20)+`",`+messageDelta[1:]),
		"deep events":              stream(messageStart, strings.Repeat("[", 20000), messageDelta),
	} {
		if diff := cmp.Diff(want, read(Messages, "text/event-stream", body, 1000)); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}

func TestAReaderHoldsNothing(t *testing.T) {
	r := NewReader(Responses, "application/json")
	fmt.Fprint(r, `{"output":["`)
	piece := []byte(strings.Repeat("a", 1<<20))
	if n := testing.AllocsPerRun(10, func() { r.Write(piece) }); n > 0 {
		t.Errorf("%v allocations for a MiB of text", n)
	}
	fmt.Fprint(r, `"],"model":"m","usage":{"input_tokens":1,"output_tokens":2}}`)
	if got := r.Result(); !got.Complete || cap(r.json.text) > 2*maxText {
		t.Errorf("%+v, %d bytes held", got, cap(r.json.text))
	}
}

func BenchmarkReader(b *testing.B) {
	body := []byte(stream(messageStart) + strings.Repeat(stream(messageText), 1000) + stream(messageDelta))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader(Messages, "text/event-stream")
		r.Write(body)
		r.Result()
	}
}

func TestManyEscapesTakeNoLonger(t *testing.T) {
	r := NewReader(Responses, "application/json")
	fmt.Fprint(r, `{"a":"`+strings.Repeat(`\n`, 8<<20)+`","usage":{"input_tokens":1,"output_tokens":2}}`)
	if !r.Result().Complete {
		t.Error("not complete")
	}
}
