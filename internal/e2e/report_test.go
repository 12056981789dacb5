package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode"
	"unicode/utf8"

	"agentbox/internal/audit"
	"agentbox/internal/boxtest"
	"agentbox/internal/boxtest/browser"
	internet "agentbox/internal/boxtest/world"
)

// page writes the report of the latest session and returns its address. It is its owner's alone.
func (w *world) page(t *testing.T) (url string) {
	t.Helper()
	path := filepath.Join(w.Home, "report.html")
	if r := finish(t, w.agentbox(t, "log", "report", "-o", path)); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the page has the mode %v (%v)", info.Mode(), err)
	}
	return "file://" + path
}

// fit checks that a page is fit to be read, asks for nothing and runs nothing.
func fit(t *testing.T, p *browser.Page) {
	t.Helper()
	for view, v := range map[string]browser.View{"desktop": {Width: 1280}, "desktop, dark": {Width: 1280, Dark: true},
		"phone": {Width: 390, Mobile: true}, "small phone, dark": {Width: 360, Mobile: true, Dark: true}, "paper": {Width: 720, Print: true}} {
		p.As(v)
		for _, fault := range p.Faults() {
			t.Errorf("%s: %s", view, fault)
		}
	}
	var obeyed bool
	p.Eval(`typeof window.obeyed !== "undefined"`, &obeyed)
	if asked := p.Requests(); obeyed || len(asked) != 1 || len(p.Complaints()) != 0 {
		t.Errorf("a script ran: %t; it asked for %q; the browser says %q", obeyed, asked, p.Complaints())
	}
}

// A session with programs, refusals, changes, a credential, a freeze and a budget that is used up, as its page tells it.
func TestPageOfASession(t *testing.T) {
	boxtest.Need(t, boxtest.Chromium, "curl")
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			boxtest.Leftovers(t)
			net, secret := internet.New(t), newSecret()
			net.Name("api.anthropic.com", "203.0.113.20")
			messages := internet.NewMessages()
			messages.Usage = used
			net.HTTPS("203.0.113.20:443", []string{"api.anthropic.com"}, messages)
			w := withKey(t, find, net, secret, "", "")
			w.profile(t, fmt.Sprintf("audit.exec = true\nworkspace.mode = \"overlay\"\nnetwork.mode = \"allowlist\"\nnetwork.extra_ca = [%q]\nnetwork.allow = [\"api.anthropic.com\"]\n%s\n[budget]\nusd = 0.01\n",
				net.CAFile(t, w.Account, w.RuntimeDir), credential("anthropic", "env:REAL_KEY", "api.anthropic.com", asHeader)))
			const ask = `curl -sS -H 'anthropic-version: 2023-06-01' -d '{"model":"claude-sonnet-4-5","max_tokens":9,"messages":[{"role":"user","content":"x"}]}' https://api.anthropic.com/v1/messages >&2; `
			b := w.start(t, `echo ready; cat >/dev/null; `+ask+ask+`curl -sS https://unlisted.test/ >&2; mkdir -p .git/hooks src; echo x >src/new; echo x >.git/hooks/pre-commit; true; false; exit 3`)
			w.freezeAndResume(t, func() {})
			if code := b.end(); code != 3 {
				t.Fatalf("it ended with %d", code)
			}
			p := browser.Start(t).Open(t, w.page(t), browser.View{Width: 1280})
			fit(t, p)
			var text string
			p.Eval("document.body.textContent", &text)
			for _, want := range []string{"exited with 3", "api.anthropic.com:443", "https://console.anthropic.com/settings/keys", "the budget was reached",
				"unlisted.test:443", "not-allowed", ".git/hooks/pre-commit", "run or obeyed outside the box: git hooks", "frozen by a person", "/usr/bin/curl", "Cost of models", "sealed"} {
				if !strings.Contains(text, want) {
					t.Errorf("the page does not say %q:\n%s", want, text)
				}
			}
			for _, format := range []string{"text", "json", "html"} {
				r := finish(t, w.agentbox(t, "log", "report", "--format", format))
				finds(t, "report as "+format, []byte(r.out+r.err), []string{secret})
			}
		})
	}
}

// A report of a session that runs, of one whose supervisor was killed, and of a log that somebody cut or changed says so
// before all else; that of a whole one does not.
func TestReportSaysWhatTheLogIs(t *testing.T) {
	for account, find := range rootAndUser() {
		t.Run(account, func(t *testing.T) {
			w := newWorld(t, find, "")
			says := func(when, notice string) {
				t.Helper()
				r := finish(t, w.agentbox(t, "log", "report"))
				if got, ok := strings.CutPrefix(r.out, "# Session\n\n    ! "); r.code != 0 || ok != (notice != "") || !strings.HasPrefix(got, notice) && notice != "" {
					t.Errorf("%s: %.300s", when, r.out)
				}
				data, err := os.ReadFile(strings.TrimPrefix(w.page(t), "file://"))
				if page := string(data); err != nil || strings.Contains(page, `role="note"`) != (notice != "") || !strings.Contains(page, notice) {
					t.Errorf("%s: the page does not say the same (%v)", when, err)
				}
			}
			b := w.start(t, idle)
			says("it runs", "The session is not over, it still runs: this is what it has done so far;")
			w.freezeAndResume(t, func() {
				says("it is frozen", "The session is not over, it is frozen: this is what it has done so far;")
			})
			if err := b.cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			b.end()
			says("its supervisor was killed", "This is no whole session: the log has no end and no seal.")
			if r := w.sh(t, `ls "$HOME/.local/state" || ls -d `+filepath.Join(w.Home, ".local/state")); r.code == 0 {
				t.Errorf("the agent sees where logs are: %+v", r)
			}
			says("it is whole", "")
			logs, err := filepath.Glob(filepath.Join(w.Home, ".local/state/agentbox/audit/*.jsonl"))
			if err != nil || len(logs) != 2 {
				t.Fatalf("%q, %v", logs, err)
			}
			path := logs[0]
			whole, err := os.ReadFile(path)
			if err == nil && !strings.Contains(string(whole), `"log.seal"`) { // of the supervisor that was killed
				path = logs[1]
				whole, err = os.ReadFile(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfter(string(whole), "\n")
			w.WriteFile(t, path, strings.Join(lines[:len(lines)-2], ""), 0o600)
			says("the seal was cut off", "The log has no seal: its writer was killed, still writes, or somebody cut the log;")
			w.WriteFile(t, path, strings.Join(lines[:2], "")+lines[2][:40], 0o600)
			says("the log was cut in a record", "This is no whole session: the log has no end and no seal.")
			w.WriteFile(t, path, strings.Replace(string(whole), `"cause":"exited"`, `"cause":"killed"`, 1), 0o600)
			says("a record was changed", "Somebody changed the log: broken at record ")
		})
	}
}

// Names of files and arguments that mean something to a terminal, a page, a log or a table are shown as text by all that
// shows them, each on its own line, and are the same in JSON.
func TestHostileNamesAreShownAsText(t *testing.T) {
	boxtest.Need(t, boxtest.Chromium)
	w := newOverlay(t, mappedUser, "[audit]\nexec = true\n")
	var names, arguments []string
	for _, x := range boxtest.HostileTexts(t) {
		if x = strings.ReplaceAll(x, "\x00", ""); x != "" {
			arguments = append(arguments, x)
			names = append(names, "./n"+strings.ReplaceAll(x, "/", "|"))
		}
	}
	w.WriteFile(t, filepath.Join(w.dir, "names"), strings.Join(names, "\x00"), 0o644)
	w.WriteFile(t, filepath.Join(w.dir, "arguments"), strings.Join(arguments, "\x00"), 0o644)
	script := `xargs -0 touch <names && xargs -0 -n1 /bin/true <arguments && xargs -0 /bin/echo <arguments >/dev/null; tr "\\000" "\\n" <arguments >content; echo ready; exec cat`
	cmd := w.agentbox(t, append([]string{"run", "--", "sh", "-c", script}, arguments...)...)
	cmd.Stderr = os.Stderr
	b := begin(t, cmd)
	if r := isText(t, w, "ps"); strings.Count(r.out, "\n") != 2 {
		t.Errorf("ps: %s", r.out)
	}
	if code := b.end(); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
	for _, args := range [][]string{{"log"}, {"log", "report"}, {"diff"}, {"diff", "--stat"}, {"diff", "--name-only"}, {"ps", "--all"}, {"explain"}, {"apply", "./nothing\x1b[2J"}} {
		isText(t, w, args...)
	}
	for _, args := range [][]string{{"log", "report", "--format", "json"}, {"diff", "--json"}, {"ps", "--all", "--json"}, {"explain", "--json"}, {"log", "verify", "--json"}} {
		if r := isText(t, w, args...); !json.Valid([]byte(r.out)) {
			t.Errorf("agentbox %q: no JSON", args)
		}
	}
	w.recordsEach(t, arguments)
	fit(t, browser.Start(t).Open(t, w.page(t), browser.View{Width: 1280}))
	if r := isText(t, w, "discard", "--yes"); r.code != 0 {
		t.Errorf("%+v", r)
	}
}

// isText runs a command of agentbox, of whose output a terminal obeys nothing: it is printable, and in lines.
func isText(t *testing.T, w *world, args ...string) result {
	t.Helper()
	r := finish(t, w.agentbox(t, args...))
	if r.out+r.err == "" {
		t.Errorf("agentbox %q says nothing", args)
	}
	for line := range strings.Lines(r.out + r.err) {
		if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(c rune) bool { return !unicode.IsPrint(c) && c != '\t' }); i >= 0 || !utf8.ValidString(line) {
			t.Errorf("agentbox %q: byte %d of %q", args, i, line)
		}
	}
	return r
}

// recordsEach checks that each argument is on the record of a program's start as the very bytes that it was, that each
// record is one line of ASCII, and that nothing in it became a record.
func (w *world) recordsEach(t *testing.T, arguments []string) {
	t.Helper()
	seen, n := map[string]bool{}, 0
	for line := range strings.Lines(isText(t, w, "log", "--json").out) {
		r, err := audit.ParseRecord([]byte(strings.TrimSuffix(line, "\n")))
		if err != nil || r.Seq != uint64(n) || strings.ContainsFunc(line, func(c rune) bool { return c > '~' }) {
			t.Fatalf("record %d: %v\n%s", n, err, line)
		}
		n++
		e, err := r.Event()
		if start, ok := e.(*audit.ProgramStart); err == nil && ok && start.Path == "/bin/true" && len(start.Argv) == 2 {
			seen[string(start.Argv[1])] = true
		}
	}
	for _, x := range arguments {
		if !seen[x] {
			t.Errorf("no program was started with %q, by the log", x)
		}
	}
}
