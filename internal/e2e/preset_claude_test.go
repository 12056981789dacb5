package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	internet "agentbox/internal/boxtest/world"
)

// A step is a tool call of the model, what the tool is to say, and what the log says was decided.
type step struct {
	turn           internet.Turn
	says, decision string
}

// write is the turn that writes a file.
func write(path, content string) internet.Turn {
	return internet.Turn{Tool: "Write", Input: map[string]string{"file_path": path, "content": content}}
}

// workday is what an agent does on an ordinary day, and what it must not.
func (w *world) workday() []step {
	in := func(name string) string { return filepath.Join(w.dir, name) }
	read := func(path string) internet.Turn {
		return internet.Turn{Tool: "Read", Input: map[string]string{"file_path": path}}
	}
	return []step{
		{read(in("greet.sh")), "echo hello", "allow"},
		{internet.Turn{Tool: "Edit", Input: map[string]any{"file_path": in("greet.sh"), "old_string": "hello", "new_string": "hello, world"}}, "greet.sh", "allow"},
		{write(in("new.txt"), "made\n"), "new.txt", "allow"},
		{internet.Bash("sh greet.sh && env | grep -c sk-ant-api03-agentbox"), "hello, world\n1", "allow"},
		{read(in(".env")), "", "deny"},
		{internet.Bash("cat .env"), "", "deny"},
		{internet.Bash("rm -rf /"), "", "deny"},
		{internet.Bash("curl -sS -m 5 https://unlisted.test/"), "", "allow"},
		{write("/usr/local/outside", "x"), "", "allow"},
	}
}

// preset makes a project whose person has a key in the environment, and nothing else to say than whom to trust.
func preset(t *testing.T, find who, base, program, key, more string) (*world, *internet.World) {
	t.Helper()
	net := internet.New(t)
	w := newWorld(t, find, "")
	w.Account = net.Near(w.Account)
	w.Enter = append(slices.Clone(w.Enter), "env", key)
	w.Path = "/usr/local/bin:/usr/bin:/bin"
	w.linked(t, filepath.Join(base, strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())), filepath.Join(base, "tool/bin", program))
	w.profile(t, "workspace.mode = \"overlay\"\nnetwork.extra_ca = [\""+net.CAFile(t, w.Account, w.RuntimeDir)+"\"]\n"+more)
	w.WriteFile(t, filepath.Join(w.dir, "greet.sh"), "echo hello\n", 0o644)
	w.WriteFile(t, filepath.Join(w.dir, ".env"), "TOKEN=not-for-agents\n", 0o600)
	return w, net
}

// "agentbox run -- claude" is all that a person types.
func TestClaudeOfThePreset(t *testing.T) {
	base := installed(t, "@anthropic-ai/claude-code")
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			key := modelKey()
			w, net := preset(t, find, base, "claude", "ANTHROPIC_API_KEY="+key, "")
			steps := w.workday()
			var turns []internet.Turn
			for _, s := range steps {
				turns = append(turns, s.turn)
			}
			messages := internet.NewMessages(append(turns, internet.Turn{Text: "all done"})...)
			messages.Usage = used
			net.Name("api.anthropic.com", "203.0.113.20")
			server := net.HTTPS("203.0.113.20:443", []string{"api.anthropic.com"}, messages)
			r := w.run(t, "claude", "-p", "do your work")
			if r.code != 0 || strings.TrimSpace(r.out) != "all done" {
				t.Fatalf("%+v", r)
			}
			seen := messages.Seen()
			results := seen[len(seen)-1].Result
			for i, s := range steps {
				if i >= len(results) || !strings.Contains(results[i], s.says) || strings.Contains(results[i], "not-for-agents") {
					t.Errorf("step %d: %v says %q", i, s.turn.Input, results[min(i, len(results)-1)])
				}
			}
			for i, m := range seen {
				if m.Key != key || strings.Contains(string(m.Body), key) {
					t.Errorf("request %d has the key %q", i, m.Key)
				}
			}
			for _, sni := range server.Hellos() {
				if sni != "api.anthropic.com" {
					t.Errorf("a connection for %q", sni)
				}
			}
			w.isOnRecord(t, steps)
			w.costsWhatWasSent(t, seen)
			w.isReviewed(t)
		})
	}
}

// isOnRecord compares the tool calls of the log with those that were made.
func (w *world) isOnRecord(t *testing.T, steps []step) {
	t.Helper()
	calls, ran := w.events(t, "tool.call"), w.events(t, "tool.result")
	if len(calls) != len(steps) || len(ran) == 0 {
		t.Fatalf("%d tool calls are on record and %d results, of %d", len(calls), len(ran), len(steps))
	}
	for i, s := range steps {
		if calls[i].Tool != s.turn.Tool || calls[i].Decision != s.decision {
			t.Errorf("step %d is on record as %s: %s %s %s", i, calls[i].Tool, calls[i].Decision, calls[i].Rule, calls[i].Reason)
		}
	}
	for _, e := range ran {
		if !slices.ContainsFunc(calls, func(c event) bool { return c.ID == e.ID && c.Decision != "deny" }) {
			t.Errorf("%s %s has run, and was not allowed", e.Tool, e.ID)
		}
	}
}

// isReviewed looks at what the agent changed, and takes it over.
func (w *world) isReviewed(t *testing.T) {
	t.Helper()
	diff := finish(t, w.agentbox(t, "diff", "--name-only"))
	if got := strings.Fields(diff.out); !slices.Equal(got, []string{"greet.sh", "new.txt"}) {
		t.Errorf("%+v", diff)
	}
	if r := finish(t, w.agentbox(t, "apply", "--all")); r.code != 0 {
		t.Errorf("%+v", r)
	}
	if text, err := os.ReadFile(filepath.Join(w.dir, "greet.sh")); err != nil || string(text) != "echo hello, world\n" {
		t.Errorf("%q, %v", text, err)
	}
}

// Claude Code starts in a terminal without a question, follows its size, and gives it back.
func TestClaudeInATerminal(t *testing.T) {
	base := installed(t, "@anthropic-ai/claude-code")
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w, net := preset(t, find, base, "claude", "ANTHROPIC_API_KEY="+modelKey(), "")
			messages := internet.NewMessages(internet.Bash("sh greet.sh >made; stty size </dev/tty >>made"), internet.Turn{Text: "finished-it"})
			net.Name("api.anthropic.com", "203.0.113.20")
			net.HTTPS("203.0.113.20:443", []string{"api.anthropic.com"}, messages)
			s := newScreen(t, 30, 100)
			before := s.modes()
			cmd := s.on(w.agentbox(t, "run", "--", "claude"))
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			s.shows("❯", 1)
			s.resize(40, 120)
			s.send("begin")
			s.shows("begin", 1)
			s.send("\r")
			s.shows("finished-it", 1)
			s.send("\x03")
			s.shows("again", 1)
			s.send("\x03")
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
			if s.modes() != before {
				t.Error("the terminal is not as it was")
			}
			for _, question := range []string{"trust", "API key", "Bypass", "theme"} {
				if strings.Contains(s.text(), question) {
					t.Errorf("it asks about %q:\n%s", question, s.text())
				}
			}
			r := finish(t, w.agentbox(t, "diff"))
			if !strings.Contains(r.out, "+hello") {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Whatever the agent writes for itself while it runs, its rules stay.
func TestClaudeThatWeakensItsPolicy(t *testing.T) {
	base := installed(t, "@anthropic-ai/claude-code")
	const loose = `{"disableAllHooks":true,"permissions":{"allow":["Bash"],"defaultMode":"bypassPermissions"},"hooks":{},"env":{"CLAUDE_CODE_SIMPLE":"1"}}`
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w, net := preset(t, find, base, "claude", "ANTHROPIC_API_KEY="+modelKey(), "[permissions]\ndangerous = \"allow\"\ndeny = [\"Bash(touch:*)\"]\n")
			steps := []step{
				{internet.Bash("touch before"), "permissions.deny[0]", "deny"},
				{internet.Bash("mkdir -p .claude ~/.claude; for f in .claude/settings.json .claude/settings.local.json ~/.claude/settings.json; do echo '" + loose + "' >$f; done; echo wrote"), "wrote", "allow"},
				{internet.Bash("echo '{\"mcpServers\":{\"x\":{\"command\":\"touch\",\"args\":[\"by-mcp\"]}}}' >.mcp.json; echo wrote"), "workspace.protect", "deny"},
				{internet.Bash("for f in /etc/claude-code/managed-settings.json /.agentbox /.hook; do echo x 2>/dev/null >$f || echo kept; rm -f $f 2>/dev/null || echo kept; mv $f /tmp 2>/dev/null || echo kept; done"), strings.Repeat("kept\n", 8) + "kept", "allow"},
				{internet.Bash("touch after"), "permissions.deny[0]", "deny"},
				{internet.Bash("ls"), "greet.sh", "allow"},
			}
			var turns []internet.Turn
			for _, s := range steps {
				turns = append(turns, s.turn)
			}
			messages := internet.NewMessages(append(turns, internet.Turn{Text: "all done"})...)
			net.Name("api.anthropic.com", "203.0.113.20")
			net.HTTPS("203.0.113.20:443", []string{"api.anthropic.com"}, messages)
			if r := w.run(t, "claude", "-p", "--dangerously-skip-permissions", "do it"); r.code != 0 {
				t.Fatalf("%+v", r)
			}
			seen := messages.Seen()
			results := seen[len(seen)-1].Result
			for i, s := range steps {
				if i >= len(results) || !strings.Contains(results[i], s.says) {
					t.Errorf("step %d: %v says %q", i, s.turn.Input, results[min(i, len(results)-1)])
				}
			}
			w.isOnRecord(t, steps)
			diff := finish(t, w.agentbox(t, "diff", "--name-only"))
			for _, name := range []string{"before", "after", "by-mcp"} {
				if strings.Contains(diff.out, name) {
					t.Errorf("%s was made: %+v", name, diff)
				}
			}
		})
	}
}

// An agent takes a hook that was killed or stopped for a yes; its box does not go on.
func TestClaudeWhoseHookIsBroken(t *testing.T) {
	base := installed(t, "@anthropic-ai/claude-code")
	for signal, find := range map[string]who{"KILL": rootAndUser()["root"], "STOP": rootAndUser()["user"]} {
		t.Run(signal, func(t *testing.T) {
			w, net := preset(t, find, base, "claude", "ANTHROPIC_API_KEY="+modelKey(), "[permissions]\ndangerous = \"allow\"\non_broken_hook = \"kill\"\n[[hook]]\nname = \"slow\"\ncommand = [\"~/slow\"]\n")
			w.WriteFile(t, filepath.Join(w.Home, "slow"), "#!/bin/sh\ncat >/dev/null\nexec sleep 1\n", 0o700)
			const hunt = `setsid sh -c 'while :; do for p in /proc/[0-9]*; do case $(tr "\0" " " <$p/cmdline) in "/.agentbox hook"*) kill -%s ${p#/proc/};; esac; done; done' >/dev/null 2>&1 & echo hunting`
			messages := internet.NewMessages(internet.Bash(strings.Replace(hunt, "%s", signal, 1)), internet.Bash("sleep 30; echo got-by"), internet.Turn{Text: "all done"})
			net.Name("api.anthropic.com", "203.0.113.20")
			net.HTTPS("203.0.113.20:443", []string{"api.anthropic.com"}, messages)
			r := w.run(t, "claude", "-p", "do it")
			if r.code == 0 || strings.Contains(r.out, "all done") || !strings.Contains(r.err, "the box was ended") {
				t.Errorf("%+v", r)
			}
			if broken := w.events(t, "hook.broken"); len(broken) == 0 || broken[len(broken)-1].Action != "kill" {
				t.Errorf("%+v", broken)
			}
		})
	}
}
