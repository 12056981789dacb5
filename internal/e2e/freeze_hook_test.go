package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// A program of the person's own that looks at tool calls can freeze the box until the person has looked. Its other
// answers let it go on.
func TestHookThatFreezes(t *testing.T) {
	const ask = `printf '{"session_id":"s","hook_event_name":"PreToolUse","cwd":"%s","tool_name":"Bash","tool_input":{"command":"ls"}}' "$PWD" | /.agentbox hook
		echo went on; exec cat`
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "extends = [\"claude\"]\n[[hook]]\nname = \"migrations\"\ncommand = [\"~/looks\"]\n")
			w.WriteFile(t, filepath.Join(w.Home, "looks"), "#!/bin/sh\ncat >/dev/null\ncat ~/answer\n", 0o700)
			for answer, frozen := range map[string]bool{`{"continue": false, "stopReason": "a person is to look"}`: true, `{"decision": "block", "reason": "not now"}`: false} {
				w.WriteFile(t, filepath.Join(w.Home, "answer"), answer, 0o600)
				b := w.start(t, "echo ready; "+ask)
				if frozen {
					until(t, "frozen", func() bool { return strings.Contains(finish(t, w.agentbox(t, "ps")).out, "frozen") })
					if log := finish(t, w.agentbox(t, "log")).out; !strings.Contains(log, "session.freeze      by hook migrations") || !strings.Contains(log, "a person is to look") {
						t.Error(log)
					}
					if r := finish(t, w.agentbox(t, "resume")); r.code != 0 {
						t.Fatalf("%+v", r)
					}
				}
				for said := ""; !strings.HasSuffix(said, "went on"); {
					said = b.line(t)
				}
				if log := finish(t, w.agentbox(t, "log")).out; strings.Contains(log, "session.freeze") != frozen {
					t.Error(log)
				}
				if code := b.end(); code != 0 {
					t.Errorf("it ended with %d", code)
				}
			}
		})
	}
}
