package permission

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strings"
)

// managed is the part of Claude Code's managed-settings.json that agentbox writes.
type managed struct {
	Permissions   managedRules      `json:"permissions"`
	HooksOnly     bool              `json:"allowManagedHooksOnly"`
	RulesOnly     bool              `json:"allowManagedPermissionRulesOnly"`
	SkipPreflight bool              `json:"skipWebFetchPreflight,omitempty"`
	Hooks         managedHooks      `json:"hooks"`
	Env           map[string]string `json:"env,omitempty"`
}

type managedRules struct {
	Allow  []string `json:"allow"`
	Ask    []string `json:"ask"`
	Deny   []string `json:"deny"`
	Bypass string   `json:"disableBypassPermissionsMode,omitempty"`
}

type managedHooks struct {
	Before []hookMatcher `json:"PreToolUse"`
	After  []hookMatcher `json:"PostToolUse"`
}

type hookMatcher struct {
	Matcher string        `json:"matcher"`
	Hooks   []hookCommand `json:"hooks"`
}

type hookCommand struct {
	Type    string `json:"type"`
	Command string `json:"command"`
	Timeout int    `json:"timeout,omitempty"`
}

// managedSettings writes the file. Without a hook nobody would answer what the client does not decide, and without the
// workspace paths would mean something else; then there is none.
func (c *compiler) managedSettings() []byte {
	if !c.writesSettings() {
		return nil
	}
	each := []hookMatcher{{Matcher: "*", Hooks: []hookCommand{{Type: "command", Command: commandLine(c.o.HookCommand), Timeout: c.o.HookTimeout}}}}
	m := managed{
		Permissions: c.settings, HooksOnly: true, RulesOnly: true, SkipPreflight: c.o.SkipPreflight,
		Hooks: managedHooks{Before: each, After: each}, Env: c.o.Env,
	}
	if !c.o.Bypass {
		m.Permissions.Bypass = "disable"
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if enc.Encode(m) != nil {
		return nil // strings and numbers always encode
	}
	return b.Bytes()
}

func (c *compiler) writesSettings() bool {
	return len(c.o.HookCommand) > 0 && c.o.HookCommand[0] != "" && path.IsAbs(c.o.Workspace)
}

// setting writes a Rule as the client understands it, or says why it is left to the hook.
func (c *compiler) setting(r Rule, v verdict) {
	if !c.writesSettings() {
		return
	}
	list := &c.settings.Deny
	switch v {
	case ask:
		list = &c.settings.Ask
	case allow:
		list = &c.settings.Allow
	}
	rules, why := c.asClient(r, v)
	if why != "" {
		c.why(why)
	}
	for _, one := range rules {
		if _, problem := split(one); problem != "" {
			c.why("it is not in the client's settings: the path of the workspace cannot be written there")
			continue
		}
		if !slices.Contains(*list, one) {
			*list = append(*list, one)
		}
		c.effect(Settings, v.String()+" "+one)
	}
}

// asClient gives the rules of the client that say what a Rule of the profile does. Of paths it consults Read and Edit
// alone, the latter for every tool that writes; its denials beat every allow; and a path from "/" is one of the
// directory of the settings.
func (c *compiler) asClient(r Rule, v verdict) (rules []string, why string) {
	path := func(tool string) string { return Rule{tool, c.absolute(r.Spec)}.String() }
	switch {
	case v == deny && c.survived(r):
		return nil, "it is not in the client's settings, where it would beat what permissions.allow names"
	case v == deny && r.All() && r.Spec != "" && !Edits(r.Tool) && r.Tool != "Read":
		return []string{r.Tool}, ""
	case v == allow && strings.Contains(r.Tool, "*"):
		return nil, "it is not in the client's settings: the client allows no pattern of tools"
	case r.Spec == "":
		return []string{r.Tool}, ""
	case r.Tool == "Read" && v == deny:
		return []string{path("Read"), path("Edit")}, ""
	case r.Tool == "Read":
		return []string{path("Read")}, ""
	case r.Tool == "Edit", Edits(r.Tool) && v != allow:
		return []string{path("Edit")}, ""
	case Edits(r.Tool):
		return nil, "it is not in the client's settings, where an allow of paths is about every tool that writes"
	case r.Tool == "Glob" || r.Tool == "Grep" || r.Tool == "LS" || r.Tool == "NotebookRead":
		return nil, "it is not in the client's settings, which know paths of Read and Edit alone"
	}
	return []string{r.String()}, ""
}

// absolute writes a path from "/" as the client writes full paths.
func (c *compiler) absolute(spec string) string {
	if !strings.HasPrefix(spec, "/") || strings.HasPrefix(spec, "//") {
		return spec
	}
	quoted := strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(strings.TrimSuffix(c.o.Workspace, "/"))
	return "/" + quoted + spec
}

// commandLine quotes a command for the shell with which the client runs it.
func commandLine(argv []string) string {
	words := make([]string, len(argv))
	for i, arg := range argv {
		words[i] = arg
		if arg == "" || strings.Trim(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_") != "" {
			words[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
