package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agentbox/mounts"
)

// appeared lists the protected names that were absent at the start and are there now. No mount can hold what does not
// exist, and some of them are obeyed by programs that people run without a thought: with ".git/commondir" a prompt
// that shows the state of the repository runs what the agent wrote.
func (p policy) appeared() []string {
	w := p.effective.Profile.Workspace
	if w.Mode != "rw" {
		return nil
	}
	root, err := os.OpenRoot(p.plan.Workspace)
	if err != nil {
		return nil
	}
	defer root.Close()
	var list []string
	for _, pattern := range w.Protect {
		name := strings.Trim(pattern, "/")
		if strings.ContainsAny(pattern, "*?[!\\~") || slices.ContainsFunc(p.plan.Files.Mounts, p.holds(name)) {
			continue
		}
		if _, err := root.Lstat(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
			list = append(list, name)
		}
	}
	return list
}

// holds tells the mounts that have held a name since the start.
func (p policy) holds(name string) func(mounts.Mount) bool {
	path := filepath.Join(p.plan.Workspace, name)
	return func(m mounts.Mount) bool {
		return mounts.Below(m.Target, p.plan.Workspace) && m.Target != p.plan.Workspace && !m.Writes() && mounts.Below(path, m.Target)
	}
}

// warnAppeared is said at the end of every session, with a terminal or without.
func (c *caller) warnAppeared(list []string) {
	for _, name := range list {
		c.voice.warnf("%s is protected, was not there at the start and is there now: look at it before a program of yours obeys it", name)
	}
}
