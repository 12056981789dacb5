package mounts

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"agentbox/profile"
)

func (b *builder) find(key, format string, args ...any) {
	b.found = append(b.found, profile.Finding{Key: key, Message: fmt.Sprintf(format, args...)})
}

// workspace binds the project at its own path and lays masks and protections over it.
func (b *builder) workspace() {
	w := b.host.Workspace
	if !b.workspaceAllowed(w.Path) {
		return
	}
	b.git()
	m := Mount{Source: w.Path, Target: w.Path, Options: []string{"nosuid", "nodev"}, Owned: true, Why: "workspace.path", Dev: w.Dev, Ino: w.Ino}
	if b.profile.Workspace.Mode == "overlay" {
		b.overlay(m)
		return
	}
	if b.profile.Workspace.Mode != "rw" {
		m.Options = readOnlyBind
	} else {
		b.out.Writable = append(b.out.Writable, w.Path)
	}
	b.bind(m)
	for _, match := range b.host.Masked {
		if b.covers > maxCovers {
			return // which Build refuses
		}
		b.pin(match)
		b.cover(path.Join(w.Path, match.Path), match.Key)
	}
	if b.profile.Workspace.Mode != "rw" {
		return
	}
	for _, match := range b.host.Protected {
		if b.covers > maxCovers {
			return
		}
		b.pin(match)
		b.self(match.Path, Place{Dev: match.Dev, Ino: match.Ino}, readOnlyBind, match.Key)
	}
	b.late()
}

// git shows the git directory of a worktree or a submodule, which lies outside the workspace. In an overlay it is
// another one: what the agent commits is kept apart as its files are. Otherwise it is read-only, because a mount per
// file could not protect what git replaces by renaming.
func (b *builder) git() {
	g, w := b.host.Git, b.host.Workspace.Path
	b.out.NoGit = g.Why
	if g.Path == "" {
		return
	}
	hidden := slices.ContainsFunc(b.host.Hidden, func(m Match) bool { return Below(g.Path, m.Path) })
	switch {
	case hidden:
		b.out.NoGit = "its git directory " + g.Path + " is masked"
	case Below(w, g.Path) || Below(g.Path, w) || Below(b.host.Home, g.Path) || slices.Contains(systemDirs, strings.TrimPrefix(g.Path, "/")):
		b.out.NoGit = "its git directory " + g.Path + " holds more than a repository"
	}
	if b.out.NoGit != "" {
		return
	}
	b.out.Git = g.Path
	m := Mount{Type: "bind", Source: g.Path, Target: g.Path, Options: readOnlyBind, Owned: true, Why: "workspace.path", Dev: g.Dev, Ino: g.Ino}
	switch b.profile.Workspace.Mode {
	case "overlay":
		m.Type, m.Options = "overlay", []string{"nosuid", "nodev"}
		b.out.Writable = append(b.out.Writable, g.Path)
	case "rw":
		b.out.NoGit = "its git directory " + g.Path + " can be read and not written in a workspace of mode \"rw\""
	}
	b.mount(m)
	for _, match := range g.Masked {
		b.cover(path.Join(g.Path, match.Path), match.Key)
	}
}

// pin makes every directory above a masked or protected path a mount point, because a mount point cannot be renamed
// or removed: otherwise the agent would move the parent away and put its own in place.
func (b *builder) pin(m Match) {
	if b.profile.Workspace.Mode != "rw" {
		return
	}
	for _, d := range parents("/" + m.Path) {
		rel := strings.TrimPrefix(d, "/")
		b.self(rel, b.host.Ancestors[rel], []string{"nosuid", "nodev"}, m.Key)
	}
}

// self binds a path of the workspace onto itself, once.
func (b *builder) self(rel string, place Place, options []string, why string) {
	p := path.Join(b.host.Workspace.Path, rel)
	for _, m := range b.out.Mounts {
		if m.Target == p && slices.Equal(m.Options, options) {
			return
		}
	}
	b.covers++
	b.bind(Mount{Source: InBox + p, Target: p, Options: options, Why: why, Dev: place.Dev, Ino: place.Ino})
}

// workspaceAllowed refuses directories that hold more than a project.
func (b *builder) workspaceAllowed(p string) bool {
	switch {
	case p == "/" || slices.Contains(systemDirs, strings.TrimPrefix(p, "/")) || slices.Contains(ownDirs, strings.TrimPrefix(p, "/")):
		b.find("workspace.path", "%s is a directory of the system; start in a project directory", p)
	case Below(b.host.Home, p):
		b.find("workspace.path", "%s is or holds your home directory; start in a project directory", p)
	case Below(p, "/proc") || Below(p, "/sys") || Below(p, "/dev"):
		b.find("workspace.path", "%s is made by the kernel; start in a project directory", p)
	default:
		return true
	}
	return false
}

// late lists what a read-write bind cannot hold: a glob covers the files of the start, and a name that is absent
// cannot be pinned. It is a finding unless the profile lets the layer "late-masks" go.
func (b *builder) late() {
	covered := map[string]bool{}
	for _, m := range slices.Concat(b.host.Masked, b.host.Protected) {
		covered[m.Path] = true
	}
	add := func(key string, patterns []string) {
		for i, p := range patterns {
			if strings.HasPrefix(p, "!") || strings.HasPrefix(p, "~") {
				continue
			}
			anchored := strings.Contains(strings.TrimSuffix(p, "/"), "/")
			if anchored && !strings.ContainsAny(p, "*?[") && covered[strings.Trim(p, "/")] {
				continue
			}
			b.out.Late = append(b.out.Late, p)
			if !slices.Contains(b.profile.Agent.Degrade, profile.DegradeLateMasks) {
				b.find(fmt.Sprintf("%s[%d]", key, i), "%q cannot be held in a workspace of mode \"rw\": a file that appears later is not covered", p)
			}
		}
	}
	add("workspace.mask", b.profile.Workspace.Mask)
	add("workspace.protect", b.profile.Workspace.Protect)
}
