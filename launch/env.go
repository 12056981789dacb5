package launch

import (
	"maps"
	"path"
	"slices"
	"strings"

	"agentbox/profile"
)

// environment is an allow-list: what env_pass names of the caller's variables, what env sets, and what the box itself
// needs. A variable that a loader or a runtime would execute never passes.
func environment(p profile.Profile, h Host, plan Plan) []string {
	vars := map[string]string{
		"SHELL": "/bin/bash",
		"USER":  "agent", "LOGNAME": "agent",
		"TMPDIR": "/tmp",
	}
	if plan.Terminal {
		vars["TERM"] = "xterm"
	}
	for _, kv := range h.Env {
		name, value, ok := strings.Cut(kv, "=")
		if ok && passes(p.Agent.EnvPass, name) && !profile.HijackVariable(name) {
			vars[name] = value
		}
	}
	plan.networkVariables(vars) // over the caller's own, which lead nowhere from here
	maps.Copy(vars, p.Agent.Env)
	// These describe the box, so neither the caller nor the profile decides them.
	vars["HOME"] = plan.Files.Home
	vars["PATH"] = strings.Join(plan.Files.Path, ":")
	vars["PWD"] = plan.Dir
	vars["XDG_RUNTIME_DIR"] = "/run/user/" + uidText(plan.UID)
	vars["AGENTBOX"] = "1"
	var env []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, name+"="+vars[name])
	}
	return env
}

// passes matches a variable against names and trailing-star patterns such as "LC_*".
func passes(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}
