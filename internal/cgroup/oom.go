package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// OnOOM calls full each time the kernel ends a process of the group because its memory is used up, until stop is
// called. On version 2 the kernel ends the whole group by itself, and nobody has to be told.
func (g *Group) OnOOM(full func()) (stop func(), err error) {
	dir := g.dir("memory")
	if g == nil || g.plan.Version != 1 || dir == "" {
		return func() {}, nil
	}
	control, err := os.Open(filepath.Join(dir, "memory.oom_control"))
	if err != nil {
		return nil, err
	}
	defer control.Close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	events := os.NewFile(uintptr(fd), "events of "+dir)
	if err := write(dir, "cgroup.event_control", fmt.Sprintf("%d %d", fd, control.Fd())); err != nil {
		events.Close()
		return nil, err
	}
	go func() {
		var count [8]byte
		for {
			if _, err := events.Read(count[:]); err != nil {
				return
			}
			if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
				return // the last event is that the group was removed
			}
			full()
		}
	}()
	return func() { events.Close() }, nil
}
