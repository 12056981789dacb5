package cli

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// defaultKeys are docker's.
const defaultKeys = "ctrl-p,ctrl-q"

// parseKeys reads a key sequence: characters and ctrl-X, with commas between; "none" is no sequence.
func parseKeys(text string) ([]byte, error) {
	if text == "none" {
		return nil, nil
	}
	var keys []byte
	for _, word := range strings.Split(text, ",") {
		name, ctrl := strings.CutPrefix(strings.ToLower(word), "ctrl-")
		switch {
		case !ctrl && len(word) == 1 && word[0] > ' ' && word[0] < 0x7f:
			keys = append(keys, word[0])
		case ctrl && len(name) == 1 && (name[0] >= 'a' && name[0] <= 'z' || strings.Contains(`@[\]^_`, name)):
			keys = append(keys, name[0]&0x1f)
		default:
			return nil, &usageError{msg: fmt.Sprintf("--detach-keys: %q is not a key", word), hint: `write characters and ctrl-X with commas between, as "ctrl-p,ctrl-q", or "none"`}
		}
	}
	return keys, nil
}

// A keyWatch looks for the keys that detach in what a person types, and holds back what may be their beginning.
type keyWatch struct {
	keys    []byte
	matched int
	held    []byte
}

// feed returns what is for the agent, and whether the person detaches.
func (w *keyWatch) feed(typed []byte) (forAgent []byte, detach bool) {
	for len(typed) > 0 && len(w.keys) > 0 {
		key, size := nextKey(typed)
		one := typed[:size]
		typed = typed[size:]
		if key < 0 && size > 1 && released(one) { // a key that is let go breaks no sequence
			forAgent = append(forAgent, one...)
			continue
		}
		if key != int(w.keys[w.matched]) {
			forAgent = append(forAgent, w.held...)
			w.matched, w.held = 0, nil
		}
		if key != int(w.keys[w.matched]) {
			forAgent = append(forAgent, one...)
			continue
		}
		w.held = append(w.held, one...)
		if w.matched++; w.matched == len(w.keys) {
			return forAgent, true
		}
	}
	return append(forAgent, typed...), false
}

// nextKey reads one key as terminals send it: as a byte, or, when the agent has switched the keyboard protocol of
// kitty or xterm's modifyOtherKeys on, as a sequence. Keys that have no byte are -1.
func nextKey(typed []byte) (key, size int) {
	const longest = 32
	if !bytes.HasPrefix(typed, []byte("\x1b[")) {
		return int(typed[0]), 1
	}
	end := bytes.IndexFunc(typed[2:], func(r rune) bool { return r >= 0x40 && r <= 0x7e })
	if end < 0 || end > longest {
		return int(typed[0]), 1
	}
	size = end + 3
	fields := strings.Split(string(typed[2:end+2]), ";")
	switch final := typed[size-1]; {
	case final == 'u' && len(fields) >= 1: // CSI code ; modifiers : event u
		return keyOf(fields[0], field(fields, 1)), size
	case final == '~' && len(fields) == 3 && fields[0] == "27": // CSI 27 ; modifiers ; code ~
		return keyOf(fields[2], fields[1]), size
	}
	return -1, size
}

func field(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// keyOf gives the byte of a key from its code and its modifiers, each before any colon.
func keyOf(code, modifiers string) int {
	const ctrl, locks = 4, 64 | 128
	code, _, _ = strings.Cut(code, ":")
	modifiers, event, _ := strings.Cut(modifiers, ":")
	n, err := strconv.Atoi(code)
	if err != nil || n < 0 || n > 0x7e || event == "3" {
		return -1
	}
	mask := 1
	if modifiers != "" {
		if mask, err = strconv.Atoi(modifiers); err != nil {
			return -1
		}
	}
	switch (mask - 1) &^ locks {
	case 0:
		return n
	case ctrl:
		return n & 0x1f
	}
	return -1
}

// released reports a sequence of the kitty protocol that says that a key was let go.
func released(sequence []byte) bool {
	_, event, ok := bytes.Cut(sequence[:len(sequence)-1], []byte(":"))
	return ok && sequence[len(sequence)-1] == 'u' && bytes.Equal(event, []byte("3"))
}
