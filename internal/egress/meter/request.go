package meter

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrAmbiguous says that a request could be read in two ways: a name that decides what it costs stands in it twice, or in
// another case.
var ErrAmbiguous = errors.New("the request can be read in two ways")

// A Request is what a request's body says of its cost.
type Request struct {
	Model           string
	MaxOutput       int64 // tokens it allows in all its answers together; 0: it does not say
	Stream          bool
	CacheWrites     bool  // its input may be written to a cache
	LongCacheWrites bool  // for an hour
	Elsewhere       bool  // part of its input is not in the body: stored, fetched or found by the provider
	Fast            bool  // it asks to be served in a dearer, faster way
	Regional        bool  // it asks to be served in one region
	Size            int64 // bytes of the body
}

// deciding are the names at the top of a request that decide what it costs.
var deciding = map[API][]string{
	Messages:  {"model", "stream", "max_tokens", "speed", "service_tier", "inference_geo"},
	Responses: {"model", "stream", "max_output_tokens", "service_tier", "background"},
	Chat:      {"model", "stream", "max_tokens", "max_completion_tokens", "n", "service_tier"},
}

// elsewhere are the names at the top of a request that bring in what is not in its body.
var elsewhere = []string{"previous_response_id", "conversation", "prompt", "mcp_servers", "web_search_options", "container"}

// hosted begin the types of tools that the provider runs itself and whose results are input again.
var hosted = []string{"web_search", "web_fetch", "code_execution", "code_interpreter", "file_search", "image_generation", "mcp", "advisor"}

// What a request may ask for in numbers: more than any model gives, and far less than overflows.
const (
	maxAsked   = 1 << 32
	maxAnswers = 1 << 10
)

// ParseRequest reads the body of a request. What is not one JSON object is an error, as is what a server might read
// otherwise than it is read here: encoding/json takes "Model" for "model" and the last of two, others take the first, or
// only the exact name. A request in the background is an error, too: its usage is told to another request.
func ParseRequest(api API, body []byte) (Request, error) {
	if deciding[api] == nil {
		return Request{}, errors.New("the request is not one to a known model API")
	}
	if !json.Valid(body) {
		return Request{}, errors.New("the request's body is not JSON")
	}
	if trimmed := bytes.TrimLeft(body, " \t\r\n"); trimmed[0] != '{' {
		return Request{}, errors.New("the request's body is not a JSON object")
	}
	p := requestParser{api: api, seen: map[string]bool{}}
	// OpenAI writes to its cache without being asked, and some of its models ask money for it.
	p.request = Request{Size: int64(len(body)), CacheWrites: api != Messages}
	s := scanner{tell: p.told}
	s.write(body)
	s.end()
	if p.err != nil {
		return Request{}, p.err
	}
	if p.answers > 1 {
		p.request.MaxOutput = cmp.Or(p.request.MaxOutput, DefaultOutput) * p.answers
	}
	return p.request, nil
}

// A requestParser is told what is in a request.
type requestParser struct {
	api     API
	request Request
	answers int64
	seen    map[string]bool
	err     error
}

func (p *requestParser) told(at []byte, k kind, text []byte) {
	if bytes.IndexByte(at, '.') < 0 {
		p.top(string(at), k, text)
		return
	}
	if k != kindString {
		return
	}
	name, value := at[bytes.LastIndexByte(at, '.')+1:], string(text)
	switch string(name) {
	case "type":
		if bytes.HasSuffix(at, []byte("cache_control.type")) {
			p.request.CacheWrites = true
		}
		if string(at) == "tools.[].type" && slices.ContainsFunc(hosted, func(h string) bool { return strings.HasPrefix(value, h) }) {
			p.request.Elsewhere = true
		}
	case "ttl":
		if bytes.HasSuffix(at, []byte("cache_control.ttl")) && value != "5m" {
			p.request.LongCacheWrites = true
		}
	case "file_id", "file_url":
		p.request.Elsewhere = true
	case "image_url", "url":
		apart := string(name) == "image_url" || bytes.HasSuffix(at, []byte("source.url")) || bytes.HasSuffix(at, []byte("image_url.url"))
		if apart && !strings.HasPrefix(value, "data:") {
			p.request.Elsewhere = true
		}
	}
}

// top is told what stands at the top of the request.
func (p *requestParser) top(name string, k kind, text []byte) {
	if k == kindKey {
		p.key(name)
		return
	}
	if k == kindWord && string(text) == "null" {
		return
	}
	if slices.Contains(elsewhere, name) {
		p.request.Elsewhere = true
	}
	if name == "cache_control" { // for the whole request
		p.request.CacheWrites = true
	}
	if !slices.Contains(deciding[p.api], name) {
		return
	}
	switch name {
	case "model":
		if p.want(name, k, kindString) && len(text) == maxText {
			p.fail(errors.New("the request's model has too long a name"))
		}
		p.request.Model = string(text)
	case "stream", "background":
		yes := string(text) == "true"
		switch {
		case !p.want(name, k, kindWord) || !yes && string(text) != "false":
			p.fail(fmt.Errorf("the request's %q is neither true nor false", name))
		case name == "stream":
			p.request.Stream = yes
		case yes:
			p.fail(errors.New("a request in the background cannot be metered"))
		}
	case "n":
		if p.answers = p.number(name, k, text); p.answers > maxAnswers {
			p.fail(fmt.Errorf("the request asks for %d answers; more than %d cannot be metered", p.answers, maxAnswers))
		}
	case "speed", "service_tier":
		p.request.Fast = p.request.Fast || string(text) == "fast" || p.api != Messages && string(text) == "priority"
	case "inference_geo":
		p.request.Regional = string(text) != "global"
	default: // both of Chat's names may stand there: the greater counts
		p.request.MaxOutput = max(p.request.MaxOutput, p.number(name, k, text))
	}
}

// key looks for names that some servers take for others.
func (p *requestParser) key(name string) {
	for _, known := range deciding[p.api] {
		if !strings.EqualFold(name, known) {
			continue
		}
		if name != known || p.seen[known] {
			p.fail(fmt.Errorf("%w: %q, %q", ErrAmbiguous, known, name))
		}
		p.seen[known] = true
	}
}

func (p *requestParser) want(name string, k, want kind) bool {
	if k != want {
		p.fail(fmt.Errorf("the request's %q is of the wrong type", name))
	}
	return k == want
}

func (p *requestParser) number(name string, k kind, text []byte) int64 {
	if !p.want(name, k, kindWord) {
		return 0
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 0 || n > maxAsked {
		p.fail(fmt.Errorf("the request's %q is not a number of tokens", name))
		return 0
	}
	return n
}

func (p *requestParser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}
