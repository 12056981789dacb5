package cgroup

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Freezes reports whether the group has the kernel's freezer.
func (g *Group) Freezes() bool {
	return g != nil && (g.plan.Version == 2 || g.dir("freezer") != "")
}

// Freeze stops every process of the group, and returns when the kernel says that it has.
func (g *Group) Freeze(ctx context.Context) error {
	if g.plan.Version == 2 {
		dir := g.Dirs()[0]
		if err := write(dir, "cgroup.freeze", "1"); err != nil {
			return err
		}
		return await(ctx, func() bool { return field(read(dir, "cgroup.events"), "frozen") == 1 })
	}
	dir := g.dir("freezer")
	return await(ctx, func() bool {
		// Written again and again: processes that are being forked keep a hierarchy of version 1 at FREEZING.
		_ = write(dir, "freezer.state", "FROZEN")
		return read(dir, "freezer.state") == "FROZEN"
	})
}

// Thaw lets the group go on.
func (g *Group) Thaw() error {
	if g.plan.Version == 2 {
		return write(g.Dirs()[0], "cgroup.freeze", "0")
	}
	return write(g.dir("freezer"), "freezer.state", "THAWED")
}

// thaw does so for a directory that may be no freezer's.
func thaw(dir string) {
	if unix.Access(filepath.Join(dir, "freezer.state"), unix.W_OK) == nil {
		_ = write(dir, "freezer.state", "THAWED")
	}
}

func await(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if done() {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("the kernel has not frozen every process yet"), ctx.Err())
		case <-tick.C:
		}
	}
}
