package report

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"agentbox/internal/audit"
	"agentbox/internal/boxtest"
)

// logged is the report of a session in which these things happened.
func logged(t testing.TB, events ...audit.Event) *Report {
	t.Helper()
	dir := t.TempDir()
	l, err := audit.Create(dir, audit.Options{Session: "1s0m4p2bv7c3"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return read(t, audit.Path(dir, "1s0m4p2bv7c3"))
}

func read(t testing.TB, path string) *Report {
	t.Helper()
	f, err := audit.OpenAll(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := audit.Verify(f, audit.Expected{})
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	if f, err = audit.OpenAll(path); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return From(audit.Records(f), v, Meanwhile{})
}

// session is one in which a bit of everything happened; every text of the agent's is x.
func session(x audit.Text) []audit.Event {
	return []audit.Event{
		&audit.Start{Agentbox: "1.0", Kernel: "6.18", Workspace: x, Mode: "overlay", Profile: "claude", Argv: []audit.Text{"sh", x}, Network: "allowlist",
			Limits: []audit.Limit{{Name: "pids", Value: "512", State: "enforced"}}, Degraded: []audit.Degraded{{Layer: "landlock", Why: x}}},
		&audit.Ready{BoxPID: 1},
		&audit.ProgramStart{PID: 10, Path: x, Argv: []audit.Text{x, x}}, &audit.ProgramEnd{PID: 10, How: "exited", ExitCode: 3, Microseconds: 2500},
		&audit.ProgramStart{PID: 11, Path: "/bin/ls", Missing: true},
		&audit.ToolCall{Tool: x, Input: x, Decision: "deny", Rule: "permissions.deny[0]", Reason: x},
		&audit.NetworkRequest{Host: "api.anthropic.com", Port: 443, Method: "POST", Path: "/v1/messages", Status: 200, BytesOut: 2048, BytesIn: 100, Rule: "network.allow[0]", Credentials: []audit.Text{"anthropic"}, CostUSD: 0.25},
		&audit.NetworkConnection{Host: x, Port: 443, BytesOut: 5000, BytesIn: 1, Rule: x},
		&audit.NetworkRefused{Host: x, Port: 80, Method: "GET", Path: x, Reason: "not-allowed"},
		&audit.NetworkTripwire{Credential: "anthropic", Where: "body", Host: x},
		&audit.Usage{MemoryBytes: 1 << 20, CPUSeconds: 1, Pids: 3}, &audit.Usage{MemoryBytes: 2 << 20, CPUSeconds: 2, Pids: 4},
		&audit.Freeze{By: "person"}, &audit.Resume{By: "person"},
		&audit.End{Cause: "exited", ExitCode: 3, Seconds: 12},
		&audit.Changes{Changes: 1, Digest: "d", Items: []audit.Changed{{Path: x, Kind: "added", Handoffs: []audit.Text{x}, Protected: "workspace.protect[0]", After: audit.Content{Type: "file", Size: 5, SHA256: "abc"}}}},
	}
}

func TestWhatAReportSays(t *testing.T) {
	r := logged(t, session("evil")...)
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{
		"the command":          "# Session\n\n    1s0m4p2bv7c3\n    sh evil\n",
		"the verdict":          "sealed: 17 records, not signed",
		"how it ended":         "    ended      exited with 3",
		"programs":             "1 program was started; 1 failed.",
		"bytes out":            "2 hosts were reached, with 6.9 KiB out",
		"refusals":             "2 attempts were refused.",
		"files":                "1 path was changed; 0 of them were applied.",
		"cost":                 "Models cost 0.2500 US dollars.",
		"the tripwire":         "    serious  somebody looked for a secret: the placeholder of anthropic was in a body for evil",
		"the layer":            "the box was without the layer landlock",
		"where to rotate":      "rotate it at https://console.anthropic.com/settings/keys (Anthropic)",
		"the line that denies": "permissions.deny[0]",
		"the hand-off file":    "run or obeyed outside the box: evil",
		"what is to fill in":   "## Post-mortem, to fill in",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s: no %q in\n%s", what, want, &b)
		}
	}
}

// The order is the log's, whatever the clock of the machine did meanwhile, and no time is negative.
func TestAClockThatIsSetBack(t *testing.T) {
	r := told(t, []happening{{0, &audit.Start{Argv: []audit.Text{"sh"}}}, {9, &audit.Ready{}}, {-86400, &audit.Usage{MemoryBytes: 1, CPUSeconds: 5}},
		{-86390, &audit.Usage{MemoryBytes: 2, CPUSeconds: 1}}, {-86380, &audit.Freeze{By: "person"}}})
	var order []uint64
	for _, m := range r.Timeline {
		order = append(order, m.Record)
	}
	if !slices.Equal(order, []uint64{0, 1, 4}) || r.Seconds < 0 {
		t.Errorf("records %v, %v seconds", order, r.Seconds)
	}
	for _, c := range r.charts() {
		if strings.Contains(c.Line, "-") || strings.Contains(c.Line, "NaN") {
			t.Errorf("%s: %s", c.Title, c.Line)
		}
	}
}

// Every change is told, with what became of its mode, even where no byte of the file is another.
func TestChangesOfEveryKind(t *testing.T) {
	file := func(mode audit.Text, size int64) audit.Content {
		return audit.Content{Type: "file", Mode: mode, Size: size}
	}
	text := asText(t, logged(t, &audit.Changes{Changes: 5, Items: []audit.Changed{
		{Path: "script", Kind: "mode", Before: file("0644", 5), After: file("0755", 5)},
		{Path: "empty", Kind: "added", After: file("0644", 0)},
		{Path: "new", From: "old", Kind: "renamed", Before: file("0644", 5), After: file("0644", 5)},
		{Path: "link", Kind: "type", Before: file("0644", 5), After: audit.Content{Type: "symlink"}},
		{Path: "gone", Kind: "deleted", Before: file("0644", 5)}}}))
	for _, want := range []string{"mode      script 0644 → 0755", "added     empty", "renamed   new", "type      link", "deleted   gone"} {
		if !strings.Contains(text, "    "+want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// What stands behind the cut of a text is not shown, and that is said; the JSON has the whole.
func TestATextThatIsCutSaysSo(t *testing.T) {
	r := told(t, []happening{{0, &audit.ProgramStart{Path: "/bin/sh", Argv: []audit.Text{audit.Text("true;" + strings.Repeat(" ", 5000) + "curl evil")}}}})
	var data bytes.Buffer
	if err := r.WriteJSON(&data); err != nil || !strings.Contains(data.String(), "curl evil") {
		t.Errorf("the JSON has not all of it (%v)", err)
	}
	if text := asText(t, r); strings.Contains(text, "curl evil") || !strings.Contains(text, "… [of 5,014 bytes]") {
		t.Errorf("%s", text)
	}
}

func TestReportOfALogThatIsNotWhole(t *testing.T) {
	for name, test := range map[string]struct {
		change func(lines [][]byte) [][]byte
		want   string
	}{
		"cut":     {func(l [][]byte) [][]byte { return l[:4] }, "no end is on record"},
		"changed": {func(l [][]byte) [][]byte { l[2][60] ^= 1; return l }, "the log was changed: broken at record 2"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := audit.Create(dir, audit.Options{Session: "s"})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range session("x") {
				_ = l.Append(e)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			rewrite(t, audit.Path(dir, "s"), test.change)
			r := read(t, audit.Path(dir, "s"))
			var b bytes.Buffer
			if err := r.WriteText(&b); err != nil || !strings.Contains(b.String(), test.want) || r.Findings == nil || !r.Findings[0].Serious {
				t.Errorf("%v\n%s", err, &b)
			}
		})
	}
}

func rewrite(t *testing.T, path string, change func([][]byte) [][]byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.Join(change(bytes.SplitAfter(data, []byte("\n"))), nil), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// shape is everything of a page but its texts: its elements and their attributes. None runs or fetches anything.
func shape(t testing.TB, page []byte) (list []string) {
	t.Helper()
	z := html.NewTokenizer(bytes.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return list
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			one := token.Data
			if slices.Contains([]string{"script", "img", "iframe", "object", "embed", "form", "input", "base", "audio", "video", "source"}, one) {
				t.Errorf("the page has the element %s", one)
			}
			for _, a := range token.Attr {
				one += " " + a.Key
				outside := strings.Contains(a.Val, "//") && !slices.ContainsFunc(places, func(p struct {
					host string
					Place
				}) bool {
					return p.URL == a.Val
				})
				if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || outside && a.Key != "content" {
					t.Errorf("the page has the attribute %s=%q", a.Key, a.Val)
				}
				if a.Key == "class" || a.Key == "points" {
					one += "=" + strings.Join(strings.Fields(a.Val), " ")
				}
			}
			if strings.Contains(one, "points") {
				one = strings.SplitN(one, "=", 2)[0] // times differ
			}
			list = append(list, one)
		}
	}
}

func FuzzReport(f *testing.F) {
	for _, x := range boxtest.HostileTexts(f) {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, x string) {
		r := logged(t, session(audit.Text(x))...)
		var page bytes.Buffer
		if err := r.WriteHTML(&page); err != nil {
			t.Fatal(err)
		}
		shape(t, page.Bytes())
	})
}

// A session that lasts has no seal, and that is no finding; one that nobody runs has lost it.
func TestReportOfASessionThatLasts(t *testing.T) {
	changes := []*audit.Changes{{Changes: 1, Items: []audit.Changed{{Path: "a", Kind: "added"}}}}
	for name, tc := range map[string]struct {
		m       Meanwhile
		gaps    []uint64
		serious bool
		outcome string
		files   int
	}{
		"nobody runs it":                     {Meanwhile{}, nil, true, "no end is on record", 0},
		"it runs":                            {Meanwhile{State: "running"}, nil, false, "it still runs", 0},
		"it is frozen, and was looked at":    {Meanwhile{State: "frozen", Changes: changes}, nil, false, "it is frozen", 1},
		"it runs, and a seal before is gone": {Meanwhile{State: "running"}, []uint64{3}, true, "it still runs", 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := From(func(func(audit.Record, error) bool) {}, audit.Report{Verdict: audit.Unsealed, Gaps: tc.gaps}, tc.m)
			serious := slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Serious })
			if serious != tc.serious || r.Outcome() != tc.outcome || len(r.Files.List) != tc.files || r.Notice() == "" {
				t.Errorf("serious %v, %q, %d files, %q", serious, r.Outcome(), len(r.Files.List), r.Notice())
			}
		})
	}
}
