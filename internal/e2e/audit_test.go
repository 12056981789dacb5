package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// A box whose log can no longer be written ends, and nothing more joins it; unless the profile lets the log go.
func TestLogOnAFullDisk(t *testing.T) {
	for policy, tc := range map[string]struct {
		code int
		says string
	}{
		"stop":     {137, "no space left on device: the box was ended"},
		"continue": {0, "no space left on device"},
	} {
		t.Run(policy, func(t *testing.T) {
			boxtest.Leftovers(t)
			dir := t.TempDir()
			w := newWorld(t, boxtest.Superuser, fmt.Sprintf("[audit]\ndir = %q\non_failure = %q", filepath.Join(dir, "audit"), policy))
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
				t.Fatal(err)
			}
			defer unix.Unmount(dir, unix.MNT_DETACH)
			var said strings.Builder
			cmd := w.agentbox(t, "run", "--", "sh", "-c", idle)
			cmd.Stderr = &said
			b := begin(t, cmd)
			if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o600); err == nil {
				t.Fatal("the disk is not full")
			}
			joined := finish(t, w.agentbox(t, "exec", "--", "echo", strings.Repeat("x", 9000)))
			if ran := strings.Contains(joined.out, "x"); ran != (policy == "continue") {
				t.Errorf("a further command: %+v", joined)
			}
			if code := b.end(); code != tc.code || !strings.Contains(said.String(), tc.says) {
				t.Errorf("ended with %d: %s", code, said.String())
			}
			logs, err := filepath.Glob(filepath.Join(dir, "audit/*.jsonl"))
			if err != nil || len(logs) != 1 {
				t.Fatal(logs, err)
			}
			if r := finish(t, w.agentbox(t, "log", "verify", logs[0])); r.code != 1 || !strings.Contains(r.out, "unsealed after record ") {
				t.Errorf("what is left of the log: %+v", r)
			}
		})
	}
}
