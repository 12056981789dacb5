package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agentbox/mounts"
	"agentbox/profile"
)

// ownPlaces finds what the box would show of agentbox's own files. Whoever writes them decides about every later box:
// profiles, the list of trusted files, and the state of sessions, from which `exec` learns whose namespaces to enter.
// The sessions are not to be read either: among them are the sockets that supervisors answer, and an ordinary user's agent
// is the same user to them.
func (p policy) ownPlaces(l *loader) profile.Findings {
	running := []string{filepath.Join(l.state, "run"), filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "agentbox"), "/run/agentbox"}
	sessions := append([]string{l.state}, running...)
	var found profile.Findings
	check := func(key, shown string, dirs ...string) {
		for _, dir := range dirs {
			if !filepath.IsAbs(dir) {
				continue
			}
			real, verb := resolveLonger(dir), " holds "
			switch {
			case inside(real, shown):
			case slices.Contains(running, dir) && inside(shown, real):
				verb = " lies in "
			default:
				continue
			}
			found = append(found, profile.Finding{Key: key, Message: shown + verb + dir + ", where agentbox keeps its own files; no agent may have it"})
			return
		}
	}
	settings := append([]string{l.config, l.system}, p.archivePlace()...)
	check("workspace.path", p.host.Files.Workspace.Path, sessions...)
	if p.effective.Profile.Workspace.Mode == "rw" {
		check("workspace.path", p.host.Files.Workspace.Path, settings...)
	}
	if git := p.plan.Files.Git; git != "" {
		check("workspace.path", git, append(sessions, settings...)...)
	}
	for _, m := range p.plan.Files.Mounts {
		switch {
		case m.Why == "workspace.path" || m.Type != "bind" || !filepath.IsAbs(m.Source):
		case m.Writes():
			check(m.Why+".source", m.Source, append(sessions, settings...)...)
		case strings.HasPrefix(m.Why, "rootfs.expose["):
			check(m.Why, m.Source, sessions...)
		case strings.HasPrefix(m.Why, "mount["):
			check(m.Why+".source", m.Source, sessions...)
		}
	}
	return found
}

// archivePlace is what of this host the archive of logs is, or is made by.
func (p policy) archivePlace() []string {
	a, err := archiveAt(p.effective.Profile.Audit.Archive, p.host.Files.Home)
	switch {
	case err != nil: // there is none
	case a.Kind == profile.ArchiveDir:
		return []string{a.Path}
	case a.Kind == profile.ArchiveCommand:
		return []string{a.Argv[0]}
	}
	return nil
}

// shownSecrets finds files with a secret that the agent could read itself.
func (p policy) shownSecrets() profile.Findings {
	var found profile.Findings
	check := func(key, reference string) {
		path, ok := strings.CutPrefix(reference, "file:")
		path, _, _ = strings.Cut(path, "#")
		if path = resolveLonger(expandHome(path, p.host.Files.Home, p.host.Files.Home)); ok && p.shows(path) {
			found = append(found, profile.Finding{Key: key, Message: "the box shows " + path + ", so the agent could read the secret",
				Hint: "keep it elsewhere, or mask it"})
		}
	}
	for i, c := range p.effective.Profile.Credentials {
		check(fmt.Sprintf("credential[%d].source", i), c.Source)
	}
	check("network.upstream_proxy_auth", p.effective.Profile.Network.UpstreamAuth)
	check("audit.archive_token", p.effective.Profile.Audit.ArchiveToken)
	return found
}

// shows reports whether the box has a file of the host's at any path, and not covered there.
func (p policy) shows(path string) bool {
	workspace := p.host.Files.Workspace.Path
	if slices.ContainsFunc(p.host.Files.Masked, func(m mounts.Match) bool { return inside(path, filepath.Join(workspace, m.Path)) }) {
		return false
	}
	layout := p.plan.Files.Mounts
	return slices.ContainsFunc(layout, func(m mounts.Mount) bool {
		source := m.Source
		if m.Type == "overlay" {
			source = workspace
		}
		rel, err := filepath.Rel(source, path)
		if err != nil || !filepath.IsAbs(source) || !filepath.IsLocal(rel) {
			return false
		}
		at := filepath.Join(m.Target, rel)
		return !slices.ContainsFunc(layout, func(c mounts.Mount) bool { return c.Source == mounts.Cover && inside(at, c.Target) })
	})
}

// resolveLonger resolves the links of a path whose end may not exist yet.
func resolveLonger(path string) string {
	for dir, rest := filepath.Clean(path), ""; ; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == "/" {
			return filepath.Clean(path)
		}
	}
}
