package world

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Shell is the turn in which a model of OpenAI's runs a command by the tool of Codex.
func Shell(command string) Turn {
	return Turn{Tool: "exec_command", Input: map[string]string{"cmd": command}}
}

// Responses is a server of OpenAI's two APIs, Responses and Chat Completions.
type Responses struct{ script }

// NewResponses makes a server that plays some turns.
func NewResponses(turns ...Turn) *Responses {
	return &Responses{script{turns: turns, Usage: Usage{Input: 10, Output: 5}}}
}

// ServeHTTP answers as the APIs do; what is not part of them is not found.
func (s *Responses) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/responses", "POST /v1/chat/completions":
		s.answer(w, r, r.URL.Path == "/v1/chat/completions")
	case "GET /v1/models":
		writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []any{}})
	default:
		openAIError(w, http.StatusNotFound, "unknown path "+r.URL.Path)
	}
}

func openAIError(w http.ResponseWriter, status int, text string) {
	writeJSON(w, status, map[string]any{"error": map[string]any{"message": text, "type": "invalid_request_error", "param": nil, "code": nil}})
}

// asked is what the server reads of a request's body, of either API.
type asked struct {
	Model    string
	Stream   bool
	Tools    []json.RawMessage
	Input    json.RawMessage // of Responses: a text or items
	Messages []struct {
		Role    string
		Content json.RawMessage
	}
	Options struct {
		Usage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// results are what tools said, as text.
func (a *asked) results() []string {
	var out []string
	var items []struct {
		Type   string
		Output json.RawMessage
	}
	if json.Unmarshal(a.Input, &items) == nil {
		for _, item := range items {
			if item.Type == "function_call_output" {
				out = append(out, plainText(item.Output))
			}
		}
	}
	for _, m := range a.Messages {
		if m.Role == "tool" {
			out = append(out, plainText(m.Content))
		}
	}
	return out
}

func (s *Responses) answer(w http.ResponseWriter, r *http.Request, chat bool) {
	body, err := io.ReadAll(r.Body)
	var said asked
	if err == nil {
		err = json.Unmarshal(body, &said)
	}
	if err != nil {
		openAIError(w, http.StatusBadRequest, err.Error())
		return
	}
	turn, number := s.next(r, Message{Model: said.Model, Body: body, Tools: len(said.Tools), Stream: said.Stream, Result: said.results()})
	o := output{number: number, model: said.Model, turn: turn, usage: s.Usage}
	if turn.Tool != "" {
		arguments, err := json.Marshal(turn.Input)
		if err != nil {
			openAIError(w, http.StatusInternalServerError, err.Error())
			return
		}
		o.arguments = string(arguments)
	}
	switch {
	case chat && said.Stream:
		sendEvents(w, o.chunks(said.Options.Usage), "[DONE]")
	case chat:
		writeJSON(w, http.StatusOK, o.completion())
	case said.Stream:
		sendEvents(w, o.events(), "")
	default:
		writeJSON(w, http.StatusOK, o.response("completed"))
	}
}

// sendEvents sends each document as an event, which has the name of its type if it has one, and a last text, if any.
func sendEvents(w http.ResponseWriter, documents []object, last string) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	for _, d := range documents {
		data, err := json.Marshal(d)
		if err != nil {
			return
		}
		if kind, ok := d["type"]; ok {
			fmt.Fprintf(w, "event: %s\n", kind)
		}
		fmt.Fprintf(w, "data: %s\n\n", data)
		flush()
	}
	if last != "" {
		fmt.Fprintf(w, "data: %s\n\n", last)
	}
}

type object = map[string]any

// An output is one turn on its way to a client of OpenAI's.
type output struct {
	number    int
	model     string
	turn      Turn
	arguments string // of the tool, as JSON
	usage     Usage
}

func (o output) id(kind string) string { return fmt.Sprintf("%s_%024d", kind, o.number) }

// item is the one of Responses' output.
func (o output) item(status string) object {
	if o.turn.Tool != "" {
		return object{"type": "function_call", "id": o.id("fc"), "call_id": o.id("call"), "name": o.turn.Tool, "arguments": o.arguments, "status": status}
	}
	return object{"type": "message", "id": o.id("msg"), "role": "assistant", "status": status,
		"content": []any{object{"type": "output_text", "text": o.turn.Text, "annotations": []any{}}}}
}

// response is the whole of it, or what is known at its beginning.
func (o output) response(status string) object {
	r := object{"id": o.id("resp"), "object": "response", "created_at": 1, "status": status, "model": o.model, "output": []any{}, "usage": nil}
	if status == "completed" {
		in := o.usage.Input + o.usage.CacheRead + o.usage.CacheWrite
		r["output"] = []any{o.item("completed")}
		r["usage"] = object{"input_tokens": in, "input_tokens_details": object{"cached_tokens": o.usage.CacheRead, "cache_write_tokens": o.usage.CacheWrite},
			"output_tokens": o.usage.Output, "output_tokens_details": object{"reasoning_tokens": 0}, "total_tokens": in + o.usage.Output}
	}
	return r
}

func (o output) events() []object {
	delta := object{"type": "response.output_text.delta", "item_id": o.id("msg"), "output_index": 0, "content_index": 0, "delta": o.turn.Text}
	if o.turn.Tool != "" {
		delta = object{"type": "response.function_call_arguments.delta", "item_id": o.id("fc"), "output_index": 0, "delta": o.arguments}
	}
	return []object{
		{"type": "response.created", "response": o.response("in_progress")},
		{"type": "response.output_item.added", "output_index": 0, "item": o.item("in_progress")},
		delta,
		{"type": "response.output_item.done", "output_index": 0, "item": o.item("completed")},
		{"type": "response.completed", "response": o.response("completed")},
	}
}

// said is what the assistant of Chat Completions says, and why it ends.
func (o output) said() (message object, reason string) {
	if o.turn.Tool != "" {
		call := object{"index": 0, "id": o.id("call"), "type": "function", "function": object{"name": o.turn.Tool, "arguments": o.arguments}}
		return object{"role": "assistant", "content": nil, "tool_calls": []any{call}}, "tool_calls"
	}
	return object{"role": "assistant", "content": o.turn.Text}, "stop"
}

func (o output) chatUsage() object {
	in := o.usage.Input + o.usage.CacheRead + o.usage.CacheWrite
	return object{"prompt_tokens": in, "prompt_tokens_details": object{"cached_tokens": o.usage.CacheRead, "cache_write_tokens": o.usage.CacheWrite},
		"completion_tokens": o.usage.Output, "total_tokens": in + o.usage.Output}
}

func (o output) completion() object {
	message, reason := o.said()
	return object{"id": o.id("chatcmpl"), "object": "chat.completion", "created": 1, "model": o.model,
		"choices": []any{object{"index": 0, "message": message, "finish_reason": reason}}, "usage": o.chatUsage()}
}

// chunks are those of a stream. What was used is said in one more, to who asks for it.
func (o output) chunks(usage bool) []object {
	chunk := func(choices ...any) object {
		return object{"id": o.id("chatcmpl"), "object": "chat.completion.chunk", "created": 1, "model": o.model, "choices": append([]any{}, choices...)}
	}
	delta, reason := o.said()
	out := []object{
		chunk(object{"index": 0, "delta": delta, "finish_reason": nil}),
		chunk(object{"index": 0, "delta": object{}, "finish_reason": reason}),
	}
	if usage {
		last := chunk()
		last["usage"] = o.chatUsage()
		out = append(out, last)
	}
	return out
}
