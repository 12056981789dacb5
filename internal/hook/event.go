package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of an event.
const (
	MaxEvent = 8 << 20
	maxDepth = 64
)

// Names of events.
const (
	PreToolUse  = "PreToolUse"
	PostToolUse = "PostToolUse"
)

// An Event is what an agent gives to its hook.
type Event struct {
	Name         string // PreToolUse, PostToolUse; others are not decided
	Session      string // the agent's own
	Tool         string
	ID           string // of this call
	Dir          string // the agent's working directory
	Input        json.RawMessage
	Response     json.RawMessage // PostToolUse alone
	Milliseconds int64           // that the tool took
}

// ParseEvent reads an event. Two readers must not be able to take it for two things, so it refuses what JSON leaves open:
// keys that are there twice or in another case, text that is no Unicode, data behind the end (RFC 8259, 4 and 9).
func ParseEvent(b []byte) (Event, error) {
	if len(b) > MaxEvent {
		return Event{}, fmt.Errorf("it is longer than %d MiB", MaxEvent>>20)
	}
	if err := strict(b); err != nil {
		return Event{}, err
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(b, &fields) != nil || fields == nil {
		return Event{}, errors.New("it is no JSON object")
	}
	if err := spelled(fields, "session_id", "hook_event_name", "tool_name", "tool_use_id", "cwd", "tool_input", "tool_response", "duration_ms"); err != nil {
		return Event{}, err
	}
	e := Event{Input: fields["tool_input"], Response: fields["tool_response"]}
	for key, text := range map[string]*string{"session_id": &e.Session, "hook_event_name": &e.Name, "tool_name": &e.Tool, "tool_use_id": &e.ID, "cwd": &e.Dir} {
		if raw, ok := fields[key]; ok && (raw[0] != '"' || json.Unmarshal(raw, text) != nil) {
			return Event{}, fmt.Errorf("%s is no text", key)
		}
	}
	if raw, ok := fields["duration_ms"]; ok {
		var ms float64
		if json.Unmarshal(raw, &ms) != nil || raw[0] == 'n' {
			return Event{}, errors.New("duration_ms is no number")
		}
		e.Milliseconds = int64(min(max(ms, 0), 1e12))
	}
	return e, e.complete()
}

// complete reports what a call of a tool must have.
func (e Event) complete() error {
	switch {
	case e.Name == "":
		return errors.New("hook_event_name is missing")
	case e.Name != PreToolUse && e.Name != PostToolUse:
		return nil
	case e.Tool == "":
		return errors.New("tool_name is missing")
	case len(e.Input) == 0 || e.Input[0] != '{':
		return errors.New("tool_input is no object")
	case e.Name == PreToolUse && !path.IsAbs(e.Dir):
		return errors.New("cwd is no full path")
	}
	return nil
}

// spelled refuses keys that look like one of these and are not.
func spelled(fields map[string]json.RawMessage, known ...string) error {
	for key := range fields {
		for _, k := range known {
			if key != k && plain(key) == plain(k) {
				return fmt.Errorf("the key %q is not spelt %s", key, k)
			}
		}
	}
	return nil
}

// plain is how a name looks to somebody who does not look closely.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '_' || r == '-' {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// strict reads all of a text of JSON, and nothing into memory.
func strict(b []byte) error {
	if !utf8.Valid(b) || !pairs(b) {
		return errors.New("it is no Unicode text")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := oneValue(d, 0); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	return nil
}

func oneValue(d *json.Decoder, depth int) error {
	token, err := d.Token()
	switch {
	case err != nil:
		return errors.New("it is no JSON")
	case depth > maxDepth:
		return errors.New("it is nested too deeply")
	case token == json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			token, err := d.Token()
			key, ok := token.(string)
			if err != nil || !ok {
				return errors.New("it is no JSON")
			}
			if seen[key] {
				return fmt.Errorf("the key %q is there twice", key)
			}
			seen[key] = true
			if err := oneValue(d, depth+1); err != nil {
				return err
			}
		}
	case token == json.Delim('['):
		for d.More() {
			if err := oneValue(d, depth+1); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	if _, err := d.Token(); err != nil {
		return errors.New("it is no JSON")
	}
	return nil
}

// pairs reports that every escaped surrogate has its other half.
func pairs(b []byte) bool {
	high := false
	for i := 0; i < len(b); i++ {
		unit := uint64(0)
		if b[i] == '\\' && i+1 < len(b) {
			if b[i+1] == 'u' && i+6 <= len(b) {
				unit, _ = strconv.ParseUint(string(b[i+2:i+6]), 16, 16)
				i += 4
			}
			i++
		}
		if low := unit >= 0xdc00 && unit <= 0xdfff; low != high {
			return false
		}
		high = unit >= 0xd800 && unit <= 0xdbff
	}
	return !high
}

// inputs are the fields of the client's own tools that a decision depends on; the first must be there.
var inputs = map[string][]string{
	"Bash": {"command"}, "Read": {"file_path"}, "Edit": {"file_path"}, "Write": {"file_path"}, "MultiEdit": {"file_path"},
	"NotebookEdit": {"notebook_path"}, "NotebookRead": {"notebook_path"}, "WebFetch": {"url"}, "Grep": {"pattern", "path", "glob"}, "Glob": {"pattern", "path"}, "LS": {"path"},
}

// fieldsOf reads the input of a tool. Those that count must be text.
func fieldsOf(e Event) (map[string]json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(e.Input, &fields) != nil {
		return nil, errors.New("tool_input is no object")
	}
	known := inputs[e.Tool]
	if err := spelled(fields, known...); err != nil {
		return nil, err
	}
	for i, key := range known {
		raw, ok := fields[key]
		switch {
		case !ok && i == 0:
			return nil, fmt.Errorf("%s is missing in tool_input", key)
		case ok && raw[0] != '"':
			return nil, fmt.Errorf("%s in tool_input is no text", key)
		}
	}
	return fields, nil
}

func textOf(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // of another type it is no text
	return s
}

// sortedKeys makes the first finding the same each time.
func sortedKeys(fields map[string]json.RawMessage) []string {
	keys := make([]string, 0, len(fields))
	for k := range fields {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
