package script

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentbox/internal/boxtest"
)

// program writes one, where only this user may.
func program(t *testing.T, text string) Script {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return Script{Name: "test", Argv: []string{path}, Timeout: 5 * time.Second, Home: dir, Workspace: "/nowhere"}
}

func TestWhatAProgramSays(t *testing.T) {
	for name, tc := range map[string]struct{ text, refused string }{
		"nothing, and ends well":              {"cat >/dev/null", ""},
		"nothing, and does not read":          {"exit 0", ""},
		"yes, which leaves it to the rules":   {`echo '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"allow"}}'`, ""},
		"exit code 2":                         {"echo not today >&2; exit 2", "the hook test refuses: not today"},
		"a denial":                            {`echo '{"hookSpecificOutput":{"permissionDecision":"deny","permissionDecisionReason":"no"}}'`, "refuses: no"},
		"a question, which nobody would hear": {`echo '{"hookSpecificOutput":{"permissionDecision":"ask"}}'`, "refuses"},
		"a block in the older shape":          {`echo '{"decision":"block","reason":"old"}'`, "refuses: old"},
		"that the agent is to stop":           {`echo '{"continue":false,"stopReason":"look first"}'`, "refuses: look first"},
		"a word that no hook says":            {`echo '{"decision":"perhaps"}'`, "refuses"},
		"what is not JSON":                    {"echo fine", "could not decide: its answer is not JSON"},
		"exit code 1":                         {"exit 1", "could not decide"},
		"a signal":                            {"kill -9 $$", "could not decide"},
		"too much":                            {"head -c 100000 /dev/zero", "could not decide: it wrote too much"},
		"the event":                           {`grep -q '"tool_name":"Bash"' && exit 2`, "refuses"},
		"a bare environment":                  {`[ -z "$SECRET" ] && [ "$PWD" = "$HOME" ] && exit 0; exit 2`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SECRET", "s")
			r := program(t, tc.text).Ask(t.Context(), []byte(`{"tool_name":"Bash"}`))
			switch {
			case r == nil && tc.refused != "":
				t.Errorf("it does not refuse")
			case r != nil && (tc.refused == "" || !strings.Contains(r.Reason, tc.refused)):
				t.Error(r.Reason)
			case r != nil && r.Stop != strings.Contains(tc.text, "continue"):
				t.Errorf("it stops the agent: %t", r.Stop)
			}
		})
	}
}

func TestAProgramThatHangsRefuses(t *testing.T) {
	s := program(t, "sleep 1000 & wait")
	s.Timeout = 50 * time.Millisecond
	if r := s.Ask(t.Context(), nil); r == nil || !strings.Contains(r.Reason, "no answer within 50ms") {
		t.Error(r)
	}
}

func TestOnlyThePersonsOwnProgramsRun(t *testing.T) {
	for name, change := range map[string]func(s *Script, dir string) error{
		"others may read it":            func(s *Script, dir string) error { return os.Chmod(s.Argv[0], 0o755) },
		"nobody may execute it":         func(s *Script, dir string) error { return os.Chmod(s.Argv[0], 0o600) },
		"it is another's":               func(s *Script, dir string) error { return os.Chown(s.Argv[0], 12345, 12345) },
		"others may replace it":         func(s *Script, dir string) error { return os.Chmod(dir, 0o777) },
		"it lies in the workspace":      func(s *Script, dir string) error { s.Workspace = dir; return nil },
		"it is a link to the workspace": func(s *Script, dir string) error { s.Workspace = dir; return link(t, s) },
		"it is not there":               func(s *Script, dir string) error { return os.Remove(s.Argv[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			s := program(t, "exit 0")
			if r := s.Ask(t.Context(), nil); r != nil {
				t.Fatalf("before: %s", r.Reason)
			}
			if err := change(&s, filepath.Dir(s.Argv[0])); os.IsPermission(err) {
				boxtest.Need(t, boxtest.Root) // only root may give a file away
			} else if err != nil {
				t.Fatal(err)
			}
			if r := s.Ask(t.Context(), nil); r == nil || !strings.Contains(r.Reason, "could not decide") {
				t.Errorf("it ran: %v", r)
			}
		})
	}
}

func link(t *testing.T, s *Script) error {
	to := filepath.Join(t.TempDir(), "link")
	err := os.Symlink(s.Argv[0], to)
	s.Argv = []string{to}
	return err
}
