package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	internet "agentbox/internal/boxtest/world"
)

// linked puts a link to the program where the person's own programs are.
func (w *world) linked(t *testing.T, home, program string) {
	t.Helper()
	w.Home = home
	bin := filepath.Join(home, ".local/bin")
	w.WriteFile(t, filepath.Join(bin, "other"), "", 0o755)
	if err := os.Symlink(program, filepath.Join(bin, filepath.Base(program))); err != nil {
		t.Fatal(err)
	}
	w.Path = bin + ":" + w.Path
}

// The agent itself starts by its name, from the link that its installation puts into the person's PATH; and with one line
// of network.allow it talks to its model and uses its tools, with the variables for proxies and without.
func TestClaude(t *testing.T) {
	base := installed(t, "@anthropic-ai/claude-code")
	claude := filepath.Join(base, "tool/bin/claude")
	for account, find := range accounts() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			w.linked(t, filepath.Join(base, strings.ReplaceAll(account, " ", "-")), claude)
			version := w.outside(t, "claude --version")
			if r := w.run(t, "claude", "--version"); r.code != 0 || strings.TrimSpace(r.out) != version {
				t.Errorf("%+v, and outside %q", r, version)
			}
			net := internet.New(t)
			t.Run("captured", func(t *testing.T) { w.talks(t, find, net, "203.0.113.20", direct) })
			t.Run("by the proxy", func(t *testing.T) { w.talks(t, find, net, "203.0.113.21", "") })
			t.Run("keyless", func(t *testing.T) { keyless(t, find, base) })
		})
	}
	t.Run("at the end of its budget", func(t *testing.T) { spent(t, mappedUser, base) })
}

// talks has Claude Code take one scripted turn with a tool call.
func (w *world) talks(t *testing.T, find who, net *internet.World, at, way string) {
	messages := internet.NewMessages(internet.Bash("echo made by the tool >made; cat made"), internet.Turn{Text: "all done"})
	net.Name("api.anthropic.com", at)
	server := net.HTTPS(at+":443", []string{"api.anthropic.com"}, messages)
	const ask = `export ANTHROPIC_API_KEY=sk-test-throw-away CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
		claude -p --permission-mode bypassPermissions "make it" </dev/null`
	box := online(t, find, net, "")
	box.linked(t, w.Home+"-"+filepath.Base(t.Name()), filepath.Join(filepath.Dir(w.Home), "tool/bin/claude"))
	box.allow(t, net, `network.allow = ["api.anthropic.com"]`)
	r := box.sh(t, way+ask)
	if r.code != 0 || strings.TrimSpace(r.out) != "all done" {
		t.Errorf("%+v", r)
	}
	if made, err := os.ReadFile(filepath.Join(box.dir, "made")); err != nil || string(made) != "made by the tool\n" {
		t.Errorf("the tool: %q, %v", made, err)
	}
	seen := messages.Seen()
	if len(seen) < 2 || seen[0].Key != "sk-test-throw-away" || len(seen[len(seen)-1].Result) == 0 {
		t.Errorf("the model was asked %d times", len(seen))
	}
	for _, sni := range server.Hellos() {
		if sni != "api.anthropic.com" {
			t.Errorf("a connection for %q", sni)
		}
	}
	if n := len(server.Requests()); n == 0 || server.Requests()[0].Method == http.MethodConnect {
		t.Errorf("%d requests", n)
	}
}
