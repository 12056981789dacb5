package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	internet "agentbox/internal/boxtest/world"
)

// "agentbox run -- codex exec" is all that a person types: no sandbox of its own, no question, no key.
func TestCodexOfThePreset(t *testing.T) {
	base := installed(t, "@openai/codex")
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			key := "sk-proj-" + newSecret()[5:31]
			w, net := preset(t, find, base, "codex", "OPENAI_API_KEY="+key, "[[price]]\nmodel = \"test-model\"\ninput = 1.5\noutput = 12.0\ncache_read = 0.15\ncache_write = 2.0\n")
			responses := internet.NewResponses(internet.Shell("sh greet.sh >made; cat made .env; curl -sS -m 5 https://unlisted.test/"), internet.Turn{Text: "all done"})
			responses.Usage = used
			net.Name("api.openai.com", "203.0.113.21")
			server := net.HTTPS("203.0.113.21:443", []string{"api.openai.com"}, responses)
			r := w.run(t, "codex", "exec", "--skip-git-repo-check", "-m", "test-model", "make it")
			if r.code != 0 || !strings.Contains(r.out, "all done") {
				t.Fatalf("%+v", r)
			}
			seen := responses.Seen()
			for i, m := range seen {
				if m.Bearer != key {
					t.Errorf("request %d has the key %q", i, m.Bearer)
				}
			}
			saw(t, seen, key, "hello")
			if said := strings.Join(seen[len(seen)-1].Result, ""); strings.Contains(said, "not-for-agents") {
				t.Errorf("the tool said %q", said)
			}
			for _, sni := range server.Hellos() {
				if sni != "api.openai.com" {
					t.Errorf("a connection for %q", sni)
				}
			}
			w.costsWhatWasSent(t, seen)
			if r := finish(t, w.agentbox(t, "apply", "--all")); r.code != 0 {
				t.Errorf("%+v", r)
			}
			if text, err := os.ReadFile(filepath.Join(w.dir, "made")); err != nil || string(text) != "hello\n" {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}
