package world

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// A Turn is what the model says: that a tool is to be used, or a text, which ends its answer.
type Turn struct {
	Tool  string // its name; none: a text
	Input any    // of the tool
	Text  string
}

// Bash is the turn that runs a command.
func Bash(command string) Turn {
	return Turn{Tool: "Bash", Input: map[string]string{"command": command, "description": "as the test says"}}
}

// A Usage is how many tokens an answer says that it took. What is read from a cache or written to one is not in Input.
type Usage struct{ Input, Output, CacheRead, CacheWrite int }

// A script is what a model says, the same in every conversation: a turn, and after each result of a tool the next one. The
// last one is repeated.
type script struct {
	// Usage is what every answer reports.
	Usage Usage

	turns []Turn
	mu    sync.Mutex
	seen  []Message
}

// Messages is a server of the Messages API.
type Messages struct{ script }

// NewMessages makes a server that plays some turns.
func NewMessages(turns ...Turn) *Messages {
	return &Messages{script{turns: turns, Usage: Usage{Input: 10, Output: 5}}}
}

// A Message is a request for an answer of the model.
type Message struct {
	Path   string
	Model  string // that is asked for, and that the answer names
	Key    string // x-api-key
	Bearer string // of Authorization
	Header http.Header
	Body   []byte
	Tools  int      // how many the model is offered
	Stream bool     // the answer is to come in events
	Result []string // what tools said, in this conversation
}

// Seen are the requests for answers, so far.
func (s *script) Seen() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

// next notes a request and returns what the model says to it, and the number of the answer.
func (s *script) next(r *http.Request, m Message) (turn Turn, number int) {
	m.Path, m.Header, m.Key = r.URL.Path, r.Header.Clone(), r.Header.Get("X-Api-Key")
	m.Bearer, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, m)
	if m.Tools == 0 || len(s.turns) == 0 { // without tools it is asked for a title
		return Turn{Text: "ok"}, len(s.seen)
	}
	return s.turns[min(len(m.Result), len(s.turns)-1)], len(s.seen)
}

// ServeHTTP answers as the API does; what is not part of it is not found.
func (m *Messages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodHead && r.URL.Path == "/":
	case r.Method == http.MethodPost && r.URL.Path == "/v1/messages":
		m.answer(w, r)
	case r.Method == http.MethodPost && r.URL.Path == "/v1/messages/count_tokens":
		writeJSON(w, http.StatusOK, map[string]int{"input_tokens": 1})
	default:
		apiError(w, http.StatusNotFound, "not_found_error", r.URL.Path)
	}
}

func apiError(w http.ResponseWriter, status int, kind, text string) {
	writeJSON(w, status, map[string]any{"type": "error", "error": map[string]string{"type": kind, "message": text}})
}

// A conversation is what the server reads of a request's body.
type conversation struct {
	Model    string
	Stream   bool
	Tools    []json.RawMessage
	Messages []struct{ Content json.RawMessage }
}

func (m *Messages) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var said conversation
	if err == nil {
		err = json.Unmarshal(body, &said)
	}
	if err != nil {
		apiError(w, http.StatusBadRequest, "invalid_request_error", err.Error())
		return
	}
	turn, number := m.next(r, Message{Model: said.Model, Body: body, Tools: len(said.Tools), Stream: said.Stream, Result: said.results()})
	a := answer{id: fmt.Sprintf("msg_%024d", number), model: said.Model, turn: turn, usage: m.Usage}
	if said.Stream {
		a.stream(w)
		return
	}
	writeJSON(w, http.StatusOK, a.message([]any{a.block(true)}, a.reason()))
}

// results are the contents of the blocks tool_result, as text.
func (c *conversation) results() []string {
	var out []string
	for _, message := range c.Messages {
		var blocks []struct {
			Type    string
			Content json.RawMessage
		}
		if json.Unmarshal(message.Content, &blocks) != nil {
			continue // a text
		}
		for _, block := range blocks {
			if block.Type == "tool_result" {
				out = append(out, plainText(block.Content))
			}
		}
	}
	return out
}

// plainText is a content's text, which is a string or a list of blocks.
func plainText(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var blocks []struct{ Text string }
	if json.Unmarshal(content, &blocks) != nil {
		return string(content)
	}
	var out strings.Builder
	for _, block := range blocks {
		out.WriteString(block.Text)
	}
	return out.String()
}

// An answer is one turn on its way to the client.
type answer struct {
	id, model string
	turn      Turn
	usage     Usage
}

func (a answer) reason() any {
	if a.turn.Tool != "" {
		return "tool_use"
	}
	return "end_turn"
}

func (a answer) message(content []any, reason any) map[string]any {
	output := a.usage.Output
	if reason == nil { // it has only begun, and the real one says something here that is not the end
		output = min(output, 1)
	}
	return map[string]any{"id": a.id, "type": "message", "role": "assistant", "model": a.model, "content": content,
		"stop_reason": reason, "stop_sequence": nil,
		"usage": map[string]int{"input_tokens": a.usage.Input, "output_tokens": output,
			"cache_creation_input_tokens": a.usage.CacheWrite, "cache_read_input_tokens": a.usage.CacheRead}}
}

// block is the content, whole or as its beginning.
func (a answer) block(whole bool) map[string]any {
	if a.turn.Tool == "" {
		text := ""
		if whole {
			text = a.turn.Text
		}
		return map[string]any{"type": "text", "text": text}
	}
	block := map[string]any{"type": "tool_use", "id": strings.Replace(a.id, "msg_", "toolu_", 1), "name": a.turn.Tool, "input": map[string]any{}}
	if whole {
		block["input"] = a.turn.Input
	}
	return block
}

func (a answer) delta() (map[string]any, error) {
	if a.turn.Tool == "" {
		return map[string]any{"type": "text_delta", "text": a.turn.Text}, nil
	}
	input, err := json.Marshal(a.turn.Input)
	return map[string]any{"type": "input_json_delta", "partial_json": string(input)}, err
}

func (a answer) stream(w http.ResponseWriter) {
	delta, err := a.delta()
	if err != nil {
		apiError(w, http.StatusInternalServerError, "api_error", err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	for _, event := range []map[string]any{
		{"type": "message_start", "message": a.message([]any{}, nil)},
		{"type": "content_block_start", "index": 0, "content_block": a.block(false)},
		{"type": "content_block_delta", "index": 0, "delta": delta},
		{"type": "content_block_stop", "index": 0},
		{"type": "message_delta", "delta": map[string]any{"stop_reason": a.reason(), "stop_sequence": nil}, "usage": map[string]int{"output_tokens": a.usage.Output}},
		{"type": "message_stop"},
	} {
		data, err := json.Marshal(event)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event["type"], data)
		flush()
	}
}
