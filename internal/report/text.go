package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf16"

	"agentbox/internal/audit"
	"agentbox/internal/escape"
)

// A Fact is one of the head.
type Fact struct{ Name, Value string }

// Facts are what the session was.
func (r *Report) Facts() []Fact {
	list := []Fact{{"workspace", fmt.Sprintf("%s (%s)", r.Workspace, r.Mode)}, {"profile", r.Profile.String()}, {"network", r.Network.String()},
		{"started", r.Started.UTC().Format("2006-01-02 15:04:05 UTC")}, {"lasted", duration(r.Seconds)}, {map[bool]string{true: "state", false: "ended"}[r.Lasts()], r.Outcome()}}
	var limits []string
	for _, l := range r.Limits {
		limits = append(limits, fmt.Sprintf("%s %s (%s)", l.Name, l.Value, l.State))
	}
	if limits != nil {
		list = append(list, Fact{"limits", strings.Join(limits, ", ")})
	}
	list = append(list, Fact{"agentbox", r.Agentbox.String()}, Fact{"kernel", r.Kernel.String()})
	return slices.DeleteFunc(list, func(f Fact) bool { return f.Value == "" })
}

// Title is the command, short enough for a heading.
func (r *Report) Title() string { return escape.Shorten(r.Command.String(), 120) }

// Verdict is what verification says, in words.
func (r *Report) Verdict() string {
	v := escape.Text(r.Verification.String())
	if r.Verification.Verdict == audit.Sealed && !r.Verification.Signed {
		v += ", not signed"
	}
	return v
}

// Summary is what a busy person reads.
func (r *Report) Summary() []string {
	var list []string
	say := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if r.Programs.Recorded {
		say("%s started; %d failed.", counted(r.Programs.Starts, "program was", "programs were"), r.Programs.Failed)
	}
	if len(r.Tools)+r.Omitted.Tools > 0 {
		say("The agent asked about %s.", counted(len(r.Tools)+r.Omitted.Tools, "tool call", "tool calls"))
	}
	say("%s reached, with %s out and %s in.", counted(len(r.Hosts), "host was", "hosts were"), size(r.BytesOut), size(r.BytesIn))
	refused := 0
	for _, one := range r.Refusals {
		refused += one.Count
	}
	say("%s refused.", counted(refused, "attempt was", "attempts were"))
	switch f := r.Files; {
	case f.Known:
		state := fmt.Sprintf("%d of them were applied", f.Applied)
		if f.Discarded {
			state += ", and the rest discarded"
		}
		say("%s changed; %s.", counted(f.Changes, "path was", "paths were"), state)
	case r.Mode != "overlay" && r.Mode != "":
		say("The workspace was of the mode %s: which files were changed is not on record.", r.Mode)
	}
	if r.TotalUSD > 0 {
		say("Models cost %.4f US dollars.", r.TotalUSD)
	}
	return list
}

// A Section of the post-mortem's outline.
type Section struct{ Title, Known, Ask string }

// Outline is what a post-mortem answers, with what the log knows.
func (r *Report) Outline() []Section {
	var grave []string
	for _, f := range r.Findings {
		if f.Serious && len(grave) < 5 {
			grave = append(grave, f.What)
		}
	}
	var keys []string
	for _, c := range r.Credentials {
		keys = append(keys, fmt.Sprintf("%s (%s, %s)", c.Name, counted(c.Requests, "request", "requests"), counted(c.Tripwires, "tripwire", "tripwires")))
	}
	return []Section{
		{"What happened", strings.Join(grave, "; "), "in two sentences, for somebody who was not there"},
		{"How it was noticed", "", "by whom, when, and by what: a finding, a refusal, a person"},
		{"What was reached", fmt.Sprintf("%s, %s out; %s applied", counted(len(r.Hosts), "host", "hosts"), size(r.BytesOut), counted(r.Files.Applied, "path", "paths")), "what of it matters, and to whom it must be told"},
		{"Which secrets to rotate", strings.Join(keys, "; "), "who rotated which, when"},
		{"Why it could happen", "", "the instruction, dependency or page that the agent followed; the line of the profile that let it"},
		{"What held", fmt.Sprintf("%s refused", counted(len(r.Refusals), "kind of attempt was", "kinds of attempts were")), "the line of the profile that stopped it"},
		{"What changes", "", "each with an owner and a date: profile, credentials, dependencies"},
	}
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// WriteJSON writes the report as JSON in printable ASCII.
func (r *Report) WriteJSON(w io.Writer) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		_, err = w.Write(append(ascii(data), '\n'))
	}
	return err
}

// ascii writes what is beyond ASCII, which in JSON stands inside strings alone, as JSON's own escapes.
func ascii(data []byte) (out []byte) {
	for _, c := range string(data) {
		switch {
		case c < 0x7f:
			out = append(out, byte(c))
		case c <= 0xffff:
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			hi, lo := utf16.EncodeRune(c)
			out = fmt.Appendf(out, `\u%04x\u%04x`, hi, lo)
		}
	}
	return out
}

// few is how many rows of a list the text has.
const few = 20

// WriteText writes the report for a terminal, and as Markdown is read: what is anybody's stands in blocks of code, a line each,
// whose four blanks nothing on the line can undo (CommonMark 0.31, 4.4). A block has a heading before it, or it would go on
// with a list or a paragraph.
func (r *Report) WriteText(w io.Writer) error {
	t := &text{w: w}
	words, _ := r.Headline()
	t.head("Session", 1)
	if notice := r.Notice(); notice != "" {
		t.row("! %s\n", notice)
	}
	t.row("%s", r.Session)
	t.row("%s", r.Title())
	t.row("%s", r.Verdict())
	t.row("%s\n", words)
	for _, f := range r.Facts() {
		t.row("%-10s %s", f.Name, f.Value)
	}
	t.head("In short", 1)
	for _, s := range r.Summary() {
		t.row("%s", s)
	}
	t.head("What deserves a look", len(r.Findings))
	for _, f := range r.Findings[:min(few, len(r.Findings))] {
		t.row("%-7s  %s (record %d, %s)", map[bool]string{true: "serious", false: "note"}[f.Serious], f.What, f.Record, counted(f.Count, "time", "times"))
	}
	t.more(len(r.Findings))
	advice := r.Advice()
	t.head("What to do", len(advice))
	for _, one := range advice {
		t.row("%s", one)
	}
	t.head("Time line", len(r.Timeline))
	for _, m := range r.Timeline[:min(few, len(r.Timeline))] {
		t.row("%s  %s", r.clock(m.Time), m.What)
	}
	t.more(len(r.Timeline) + r.Omitted.Timeline)
	t.lists(r)
	t.head("Post-mortem, to fill in", 1)
	for _, s := range r.Outline() {
		t.line("### %s\n", s.Title)
		if s.Known != "" {
			t.row("%s\n", s.Known)
		}
		t.line("(%s)\n", s.Ask)
	}
	return t.err
}

func (t *text) lists(r *Report) {
	t.head("Hosts", len(r.Hosts))
	for _, h := range r.Hosts[:min(few, len(r.Hosts))] {
		t.row("%s:%d  %s out, %s in, %s, %s (%s)", h.Host, h.Port, size(h.BytesOut), size(h.BytesIn),
			counted(h.Connections, "connection", "connections"), counted(h.Requests, "request", "requests"), h.Rule)
	}
	t.more(len(r.Hosts) + r.Omitted.Hosts)
	t.head("Refusals", len(r.Refusals))
	for _, f := range r.Refusals[:min(few, len(r.Refusals))] {
		t.row("%s %s: %s %s (%s)", f.What, f.Target, f.Reason, f.Rule, counted(f.Count, "time", "times"))
	}
	t.more(len(r.Refusals) + r.Omitted.Refusals)
	t.head("Files", len(r.Files.List))
	for _, f := range r.Files.List[:min(few, len(r.Files.List))] {
		t.row("%-9s %s %s%s%s", f.Kind, f.Path, map[bool]string{true: "applied "}[f.Applied], f.modes(), remarks(f.Remarks))
	}
	t.more(len(r.Files.List) + r.Omitted.Files)
	t.head("Credentials", len(r.Credentials))
	for _, c := range r.Credentials[:min(few, len(r.Credentials))] {
		t.row("%s  %s, %s", c.Name, counted(c.Requests, "request", "requests"), counted(c.Tripwires, "tripwire", "tripwires"))
		for _, p := range c.Rotate {
			t.row("  rotate it at %s (%s)", p.URL, p.Of)
		}
	}
	t.more(len(r.Credentials))
	t.head("Programs, as they were claimed", len(r.Programs.Groups))
	for _, p := range r.Programs.Groups[:min(few, len(r.Programs.Groups))] {
		t.row("%6d  %s  %s", p.Starts, p.Path, p.Argv)
	}
	t.more(len(r.Programs.Groups))
}

// modes are the two of a file whose mode is another now.
func (f File) modes() string {
	if f.Was == "" {
		return ""
	}
	return fmt.Sprintf("%s → %s ", f.Was, f.Mode)
}

func remarks(list []Text) string {
	words := make([]string, len(list))
	for i, one := range list {
		words[i] = one.String()
	}
	return strings.Join(words, ", ")
}

// A text remembers the first error.
type text struct {
	w     io.Writer
	err   error
	begun bool
}

func (t *text) line(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format+"\n", args...)
	}
}

func (t *text) row(format string, args ...any) { t.line("    "+format, args...) }

func (t *text) head(title string, rows int) {
	switch {
	case rows == 0:
	case t.begun:
		t.line("\n## %s\n", title)
	default:
		t.line("# %s\n", title)
		t.begun = true
	}
}

func (t *text) more(rows int) {
	if rows > few {
		t.row("… and %d more: the page (-o FILE.html) and the JSON have them", rows-few)
	}
}
