package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxtest"
)

// A box whose log finds the disk full just before, at or just behind the exchange of its files ends as with any other log that
// cannot be written, unless the profile lets the log go; what is left reads, and is looked after when there is room.
func TestLogThatFindsTheDiskFullAtItsRotation(t *testing.T) {
	for policy, code := range map[string]int{"stop": 137, "continue": 0} {
		for _, pages := range []int{16, 17, 18, 20} {
			t.Run(fmt.Sprint(policy, " with ", pages, " pages"), func(t *testing.T) {
				boxtest.Leftovers(t)
				dir := t.TempDir()
				w := newWorld(t, boxtest.Superuser, fmt.Sprintf("[audit]\ndir = %q\non_failure = %q\nrotate = \"64KiB\"\nexec = true", filepath.Join(dir, "audit"), policy))
				if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", 4*pages)); err != nil {
					t.Fatal(err)
				}
				defer unix.Unmount(dir, unix.MNT_DETACH)
				r := finish(t, w.agentbox(t, "run", "--", "sh", "-c", "i=0; while test $i -lt 400; do /bin/true; i=$((i+1)); done"))
				if r.code != code || !strings.Contains(r.err, "no space left on device") {
					t.Errorf("ended with %+v", r)
				}
				verdict := func() string {
					r := finish(t, w.agentbox(t, "log", "verify"))
					if r.code != 1 || !strings.Contains(r.out, "unsealed after record ") {
						t.Errorf("what is left of the log: %+v", r)
					}
					return r.out
				}
				before := verdict()
				if r := finish(t, w.agentbox(t, "log")); r.code != 0 || !strings.Contains(r.out, "/bin/true") {
					t.Errorf("it does not read: %+v", r)
				}
				if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=1m"); err != nil {
					t.Fatal(err)
				}
				if r := finish(t, w.agentbox(t, "log", "prune", "--yes")); r.code != 0 || strings.Contains(r.err, "warning") {
					t.Errorf("upkeep: %+v", r)
				}
				if plain, _ := filepath.Glob(filepath.Join(dir, "audit/*.0*.jsonl")); len(plain) > 0 {
					t.Errorf("left are %v", plain)
				}
				if after := verdict(); after != before {
					t.Errorf("%q, and before %q", after, before)
				}
			})
		}
	}
}
