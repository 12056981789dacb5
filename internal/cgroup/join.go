package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"agentbox/limits"
)

// Of finds the group of a box that runs, by its session and its agent.
func Of(plan *limits.Group, session string, agent int) (*Group, error) {
	if plan == nil {
		return nil, nil
	}
	g := newGroup(plan, session)
	if !plan.Scope {
		return g, nil
	}
	dir, err := groupOf(agent)
	if err != nil {
		return nil, err
	}
	if filepath.Base(dir) != g.name {
		return nil, fmt.Errorf("the box's control group %s is not that of its session", dir)
	}
	for i := range g.plan.Parts {
		g.plan.Parts[i].Parent = filepath.Dir(dir)
	}
	return g, nil
}

// groupOf is the directory of a process's group of version 2.
func groupOf(pid int) (string, error) {
	c := caller{self: fmt.Sprintf("/proc/%d", pid)}
	_, own, err := c.read()
	if err != nil {
		return "", err
	}
	mounts, _, err := caller{self: "/proc/self"}.read() // the process may have others
	if err != nil {
		return "", err
	}
	for _, m := range mounts {
		if dir, ok := m.dir(own[""]); ok && m.version == 2 {
			return dir, nil
		}
	}
	return "", fmt.Errorf("the control group %q of process %d is not visible", own[""], pid)
}

// Add puts one more process into the group of a box that runs. Who may write neither there nor to the nearest group
// above both that and the caller's is refused by the kernel.
func (g *Group) Add(ctx context.Context, pid int) error {
	err := write(g.Dirs()[0], procsFile, fmt.Sprint(pid))
	if g.plan.Scope && errors.Is(err, fs.ErrPermission) {
		return g.addToScope(ctx, pid)
	}
	return err
}
