package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"
	cli "github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"agentbox/internal/doctor"
	"agentbox/profile"
)

// The values of --color.
const (
	colorAuto   = "auto"
	colorAlways = "always"
	colorNever  = "never"
)

// A voice is everything this program says. Formats are its own; each argument is made visible before it is printed.
type voice struct {
	out, err stream
	newline  string // "\r\n" while the caller's terminal is in raw mode
}

// A stream is one of the two, with its own decision about colour.
type stream struct {
	file   *os.File
	color  bool
	width  int   // of the screen; 0 for what is no terminal, where lines are as long as they are
	failed error // the first write that did not succeed
}

func newVoice(out, err *os.File, getenv func(string) string) *voice {
	plain := getenv("NO_COLOR") != "" || getenv("TERM") == "dumb"
	return &voice{
		out:     stream{file: out, color: !plain && isTerminal(out), width: screenWidth(out)},
		err:     stream{file: err, color: !plain && isTerminal(err)},
		newline: "\n",
	}
}

// color applies --color; a choice that was made there beats NO_COLOR.
func (v *voice) color(mode string) error {
	switch mode {
	case colorAuto:
	case colorAlways, colorNever:
		v.out.color, v.err.color = mode == colorAlways, mode == colorAlways
	default:
		return &usageError{msg: fmt.Sprintf("--color does not take %q", mode), hint: "it takes auto, always or never"}
	}
	return nil
}

func isTerminal(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

func screenWidth(f *os.File) int {
	if f == nil {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// talks reports whether somebody reads the messages as they come.
func (v *voice) talks() bool { return isTerminal(v.err.file) }

func (s *stream) write(text string) {
	if _, err := io.WriteString(s.file, text); err != nil && s.failed == nil {
		s.failed = err
	}
}

// paint colours text, which must be visible already.
func (s *stream) paint(text string, attributes ...color.Attribute) string {
	c := color.New(attributes...)
	if s.color {
		c.EnableColor()
	} else {
		c.DisableColor()
	}
	return c.Sprint(text)
}

func format(text string, args []any) string {
	shown := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			shown[i] = visible(arg)
		case error:
			shown[i] = visible(arg.Error())
		case fmt.Stringer:
			shown[i] = visible(arg.String())
		default:
			shown[i] = arg
		}
	}
	return fmt.Sprintf(text, shown...)
}

// say writes one message; label is "error: ", "hint: ", "warning: " or "".
func (v *voice) say(label string, paint color.Attribute, text string, args ...any) {
	if label != "" {
		label = v.err.paint(label, paint, color.Bold)
	}
	v.err.write("agentbox: " + label + format(text, args) + v.newline)
}

func (v *voice) failf(text string, args ...any) { v.say("error: ", color.FgRed, text, args...) }
func (v *voice) warnf(text string, args ...any) { v.say("warning: ", color.FgYellow, text, args...) }
func (v *voice) notef(text string, args ...any) { v.say("", color.Reset, text, args...) }
func (v *voice) hint(text string) {
	if text != "" {
		v.say("hint: ", color.FgCyan, "%s", text)
	}
}

// progress puts a line on the terminal that the next one replaces; an empty one takes it away. Elsewhere it says nothing.
func (v *voice) progress(text string, args ...any) {
	if !v.talks() {
		return
	}
	if text != "" {
		text = "agentbox: " + format(text, args)
	}
	v.err.write("\r\x1b[K" + text)
}

// ask puts a question on the terminal, without a newline after it.
func (v *voice) ask(text string, args ...any) {
	v.err.write("agentbox: " + v.err.paint(format(text, args), color.Bold) + " ")
}

// finding prints one finding and how to mend it.
func (v *voice) finding(f profile.Finding) {
	if f.Warning {
		v.warnf("%s", f)
	} else {
		v.failf("%s", f)
	}
	v.hint(f.Hint)
}

// findings prints all of them; a hint that several share is said once, after the last of them.
func (v *voice) findings(list profile.Findings) {
	for i, f := range list {
		rest := list[i+1:]
		if slices.ContainsFunc(rest, func(o profile.Finding) bool { return o.Hint == f.Hint }) {
			f.Hint = ""
		}
		v.finding(f)
	}
}

// printf writes a command's answer.
func (v *voice) printf(text string, args ...any) { v.out.write(format(text, args)) }

// heading writes a line above a part of an answer.
func (v *voice) heading(text string) { v.out.write(v.out.paint(visible(text), color.Bold) + "\n") }

// script writes text of this program that is to be executed, not read.
func (v *voice) script(text string) { v.out.write(text) }

// json writes a command's answer for programs.
func (v *voice) json(value any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		return fmt.Errorf("the answer as JSON: %w", err)
	}
	v.out.write(string(visibleJSON(b.Bytes())))
	return nil
}

// table writes rows in columns; the first row is the heading when head is set. The last column is not padded, and
// wrapped on a screen.
func (v *voice) table(head bool, rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i := range row {
			row[i] = visible(row[i])
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for n, row := range rows {
		var b strings.Builder
		at := 0
		for i, cell := range row {
			if i == len(row)-1 {
				b.WriteString(hang(cell, at, v.out.width))
				break
			}
			b.WriteString(cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			at += widths[i] + 2
		}
		line := strings.TrimRight(b.String(), " ")
		if head && n == 0 {
			line = v.out.paint(line, color.Bold)
		}
		v.out.write(line + "\n")
	}
}

// stateColors are those of a check's outcome.
var stateColors = map[doctor.State]color.Attribute{
	doctor.OK: color.FgGreen, doctor.Missing: color.FgRed, doctor.Degraded: color.FgYellow, doctor.Note: color.FgCyan,
}

// checks writes what doctor found, each with its cost and remedy below. An indented line of a remedy is there to be
// pasted and stays whole.
func (v *voice) checks(list []doctor.Check) {
	const column, text = 9, 17 // where the name and its cost begin
	for _, c := range list {
		state := fmt.Sprintf("%-*s", column, visible(string(c.State)))
		v.out.write(v.out.paint(state, stateColors[c.State]) + hang(visible(c.Name)+": "+visible(c.What), column, v.out.width) + "\n")
		for _, part := range [][2]string{{"cost", c.Cost}, {"remedy", c.Remedy}} {
			label := part[0]
			for line := range strings.Lines(part[1]) {
				line = visible(strings.TrimRight(line, "\n"))
				if !strings.HasPrefix(line, " ") {
					line = hang(line, text, v.out.width)
				}
				v.out.write(fmt.Sprintf("%*s%-*s%s\n", column, "", text-column, label, line))
				label = ""
			}
		}
	}
}

// help is where the library writes its help texts.
func (v *voice) help() io.Writer { return &helpWriter{s: &v.out} }

// helpWriter wraps what it is given to the screen, line by line.
type helpWriter struct {
	s    *stream
	rest string // a line without its end
}

func (h *helpWriter) Write(p []byte) (int, error) {
	h.rest += string(p)
	for {
		line, rest, whole := strings.Cut(h.rest, "\n")
		if !whole {
			return len(p), h.s.failed
		}
		h.rest = rest
		indent := lastColumn(line)
		h.s.write(line[:indent] + hang(line[indent:], indent, h.s.width) + "\n")
	}
}

// end says what an error means and returns the exit code of the process.
func (v *voice) end(err error) int {
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	if err == nil {
		return v.unwritten()
	}
	if coder, ok := err.(cli.ExitCoder); ok { //nolint:errorlint // the library's own, about help for a command that there is not; an *exec.ExitError is one too
		err = unknownTopic(strings.TrimSpace(coder.Error()))
	}
	return v.report(err)
}

// report prints an error, how to mend it and what was left.
func (v *voice) report(err error) int {
	verdict := judge(err)
	var findings profile.Findings
	if errors.As(err, &findings) {
		v.findings(findings)
	} else {
		v.failf("%s", err)
		v.hint(verdict.hint)
	}
	var q *quietError
	if verdict.state != "" && !errors.As(err, &q) {
		v.notef("%s", verdict.state)
	}
	return verdict.code
}

// unwritten turns an answer that could not be written into a failure. A reader that has left wants no more of it.
func (v *voice) unwritten() int {
	if v.out.failed == nil {
		return 0
	}
	if !errors.Is(v.out.failed, unix.EPIPE) {
		v.failf("the answer could not be written: %s", v.out.failed)
	}
	return exitFailure
}
