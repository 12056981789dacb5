package cli

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"agentbox/internal/boxtest"
)

// limit is how long a screen may take to show what it must.
const limit = 10 * time.Second

// shell starts a shell in a terminal, with agentbox in PATH.
func shell(t *testing.T, files map[string]string) (*boxtest.Terminal, string) {
	t.Helper()
	boxtest.Need(t, boxtest.Tmux, boxtest.Userns)
	binary := boxtest.Binary(t)
	boxtest.Leftovers(t)
	account := boxtest.User(t)
	dir := boxtest.Project(t, account)
	for name, text := range files {
		account.WriteFile(t, filepath.Join(dir, name), text, 0o644)
	}
	rc := filepath.Join(account.RuntimeDir, "bashrc")
	account.WriteFile(t, rc, "PS1='ready> '; agentbox() { "+binary+" \"$@\"; }\n", 0o600)
	term := boxtest.NewTerminal(t, account, dir, 160, 40, "bash", "--rcfile", rc)
	term.WaitFor("ready>", limit)
	return term, dir
}

func TestOneLineOnATerminal(t *testing.T) {
	term, dir := shell(t, nil)
	term.Type("agentbox run -- tty; echo code $?\n")
	screen := term.WaitFor("code 0", limit)
	line := regexp.MustCompile(`(?m)^agentbox: box [0-9a-z]{12} · profile default · workspace ` + regexp.QuoteMeta(dir) + ` \(overlay\) · network none$`)
	if !line.MatchString(screen) || !strings.Contains(screen, "/dev/pts/0") {
		t.Errorf("the screen:\n%s", screen)
	}
	if strings.Count(screen, "agentbox: ") != 1 {
		t.Errorf("more than one line:\n%s", screen)
	}
}

func TestTrustAsksOnATerminal(t *testing.T) {
	term, _ := shell(t, map[string]string{"agentbox.toml": "agent.env_pass = [\"TOKEN\"]\n"})
	for _, step := range []struct{ answer, want, then string }{
		{"\n", "nothing was changed", "code 1"},
		{"no\n", "nothing was changed", "code 1"},
		{"y\n", "is trusted until it changes", "code 0"},
	} {
		term.Type("clear; agentbox trust; echo code $?\n")
		term.WaitFor("as it is now? [y/N]", limit)
		term.Type(step.answer)
		screen := strings.ReplaceAll(term.WaitFor(step.then, limit), "\n", "") // the answer may push a line over the edge
		if !strings.Contains(screen, step.want) || !strings.Contains(screen, `would add "TOKEN"`) {
			t.Errorf("after %q the screen is\n%s", step.answer, screen)
		}
	}
}

func TestCtrlCReachesTheAgentAndTheTerminalComesBack(t *testing.T) {
	term, _ := shell(t, nil)
	term.Type("agentbox run -- sleep 1000; echo code $?; stty -a | grep -o ' echo '\n")
	term.WaitFor("agentbox: box", limit)
	term.Send("C-c")
	screen := term.WaitFor("code 130", limit)
	if !strings.Contains(screen, "^C") {
		t.Errorf("the screen:\n%s", screen)
	}
	term.WaitFor(" echo", limit)
}
