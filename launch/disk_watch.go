package launch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/workspace"
	"agentbox/limits"
)

// fullPeriod is how often a file system of the box's own is asked whether it is full. The kernel holds the limit; this
// serves the message alone.
const fullPeriod = time.Second

// startDisk looks after what the agent writes.
func (w *watch) startDisk(ctx context.Context) error {
	l, b := w.box.plan.Limits.Writes, w.box
	switch {
	case l == nil || l.Bytes == 0:
	case b.writes != nil:
		w.done.Go(func() {
			w.every(ctx, fullPeriod, w.full)
			w.full()
		})
	default:
		upper, err := os.Open(workspace.LayersOf(b.plan.writes).Upper)
		if err != nil {
			return &MissingError{Layer: "disk limit", Err: err}
		}
		var git *os.File
		if b.plan.Files.Git != "" {
			if git, err = os.Open(workspace.LayersOf(workspace.GitState(b.plan.writes)).Upper); err != nil {
				upper.Close()
				return &MissingError{Layer: "disk limit", Err: err}
			}
		}
		w.done.Go(func() {
			defer upper.Close()
			defer git.Close()
			w.disk(ctx, b.newMeter(upper, git, *l))
		})
	}
	return nil
}

// disk stops a box that has written too much: somebody who can decide freezes it, or it ends. One that is let go on may
// write as much again.
func (w *watch) disk(ctx context.Context, m *meter) {
	once := m.limit
	for again := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
		var passed bool
		if passed, again = m.look(); !passed {
			continue
		}
		r := Reached{Name: limits.Disk, Detail: m.used.String()}
		r.Value = w.box.plan.Limits.Value(r.Name)
		if w.box.onFull == nil || !w.box.onFull(ctx, r) {
			r.Ended = true
			w.reach(r)
			_ = w.box.Kill()
			return
		}
		w.reach(r)
		m.raise(once)
	}
}

// full notes that a file system of the box's own has no room, while it has none.
func (w *watch) full() {
	left, err := freeOn(w.box.writes)
	if err == nil && (left.bytes < fullBytes || left.inodes < 1) {
		w.reach(Reached{Name: limits.Disk, Detail: fmt.Sprintf("the agent was told that no space is left (%d bytes, %d files)", left.bytes, left.inodes)})
	}
}

// fullBytes is less than what any file of more than a page needs.
const fullBytes = 16 << 10

// addUnlinked adds the files that processes of the box hold open and that have no name any more. One that is only
// mapped, or on its way through a socket, is not found.
func (b *Box) addUnlinked(sum *tally) {
	seen := map[inode]bool{}
	for _, pid := range b.processes() {
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		list, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, d := range list {
			name := filepath.Join(dir, d.Name())
			target, err := os.Readlink(name)
			inGit := b.plan.Files.Git != "" && strings.HasPrefix(target, b.plan.Files.Git+"/")
			if err != nil || !inGit && !strings.HasPrefix(target, b.plan.Workspace+"/") || !strings.HasSuffix(target, " (deleted)") {
				continue
			}
			var st unix.Stat_t
			if unix.Stat(name, &st) != nil || st.Nlink > 0 || st.Mode&unix.S_IFMT != unix.S_IFREG {
				continue
			}
			if id := (inode{uint64(st.Dev), st.Ino}); !seen[id] {
				seen[id] = true
				sum.inodes++
				sum.bytes += uint64(st.Blocks) * 512
			}
		}
	}
}
