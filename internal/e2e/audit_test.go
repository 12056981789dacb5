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

// A box that is to be frozen when its log cannot be written stays where it is: it can be looked at and ended, and nothing
// makes it go on.
func TestLogOnAFullDiskFreezes(t *testing.T) {
	for how, by := range frozenBy() {
		t.Run(how, func(t *testing.T) {
			boxtest.Leftovers(t)
			w := newWorld(t, by.find, by.profile+"\n[audit]\ndir = '~/full/audit'\non_failure = 'freeze'")
			dir := filepath.Join(w.Home, "full")
			if r := finish(t, w.Command(t, w.Home, "mkdir", "full")); r.code != 0 {
				t.Fatal(r)
			}
			defer os.Remove(dir)
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=64k,mode=700,uid=%d,gid=%d", w.UID, w.GID)); err != nil {
				t.Fatal(err)
			}
			defer unix.Unmount(dir, unix.MNT_DETACH)
			b := w.start(t, `echo ready; while :; do echo x >>grows; sleep 0.01; done`)
			until(t, "it works", func() bool { return w.size("grows") > 0 })
			if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o600); err == nil {
				t.Fatal("the disk is not full")
			}
			finish(t, w.agentbox(t, "exec", "--", "echo", strings.Repeat("x", 9000)))
			until(t, "it is frozen", func() bool { return strings.Contains(finish(t, w.agentbox(t, "ps")).out, "frozen") })
			w.quiet(t, "grows")
			if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
				t.Fatal(err)
			}
			if r := finish(t, w.agentbox(t, "resume")); r.code == 0 || !strings.Contains(r.err, "cannot be written") {
				t.Errorf("resume: %+v", r)
			}
			w.quiet(t, "grows")
			if e := w.evidence(t, 0); e["processes.json"] == nil {
				t.Errorf("it cannot be looked at: %s", e["manifest.json"])
			}
			if r := finish(t, w.agentbox(t, "kill")); r.code != 0 {
				t.Errorf("kill: %+v", r)
			}
			if code := b.end(); code != 137 {
				t.Errorf("it ended with %d", code)
			}
		})
	}
}
