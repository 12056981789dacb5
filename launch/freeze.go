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
	for quiet := 0; quiet < quietLooks; {
		if err := b.control.Signal(unix.SIGSTOP, boxinit.ToAll); err != nil {
			return fmt.Errorf("freeze: %w", err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("not every process has stopped yet"), ctx.Err())
		case <-tick.C:
		}
		switch running, waiting := b.activity(); {
		case running:
			quiet = 0
		case waiting:
			quiet++
		default:
			quiet += quietLooks / 2 // a process that forked between signal and look shows at the second
		}
	}
	return nil
}

// quietLooks is how often a box in which something waits in the kernel is looked at.
const quietLooks = 10

// HoldFrozen looks after a frozen box that must not run, and returns when it is over. The kernel's freezer holds it; stop
// signals do not hold a process that has, say, a timer send itself SIGCONT: one that is seen running again ends the box.
func (b *Box) HoldFrozen() {
	if b.group.Freezes() {
		return
	}
	tick := time.NewTicker(holdPeriod)
	defer tick.Stop()
	for seen := 0; b.process.Signal(unix.Signal(0)) == nil; <-tick.C {
		if running, _ := b.activity(); running {
			seen++
		}
		if seen == holdLooks {
			_ = b.Kill()
			return
		}
	}
}

// One look may find what was in the kernel when it was stopped, on its way out to the stop.
const (
	holdPeriod = 50 * time.Millisecond
	holdLooks  = 3
)

// killFrozen sends each process of a frozen box the signal that it dies of as soon as it can: the end of PID 1 would do the
// same, but only after those that were let go have run for a moment.
func (b *Box) killFrozen() {
	_, inside := b.pidNamespace()
	for _, pid := range b.processes() {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if is, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err == nil && is == inside { // the number is still its own
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		unix.Close(fd)
	}
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

// activity looks at every thread: a stop reaches them one after the other. One that waits in the kernel, as for the
// child of a vfork(2) that has stopped, does not stop before that is over, but then does before it runs again.
func (b *Box) activity() (running, waiting bool) {
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
			switch state, _, _ := strings.Cut(rest, " "); state {
			case "T", "t", "Z", "X":
			case "D":
				waiting = true
			default:
				return true, waiting
			}
		}
	}
	return false, waiting
}
