package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	systemd "github.com/coreos/go-systemd/v22/dbus"

	"agentbox/limits"
)

// Of finds the group of a box that runs, by its session and one of its processes.
func Of(plan *limits.Group, session string, pid int) (*Group, error) {
	if plan == nil {
		return nil, nil
	}
	g := &Group{plan: *plan, name: Name(session)}
	if !plan.Scope {
		return g, nil
	}
	own, err := readOwn(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	mounts, err := readMounts("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for _, m := range mounts {
		if dir, ok := m.dir(own[""]); ok && m.version == 2 {
			g.name = filepath.Base(dir)
			for i := range g.plan.Parts {
				g.plan.Parts[i].Parent = filepath.Dir(dir)
			}
			return g, nil
		}
	}
	return nil, errors.New("the box's control group is not visible")
}

// Add puts one more process into the group of a box that runs.
func (g *Group) Add(ctx context.Context, pid int) error {
	err := write(g.Dirs()[0], procsFile, fmt.Sprint(pid))
	if !g.plan.Scope || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	// From a login session's group only systemd may take a process away.
	conn, err := systemd.NewUserConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	defer conn.Close()
	if !strings.HasSuffix(g.name, ".scope") {
		return fmt.Errorf("%s is not a scope of systemd", g.name)
	}
	return conn.AttachProcessesToUnit(ctx, g.name, "/", []uint32{uint32(pid)})
}
