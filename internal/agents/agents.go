// Package agents knows what the agents that have a preset need besides it: which command is theirs, which of them ask a
// hook, and the settings that they look for, in their home so that they start without a question, and where nobody but
// the machine's owner writes.
//
// It is pure. What it writes into the home holds placeholders and no secret; the agent may change it, and nothing that keeps it in the
// box depends on it.
package agents

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// presets are the agents by the name of their program.
var presets = map[string]string{"claude": "claude", "codex": "codex"}

// Preset is that of a command, by the name of its program or of what a link of that name leads to; "" if it has none.
func Preset(command string) string {
	if p := presets[path.Base(command)]; p != "" || command == "" {
		return p
	}
	if real, err := filepath.EvalSymlinks(command); err == nil {
		return presets[path.Base(real)]
	}
	return ""
}

// Asks reports a kind of agent that asks a hook before each tool call.
func Asks(kind string) bool { return kind == "claude" }

// Unasked names the option of a command line with which an agent of a kind leaves its hook out; "" if there is none.
func Unasked(kind string, argv []string) string {
	if Asks(kind) && slices.Contains(argv, "--bare") {
		return "--bare"
	}
	return ""
}

// Managed is where a kind of agent reads the settings that go before all others; "" if it knows none.
func Managed(kind string) string {
	if kind == "claude" {
		return "/etc/claude-code/managed-settings.json"
	}
	return ""
}

// Sealed are variables that no settings of a project or of the home may set: they would run something in the shell that
// starts the hook, before it. Managed settings go before others, and an empty value means none (ld.so(8), bash(1)).
func Sealed() map[string]string {
	out := map[string]string{}
	for _, name := range []string{"LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "BASH_ENV", "ENV", "SHELLOPTS", "NODE_OPTIONS"} {
		out[name] = ""
	}
	return out
}

// Facts are what settings depend on.
type Facts struct {
	Home, Workspace string            // in the box
	Env             map[string]string // placeholders, by the variable that has them
}

// A File is one of the agent's home.
type File struct{ Path, Content string }

// Settings are the files of a kind of agent.
func Settings(kind string, f Facts) []File {
	switch kind {
	case "claude":
		return claude(f)
	case "codex":
		return codex(f)
	}
	return nil
}

// claude answers what Claude Code asks at its first start: its introduction, whether the key of the environment may be
// used (it remembers keys by their last twenty characters), whether the project is trusted, and whether bypassing its own
// permissions is meant.
func claude(f Facts) []File {
	keys := []string{}
	if key := f.Env["ANTHROPIC_API_KEY"]; key != "" {
		keys = append(keys, key[max(0, len(key)-20):])
	}
	state := map[string]any{
		"hasCompletedOnboarding": true,
		"customApiKeyResponses":  map[string]any{"approved": keys, "rejected": []string{}},
		"projects":               map[string]any{f.Workspace: map[string]any{"hasTrustDialogAccepted": true}},
	}
	return []File{
		{path.Join(f.Home, ".claude.json"), document(state)},
		{path.Join(f.Home, ".claude/settings.json"), document(map[string]any{"skipDangerousModePermissionPrompt": true})},
	}
}

// codex leaves Codex's own sandbox out, which a box does not let it make, and keeps it from asking for updates and plugins.
func codex(f Facts) []File {
	config := fmt.Sprintf(`sandbox_mode = "danger-full-access"
check_for_update_on_startup = false

[analytics]
enabled = false

[features]
plugins = false
apps = false

[projects.%s]
trust_level = "trusted"
`, tomlKey(f.Workspace))
	files := []File{{path.Join(f.Home, ".codex/config.toml"), config}}
	if key := f.Env["CODEX_API_KEY"]; key != "" {
		files = append(files, File{path.Join(f.Home, ".codex/auth.json"), document(map[string]any{"OPENAI_API_KEY": key})})
	}
	return files
}

// document writes JSON; what it is given can be written.
func document(v any) string {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "{}\n"
	}
	return string(data) + "\n"
}

// tomlKey quotes a key as TOML's basic strings are (TOML 1.0, section String).
func tomlKey(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r < ' ' || r == 0x7f:
			b.WriteString(`\u` + fmt.Sprintf("%04X", r))
		default:
			b.WriteRune(r)
		}
	}
	return `"` + b.String() + `"`
}
