package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"agentbox/internal/boxinit"
)

// Freeze stops everything in the box but its PID 1, and returns when it has stopped. Where the box has a control group
// the kernel does it and no process can tell; otherwise they are sent SIGSTOP, again and again, until none runs.
func (b *Box) Freeze(ctx context.Context) error {
	if b.group.Freezes() {
		return b.group.Freeze(ctx)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for quiet := 0; quiet < 2; { // a process that forked between signal and look shows at the second
		if err := b.control.Signal(unix.SIGSTOP, boxinit.ToAll); err != nil {
			return fmt.Errorf("freeze: %w", err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("not every process has stopped yet"), ctx.Err())
		case <-tick.C:
		}
		if b.stoppedAll() {
			quiet++
		} else {
			quiet = 0
		}
	}
	return nil
}

// Resume lets a frozen box go on.
func (b *Box) Resume() error {
	if b.group.Freezes() {
		return b.group.Thaw()
	}
	if err := b.control.Signal(unix.SIGCONT, boxinit.ToAll); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	return nil
}

// stoppedAll looks at every thread: a stop reaches them one after the other.
func (b *Box) stoppedAll() bool {
	for _, pid := range b.processes() {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			continue
		}
		for _, t := range threads {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/stat", pid, t.Name()))
			if err != nil {
				continue
			}
			_, rest, _ := strings.Cut(string(data)[strings.LastIndexByte(string(data), ')')+1:], " ")
			if state, _, _ := strings.Cut(rest, " "); !strings.Contains("TtZX", state) {
				return false
			}
		}
	}
	return true
}
