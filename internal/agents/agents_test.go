package agents

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestPresetOfACommand(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"claude", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("claude", filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ command, want string }{
		"a name":              {"claude", "claude"},
		"a path":              {"/opt/bin/codex", "codex"},
		"a link to it":        {filepath.Join(dir, "c"), "claude"},
		"another program":     {filepath.Join(dir, "other"), ""},
		"a name that is like": {"claude-2", ""},
		"none":                {"", ""},
	} {
		if got := Preset(tc.command); got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestSettingsCanBeReadAndHoldNoMoreThanTheirFacts(t *testing.T) {
	f := Facts{Home: "/home/me", Workspace: "/work/it's \"new\"\\\n", Env: map[string]string{
		"ANTHROPIC_API_KEY": "sk-ant-api03-agentbox0123456789abcdefghij", "CODEX_API_KEY": "sk-agentboxholder"}}
	for _, kind := range []string{"claude", "codex"} {
		files := Settings(kind, f)
		if len(files) == 0 {
			t.Fatal(kind)
		}
		for _, file := range files {
			if !strings.HasPrefix(file.Path, "/home/me/.") {
				t.Errorf("%s: %s", kind, file.Path)
			}
			var v map[string]any
			var err error
			if strings.HasSuffix(file.Path, ".toml") {
				_, err = toml.Decode(file.Content, &v)
			} else {
				err = json.Unmarshal([]byte(file.Content), &v)
			}
			if err != nil {
				t.Errorf("%s: %v\n%s", file.Path, err, file.Content)
			}
			if p, ok := v["projects"].(map[string]any); ok && p[f.Workspace] == nil {
				t.Errorf("%s trusts %v", file.Path, p)
			}
		}
	}
	if text := Settings("claude", f)[0].Content; !strings.Contains(text, `"0123456789abcdefghij"`) || strings.Contains(text, "sk-ant") {
		t.Error(text)
	}
	if got := Settings("", f); got != nil {
		t.Error(got)
	}
}
