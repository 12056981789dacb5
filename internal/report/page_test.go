package report

import (
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agentbox/internal/audit"
	"agentbox/internal/boxtest"
	"agentbox/internal/boxtest/browser"
)

func TestMain(m *testing.M) { os.Exit(boxtest.Main(m)) }

// A happening is an event and when it was, in seconds.
type happening struct {
	at    float64
	event audit.Event
}

// told is the report of what happened over a longer time than a test has.
func told(t testing.TB, list []happening) *Report {
	t.Helper()
	begin := time.Date(2026, 11, 30, 23, 30, 0, 0, time.UTC)
	var records iter.Seq2[audit.Record, error] = func(yield func(audit.Record, error) bool) {
		for i, h := range list {
			data, err := json.Marshal(h.event)
			elapsed := time.Duration(h.at * float64(time.Second))
			r := audit.Record{Version: 1, Seq: uint64(i), Time: begin.Add(elapsed), Elapsed: elapsed, Session: "1s0m4p2bv7c3", Type: audit.Text(h.event.Type()), Data: data}
			if !yield(r, err) {
				return
			}
		}
	}
	return From(records, audit.Report{Verdict: audit.Sealed, Session: "1s0m4p2bv7c3", Records: uint64(len(list)), Parts: 1, Last: strings.Repeat("0123456789abcdef", 4)}, Meanwhile{})
}

// afternoon is a long session with much of everything: so many programs, and hosts, files, refusals and tool calls in proportion.
func afternoon(programs int) (list []happening) {
	at, step := 0.0, 5400/float64(programs)
	add := func(e audit.Event) { at += step / 4; list = append(list, happening{at, e}) }
	long := audit.Text("node_modules/" + strings.Repeat("@scope/a-package-with-a-long-name/", 6) + "index.js")
	add(&audit.Start{Agentbox: "1.0.0", Kernel: "6.18.5", Workspace: "/home/me/src/a-project", Mode: "overlay", Profile: "claude", Network: "allowlist",
		Argv:   []audit.Text{"claude", "-p", "make the tests of the parser pass, then open a pull request"},
		Limits: []audit.Limit{{Name: "memory", Value: "4GiB", State: "enforced"}, {Name: "pids", Value: "512", State: "enforced"}, {Name: "timeout", Value: "4h", State: "watched"}}})
	add(&audit.Ready{BoxPID: 4242})
	for i := range programs {
		pid := 5000 + i
		path := audit.Text(fmt.Sprintf("/usr/bin/tool-%d", i%40))
		add(&audit.ProgramStart{PID: pid, Path: path, Argv: []audit.Text{path, "--input", audit.Text(fmt.Sprintf("src/module_%d/%s", i%2500, long[:i%len(long)])), "--out=/tmp/x"}})
		add(&audit.ProgramEnd{PID: pid, Path: path, How: "exited", ExitCode: map[bool]int{true: 1}[i%17 == 0], Microseconds: int64(i%700) * 900})
		switch {
		case i%10 == 3:
			add(&audit.Usage{MemoryBytes: uint64(1+i*7919%1500) << 21, CPUSeconds: float64(i) * step * (0.8 + 0.2*float64(i%7)/7), Pids: uint64(4 + i*31%90)})
		case i%10 == 5:
			add(&audit.NetworkConnection{Host: audit.Text(fmt.Sprintf("cdn-%d.registry.example", i%3000)), Port: 443, BytesOut: int64(i * 31 % 90000), BytesIn: int64(i * 977), Rule: "network.allow[2]"})
		case i%10 == 6:
			add(&audit.NetworkRequest{Host: "api.anthropic.com", Port: 443, Method: "POST", Path: "/v1/messages", Status: 200, BytesOut: 40_000, BytesIn: 9_000,
				Rule: "network.allow[0]", Credentials: []audit.Text{"anthropic"}, CostUSD: 0.0123})
		case i%10 == 7:
			add(&audit.ToolCall{Tool: "Bash", Input: audit.Text(fmt.Sprintf(`{"command":"go test ./internal/parser/... -run 'Test%d' -count=1 2>&1 | tail -40"}`, i)),
				Decision: map[bool]audit.Text{true: "deny", false: "allow"}[i%70 == 7], Rule: "permissions.deny[2]", Reason: "it pushes to a branch that others build from"})
		case i%100 == 18:
			add(&audit.NetworkRefused{Via: "connect", Host: audit.Text(fmt.Sprintf("telemetry-%d.example.net", i)), Port: 443, Reason: "not-allowed"})
		case i == programs/2:
			add(&audit.Freeze{By: "person"})
			add(&audit.Resume{By: "person"})
		}
	}
	return append(list, evening(at, long)...)
}

// evening is how it ends: badly.
func evening(at float64, long audit.Text) (list []happening) {
	add := func(e audit.Event) { at++; list = append(list, happening{at, e}) }
	add(&audit.NetworkTripwire{Credential: "anthropic", Where: "body", Via: "connect", Host: "paste.example.org", Port: 443})
	add(&audit.BudgetWarning{SpentUSD: 8, LimitUSD: 10, Tokens: 2_400_000})
	add(&audit.BudgetReached{SpentUSD: 10, LimitUSD: 10, Tokens: 3_000_000, Action: "freeze"})
	add(&audit.Freeze{By: "budget.usd"})
	add(&audit.LimitReached{Name: "timeout", Value: "4h"})
	add(&audit.End{Cause: "limit", Limit: "timeout", ExitCode: 124, Seconds: at})
	var files []audit.Changed
	for i := range 400 {
		files = append(files, audit.Changed{Path: audit.Text(fmt.Sprintf("src/%s-%d", long, i)), Kind: "modified", After: audit.Content{Type: "file", Size: int64(i * 911), SHA256: audit.Text(strings.Repeat("ab12", 16))}})
	}
	files[0].Path, files[0].Handoffs, files[0].Protected = ".git/hooks/pre-commit", []audit.Text{"git hooks"}, "workspace.protect[0]"
	add(&audit.Changes{Changes: 400, Digest: "d1", Items: files})
	return list
}

// written makes a file of the page.
func written(t testing.TB, r *Report) (url string, size int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report.html")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.WriteHTML(f); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	return "file://" + path, info.Size()
}

// views are the ways in which a page is looked at.
func views() map[string]browser.View {
	return map[string]browser.View{
		"desktop":         {Width: 1280},
		"desktop, dark":   {Width: 1280, Dark: true},
		"phone":           {Width: 390, Mobile: true},
		"phone, dark":     {Width: 390, Mobile: true, Dark: true},
		"a small phone":   {Width: 360, Mobile: true},
		"paper":           {Width: 720, Print: true},
		"paper, dark":     {Width: 720, Print: true, Dark: true},
		"a narrow window": {Width: 720},
	}
}

// Whatever the session, its page asks for nothing but itself, and is fit to be read on every screen.
func TestPages(t *testing.T) {
	boxtest.Need(t, boxtest.Chromium)
	b := browser.Start(t)
	for what, r := range map[string]*Report{
		"a long session":           told(t, afternoon(1000)),
		"a short session":          logged(t, session("harmless")...),
		"a session that only ran":  logged(t, &audit.Start{Mode: "rw", Argv: []audit.Text{"true"}}, &audit.Ready{}, &audit.End{Cause: "exited"}),
		"no record at all":         told(t, nil),
		"one long word everywhere": logged(t, session(audit.Text(strings.Repeat("x", 5000)))...),
		"wide letters everywhere":  logged(t, session(audit.Text(strings.Repeat("漢W", 500)))...),
	} {
		t.Run(what, func(t *testing.T) {
			url, _ := written(t, r)
			p := b.Open(t, url, browser.View{Width: 1280})
			defer p.Close()
			for view, v := range views() {
				p.As(v)
				for _, open := range []bool{false, true} {
					p.Eval(fmt.Sprintf(`document.querySelectorAll("details").forEach(e => { e.open = %t })`, open), nil)
					for _, fault := range p.Faults() {
						t.Errorf("%s (lists open: %t): %s", view, open, fault)
					}
				}
				p.Eval(`document.querySelectorAll("details").forEach(e => { e.open = false })`, nil)
				picture(t, p, what+" "+view+".png")
			}
			if asked := p.Requests(); len(asked) != 1 || asked[0] != url {
				t.Errorf("it asked for %q", asked)
			}
			if said := p.Complaints(); len(said) != 0 {
				t.Errorf("the browser says %q", said)
			}
			if len(p.Paper()) < 1000 {
				t.Error("it cannot be printed")
			}
		})
	}
}

// picture puts one into the directory of AGENTBOX_TEST_PICTURES, for people to look at.
func picture(t *testing.T, p *browser.Page, name string) {
	dir := os.Getenv("AGENTBOX_TEST_PICTURES")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, strings.NewReplacer(" ", "-", ",", "").Replace(name)), p.Picture(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A session of ten thousand programs, no two alike, has a page that a browser shows at once and a mail takes; it says what
// it leaves out.
func TestPageOfTenThousandPrograms(t *testing.T) {
	boxtest.Need(t, boxtest.Chromium)
	r := told(t, afternoon(10_000))
	url, size := written(t, r)
	if size > 3<<20 {
		t.Errorf("the page has %d bytes", size)
	}
	p := browser.Start(t).Open(t, url, browser.View{Width: 1280})
	var text string
	p.Eval("document.body.textContent", &text)
	for _, want := range []string{"10,000 starts", "and 9,000 more, which are in the log", "ended by the limit timeout, exit code 124", "the budget was reached"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	t.Logf("%d bytes, loaded in %v", size, p.Took)
	if p.Took > 20*time.Second { // some hundred milliseconds, on a machine with nothing else to do
		t.Errorf("it was loaded after %v", p.Took)
	}
}
