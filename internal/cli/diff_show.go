package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"

	"agentbox/internal/workspace"
)

// showChanges prints the changes as a person reads them. What has to be known beforehand stands above them on a screen,
// and among the messages where the output goes to a program.
func (c *caller) showChanges(ch *changes, r *workspace.Review, o diffOptions) error {
	if len(r.Changes) == 0 {
		c.voice.notef("session %s: nothing differs from the project", ch.kept.Info.ID)
		return nil
	}
	screen, done := c, func() {}
	if !o.noPager {
		screen, done = c.paged(ch.kept.Info.Workspace)
	}
	err := screen.writeChanges(ch, r, o)
	done()
	if err == nil && !o.offered && ch.record != nil && isTerminal(c.out) {
		c.voice.hint(strings.ReplaceAll(`"agentbox apply ID" writes them to the project, "agentbox discard ID" drops them`, "ID", ch.kept.Info.ID))
	}
	return err
}

func (c *caller) writeChanges(ch *changes, r *workspace.Review, o diffOptions) error {
	if o.how == asNames {
		c.writeNames(r, o.nul)
		return nil
	}
	c.preface(ch, r)
	if o.how == asStat {
		return c.writeStat(ch, r)
	}
	for i := range r.Changes {
		if c.voice.out.failed != nil { // the pager has been left
			return nil
		}
		if err := c.writeOne(ch, &r.Changes[i]); err != nil {
			return err
		}
	}
	return nil
}

// writeNames prints a name a line, or each as it is and a NUL, which no terminal gets.
func (c *caller) writeNames(r *workspace.Review, nul bool) {
	for i := range r.Changes {
		name := r.Changes[i].Path
		switch {
		case nul:
			c.voice.out.write(name + "\x00")
		case c.reads():
			c.voice.out.write(visible(name) + c.voice.out.marks(&r.Changes[i]) + "\n")
		default:
			c.voice.out.write(visible(name) + "\n")
		}
	}
}

// writeOne prints one change in git's words. Of a content that is not shown it gives size and hash, unless it is masked:
// a short secret can be guessed from them.
func (c *caller) writeOne(ch *changes, one *workspace.Change) error {
	part, err := ch.FileDiff(one)
	if err != nil {
		return fmt.Errorf("%s: %w", one.Path, err)
	}
	c.showDiff(part.Header)
	for _, hunk := range part.Hunks {
		c.showDiff(hunk)
	}
	if !part.Stat.Binary || one.Masked != "" {
		return nil
	}
	for _, side := range []struct {
		name  string
		state workspace.State
	}{{"before", one.Before}, {"after", one.After}} {
		if side.state.Type != workspace.File {
			continue
		}
		line := fmt.Sprintf("# %-6s  %s", side.name, counted(int(side.state.Size), "byte", "bytes"))
		if side.state.SHA256 != "" {
			line += ", SHA-256 " + side.state.SHA256
		}
		c.voice.out.write(line + "\n")
	}
	return nil
}

// A class of changes has something that a person must know before they agree.
type class struct {
	mark  string // the class in a word or two, behind a name
	title string
	why   func(*workspace.Change) string
}

var classes = []class{
	{"hand-off", "Hand-off files: programs outside the box run or obey them. Each is applied only when it is named.", func(ch *workspace.Change) string {
		var list []string
		for _, h := range ch.Handoffs {
			list = append(list, h.When)
		}
		return strings.Join(list, ", ")
	}},
	{"protected", "Protected by the profile. Each is applied only when it is named.", func(ch *workspace.Change) string { return ch.Protected }},
	{"masked", "Masked by the profile, and not shown. Each is applied only when it is named.", func(ch *workspace.Change) string { return ch.Masked }},
	{"conflict", "Changed on the host as well. Each needs --theirs, --ours or --merge.", func(ch *workspace.Change) string { return ch.Conflict }},
	{"never applied", "Never applied.", func(ch *workspace.Change) string { return ch.Refused }},
	{"deleted", "Deleted.", func(ch *workspace.Change) string {
		if ch.Kind == workspace.Deleted {
			return string(ch.Before.Type)
		}
		return ""
	}},
	{"", "Worth a look.", func(ch *workspace.Change) string { return strings.Join(ch.Notes, ", ") }},
}

// marks are the classes of a change, to stand behind its name or its count.
func (s *stream) marks(one *workspace.Change) string {
	text := marksOf(one)
	if text == "" {
		return ""
	}
	return "  " + s.paint(text, color.FgYellow)
}

func marksOf(one *workspace.Change) string {
	var list []string
	for _, k := range classes {
		if k.mark != "" && k.why(one) != "" {
			list = append(list, k.mark)
		}
	}
	if list == nil {
		return ""
	}
	return "(" + strings.Join(list, ", ") + ")"
}

// preface says whose changes these are, and lists those of every class.
func (c *caller) preface(ch *changes, r *workspace.Review) {
	lines := [][]string{{fmt.Sprintf("session %s · %s · %s: %s", ch.kept.Info.ID, visible(ch.kept.Info.Workspace),
		counted(len(r.Changes), "change", "changes"), summaryText(r.Summary()))}}
	for _, note := range r.Notes {
		lines = append(lines, []string{visible(note)})
	}
	for _, one := range classes {
		if list := one.list(r); list != nil {
			lines = append(lines, append([]string{one.title}, list...))
		}
	}
	if !c.reads() {
		for _, group := range lines {
			c.voice.notef("%s", group[0])
			for _, line := range group[1:] {
				c.voice.err.write(line + "\n")
			}
		}
		return
	}
	for _, group := range lines {
		for _, line := range wrap(group[0], c.voice.out.width) {
			c.voice.out.write(c.voice.out.paint(line, color.FgYellow) + "\n")
		}
		for _, line := range group[1:] {
			c.voice.out.write(line + "\n")
		}
	}
	c.voice.out.write("\n")
}

// reads reports whether a person reads the output, and not a program.
func (c *caller) reads() bool { return c.paging || isTerminal(c.out) }

// list gives the changes of a class in two columns, ready to print.
func (k class) list(r *workspace.Review) []string {
	var names, whys []string
	width := 0
	for i := range r.Changes {
		if why := k.why(&r.Changes[i]); why != "" {
			name := visible(changeName(&r.Changes[i]))
			names, whys = append(names, name), append(whys, visible(why))
			width = max(width, min(utf8.RuneCountInString(name), maxName))
		}
	}
	var out []string
	for i, name := range names {
		out = append(out, fmt.Sprintf("  %-*s  %s", width, name, whys[i]))
	}
	return out
}

// maxName is the width beyond which a name pushes what stands behind it away.
const maxName = 60
