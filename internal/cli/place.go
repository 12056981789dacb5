package cli

import (
	"os"
	"path/filepath"

	"agentbox/profile"
)

// ownPlaces finds what the box would show of agentbox's own files. Whoever writes them decides about every later box:
// profiles, the list of trusted files, and the state of sessions, from which `exec` learns whose namespaces to enter.
// The sessions are not to be read either.
func (p policy) ownPlaces(l *loader) profile.Findings {
	sessions := []string{l.state, filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "agentbox"), "/run/agentbox"}
	var found profile.Findings
	check := func(key, shown string, dirs ...string) {
		for _, dir := range dirs {
			if filepath.IsAbs(dir) && inside(resolveLonger(dir), shown) {
				found = append(found, profile.Finding{Key: key,
					Message: shown + " holds " + dir + ", where agentbox keeps its own files; no agent may have it"})
				return
			}
		}
	}
	settings := []string{l.config, l.system}
	check("workspace.path", p.host.Files.Workspace.Path, sessions...)
	if p.effective.Profile.Workspace.Mode == "rw" {
		check("workspace.path", p.host.Files.Workspace.Path, settings...)
	}
	if git := p.plan.Files.Git; git != "" {
		check("workspace.path", git, append(sessions, settings...)...)
	}
	for _, m := range p.plan.Files.Mounts {
		if m.Why != "workspace.path" && m.Type == "bind" && m.Writes() && filepath.IsAbs(m.Source) {
			check(m.Why+".source", m.Source, append(sessions, settings...)...)
		}
	}
	return found
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
