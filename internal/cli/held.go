package cli

import "sync"

// A heldBack tells the person things, at once where the agent does not have the terminal, and otherwise when it has given
// it back.
type heldBack struct {
	c        *caller
	terminal bool
	mu       sync.Mutex
	later    []string
}

func (h *heldBack) say(text string) {
	if !h.terminal {
		h.c.voice.warnf("%s", text)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.later = append(h.later, text)
}

func (h *heldBack) flush() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, text := range h.later {
		h.c.voice.warnf("%s", text)
	}
	h.later = nil
}
