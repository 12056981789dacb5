package workspace

import (
	"os"
	"strconv"
	"strings"
)

// umask is the caller's, which is read and not set: setting it to read it would
// change it for other threads. Unknown means that only the owner gets anything.
func (w *Workspace) umask() uint32 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0o077
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, "Umask:"); ok {
			if mask, err := strconv.ParseUint(strings.TrimSpace(text), 8, 32); err == nil {
				return uint32(mask) & permissions
			}
		}
	}
	return 0o077
}

// finalMode is what apply gives a file: the agent's permissions, of which the
// umask takes what the host's file did not have before. Links have none.
func finalMode(before, after State, umask uint32) uint32 {
	if after.Type == Symlink || after.Type == None {
		return after.Mode
	}
	mode := after.Mode & permissions
	old := uint32(0)
	if before.Type == after.Type {
		old = before.Mode
	}
	return mode & (^umask | old)
}
