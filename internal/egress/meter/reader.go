package meter

import (
	"bytes"
	"mime"
	"strconv"
	"strings"
)

// bytesPerToken is how many bytes of data stand for a token where the response does not say how many there were. English
// has about four to a token; what surrounds the text in a stream, and what other languages need, is on the dearer side.
const bytesPerToken = 4

// maxCount bounds every number of a response, so that no sum of them overflows.
const maxCount = 1 << 40

// A Result is what a Reader found.
type Result struct {
	Model string
	Usage Usage
	// Found: the response said what was used, or a first part of it.
	Found bool
	// Complete: these are the final figures.
	Complete bool
	// Estimated: they are not, and Usage.Output is an estimate: one token for each four bytes of data that came (of the
	// events that bring text, where they say so), and no less than was reported. Ledger does the same for the input.
	Estimated bool
}

// A Reader finds usage in the body of a successful response as its bytes pass by: an event stream or a JSON document. It
// holds none of them.
type Reader struct {
	api    API
	stream format
	events eventStream
	json   scanner
	this   report // of the document or event that is being read
	sum    report
	size   int64 // bytes of data that stand for output, when nothing better is known
	length int64 // of the document that is being read
	total  int64 // of everything
	began  bool  // there was a document or an event
	ended  bool
}

// A format is a form of response.
type format uint8

const (
	unknown format = iota
	events
	document
)

// A report is what one document says.
type report struct {
	model    string
	kind     string // "type"
	counts   [counts]int64
	said     bool  // it has a count of tokens
	output   bool  // it has one of the output
	stopped  bool  // it says why the model stopped
	text     bool  // it has a part of an answer (Chat)
	last     bool  // it is the mark at the end of a stream (Chat)
	failed   bool  // it is an error
	final    bool  // its figures are the last ones
	fast     bool  // see Usage
	regional bool  // see Usage
	searches int64 // calls of web search among its items (Responses)
}

// A count is one of the numbers that responses report.
type count uint8

const (
	inputs count = iota
	outputs
	cacheReads
	cacheWrites // all of them
	cacheWritesShort
	cacheWritesLong
	webSearches
	cachedInputs  // a part of inputs
	writtenInputs // a part of inputs
	reasonings
	counts
)

// reported are the places of the counts, in all APIs. They are distinct where they mean different things.
var reported = map[string]count{
	"usage.input_tokens":                               inputs,
	"usage.prompt_tokens":                              inputs,
	"usage.output_tokens":                              outputs,
	"usage.completion_tokens":                          outputs,
	"usage.cache_read_input_tokens":                    cacheReads,
	"usage.cache_creation_input_tokens":                cacheWrites,
	"usage.cache_creation.ephemeral_5m_input_tokens":   cacheWritesShort,
	"usage.cache_creation.ephemeral_1h_input_tokens":   cacheWritesLong,
	"usage.server_tool_use.web_search_requests":        webSearches,
	"usage.input_tokens_details.cached_tokens":         cachedInputs,
	"usage.prompt_tokens_details.cached_tokens":        cachedInputs,
	"usage.input_tokens_details.cache_write_tokens":    writtenInputs,
	"usage.prompt_tokens_details.cache_write_tokens":   writtenInputs,
	"usage.output_tokens_details.reasoning_tokens":     reasonings,
	"usage.completion_tokens_details.reasoning_tokens": reasonings,
}

// NewReader returns a Reader for a response to a request of the API with the given Content-Type. Where that says nothing,
// the first byte does.
func NewReader(api API, contentType string) *Reader {
	r := &Reader{api: api}
	r.events = eventStream{data: r.data, end: r.endDocument}
	r.json = scanner{tell: r.told}
	kind, _, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil:
	case kind == "text/event-stream":
		r.stream = events
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		r.stream = document
	}
	return r
}

// Write takes the next bytes of the body. It never fails.
func (r *Reader) Write(p []byte) (int, error) {
	if r.ended {
		return len(p), nil
	}
	r.total += int64(len(p))
	rest := p
	for len(rest) > 0 && r.stream == unknown {
		switch rest[0] {
		case ' ', '\t', '\r', '\n':
			rest = rest[1:]
		case '{':
			r.stream = document
		default:
			r.stream = events
		}
	}
	if r.stream == document {
		r.data(rest)
	} else {
		r.events.write(rest)
	}
	return len(p), nil
}

// data reads a piece of a document, or of the data of an event.
func (r *Reader) data(p []byte) {
	r.length += int64(len(p))
	r.json.write(p)
}

// told is told what is in a document.
func (r *Reader) told(at []byte, k kind, text []byte) {
	if string(at) == "type" && k == kindString {
		r.this.kind = string(text)
		return
	}
	if r.api == Chat {
		if bytes.HasPrefix(at, []byte("choices.[]")) {
			r.this.text = true
		}
		if k == kindWord && string(at) == "[]" && string(text) == "DONE" {
			r.this.last = true // data: [DONE], which is not JSON
		}
	}
	at = bytes.TrimPrefix(bytes.TrimPrefix(at, []byte("message.")), []byte("response."))
	switch k {
	case kindOpen:
		r.this.failed = r.this.failed || string(at) == "error"
	case kindWord:
		r.number(at, text)
	case kindString:
		r.string(at, text)
	}
}

func (r *Reader) string(at, text []byte) {
	switch string(at) {
	case "model":
		r.this.model = string(text)
	case "error":
		r.this.failed = true
	case "delta.stop_reason":
		r.this.stopped = true
	case "output.[].type":
		if string(text) == "web_search_call" {
			r.this.searches++
		}
	case "service_tier":
		r.this.fast = r.this.fast || string(text) == "priority" || string(text) == "fast"
	case "usage.speed":
		r.this.fast = r.this.fast || string(text) == "fast"
	case "usage.inference_geo":
		r.this.regional = string(text) == "us"
	}
}

func (r *Reader) number(at, text []byte) {
	c, ok := reported[string(at)]
	if !ok {
		return
	}
	n, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(n >= 0) { // nor NaN
		return
	}
	r.this.counts[c] = int64(min(n, maxCount))
	r.this.said = r.this.said || c == inputs || c == outputs
	r.this.output = r.this.output || c == outputs
}

// endDocument adds up what one document said.
func (r *Reader) endDocument() {
	r.json.end()
	this, sum := &r.this, &r.sum
	r.began = true
	this.failed = this.failed || this.kind == "error" || this.kind == "response.failed"
	if r.textual() {
		r.size += r.length
	}
	// Figures of a stream are cumulative: a later one includes the earlier, and the greater is the one to go by.
	for i, n := range this.counts {
		sum.counts[i] = max(sum.counts[i], n)
	}
	if this.model != "" {
		sum.model = this.model
	}
	sum.searches = max(sum.searches, this.searches)
	sum.said = sum.said || this.said
	sum.output = sum.output || this.output
	sum.fast = sum.fast || this.fast
	sum.regional = sum.regional || this.regional
	sum.failed = sum.failed || this.failed
	sum.final = sum.final || r.closes()
	r.json.reset()
	r.this, r.length = report{}, 0
}

// textual reports whether the document that ends brings output, or may: of the events of a stream those that say they bring
// a piece of it, and those that do not say what they are.
func (r *Reader) textual() bool {
	switch {
	case r.this.failed || r.this.last:
		return false
	case r.stream == document || r.this.kind == "":
		return true
	}
	return strings.HasSuffix(r.this.kind, "delta")
}

// closes reports whether the document that ends has the last figures, or follows them.
func (r *Reader) closes() bool {
	this := &r.this
	if r.stream == document {
		return r.json.done && this.output
	}
	switch r.api {
	case Messages:
		return this.kind == "message_delta" && this.output && this.stopped || this.kind == "message_stop" && r.sum.output
	case Responses:
		switch this.kind {
		case "response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done":
			return this.output
		}
	case Chat: // some servers report in every chunk: the last has no text, or the end follows
		return this.output && !this.text || this.last && r.sum.output
	}
	return false
}

// Result says what was found when there are no more bytes, cut off or not. What is written later is not read.
func (r *Reader) Result() Result {
	if !r.ended {
		r.ended = true
		if r.stream == document {
			r.endDocument()
		} else {
			r.events.finish()
		}
		if !r.began { // it is something else than it should be
			r.size = r.total
		}
	}
	result := Result{Model: r.sum.model, Usage: r.usage(), Found: r.sum.said, Complete: r.sum.final}
	nothing := r.sum.failed && !r.sum.said && r.size == 0 // an error before anything was done
	if !result.Complete && !nothing {
		result.Estimated = true
		result.Usage.Output = max(result.Usage.Output, (r.size+bytesPerToken-1)/bytesPerToken)
	}
	return result
}

// usage sorts the counts. OpenAI's input includes what was read from and written to a cache, Anthropic's does not.
func (r *Reader) usage() Usage {
	n := &r.sum.counts
	written := max(n[writtenInputs], n[cacheWrites]-n[cacheWritesLong], n[cacheWritesShort])
	return Usage{
		Input:          max(0, n[inputs]-n[cachedInputs]-n[writtenInputs]),
		Output:         n[outputs],
		CacheRead:      n[cacheReads] + n[cachedInputs],
		CacheWrite:     written,
		CacheWriteLong: n[cacheWritesLong],
		WebSearches:    max(n[webSearches], r.sum.searches),
		Reasoning:      n[reasonings],
		Fast:           r.sum.fast,
		Regional:       r.sum.regional,
	}
}
