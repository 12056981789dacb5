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
		c.voice.notef("session %s changed nothing", ch.kept.Info.ID)
		return nil
	}
	screen, done := c, func() error { return nil }
	if !o.noPager {
		screen, done = c.paged(ch.kept.Info.Workspace)
	}
	err := screen.writeChanges(ch, r, o)
	if perr := done(); err == nil {
		err = perr
	}
	if err == nil && !o.offered && isTerminal(c.out) {
		c.voice.hint(strings.ReplaceAll(`"agentbox apply ID" writes them to the project, "agentbox discard ID" drops them`, "ID", ch.kept.Info.ID))
	}
	return err
}

func (c *caller) writeChanges(ch *changes, r *workspace.Review, o diffOptions) error {
	if o.how == asNames {
		for i := range r.Changes {
			c.voice.printf("%s\n", r.Changes[i].Path)
		}
		return nil
	}
	c.preface(ch, r)
	if o.how == asStat {
		return c.writeStat(ch, r)
	}
	for i := range r.Changes {
		part, err := ch.FileDiff(&r.Changes[i])
		if err != nil {
			return fmt.Errorf("%s: %w", r.Changes[i].Path, err)
		}
		c.showDiff(part.Header)
		for _, hunk := range part.Hunks {
			c.showDiff(hunk)
		}
	}
	return nil
}

// A class of changes has something that a person must know before they agree.
type class struct {
	title string
	why   func(*workspace.Change) string
}

var classes = []class{
	{"Hand-off files: programs outside the box run or obey them. Each is applied only when it is named.", func(ch *workspace.Change) string {
		var list []string
		for _, h := range ch.Handoffs {
			list = append(list, h.When)
		}
		return strings.Join(list, ", ")
	}},
	{"Protected by the profile. Each is applied only when it is named.", func(ch *workspace.Change) string { return ch.Protected }},
	{"Masked by the profile, and not shown. Each is applied only when it is named.", func(ch *workspace.Change) string { return ch.Masked }},
	{"Changed on the host as well. Each needs --theirs, --ours or --merge.", func(ch *workspace.Change) string { return ch.Conflict }},
	{"Never applied.", func(ch *workspace.Change) string { return ch.Refused }},
	{"Deleted.", func(ch *workspace.Change) string {
		if ch.Kind == workspace.Deleted {
			return string(ch.Before.Type)
		}
		return ""
	}},
	{"Worth a look.", func(ch *workspace.Change) string { return strings.Join(ch.Notes, ", ") }},
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
		c.voice.out.write(c.voice.out.paint(group[0], color.FgYellow) + "\n")
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

// writeStat counts the lines of each file, as git does.
func (c *caller) writeStat(ch *changes, r *workspace.Review) error {
	stats := make([]workspace.Stat, len(r.Changes))
	names := make([]string, len(r.Changes))
	wide, most, added, removed := 0, 0, 0, 0
	for i := range r.Changes {
		d, err := ch.FileDiff(&r.Changes[i])
		if err != nil {
			return fmt.Errorf("%s: %w", r.Changes[i].Path, err)
		}
		stats[i], names[i] = d.Stat, visible(changeName(&r.Changes[i]))
		wide, most = max(wide, utf8.RuneCountInString(names[i])), max(most, d.Stat.Added+d.Stat.Removed)
		added, removed = added+d.Stat.Added, removed+d.Stat.Removed
	}
	digits := max(len(fmt.Sprint(most)), len("Bin"))
	room := max(10, screenOr(c.voice.out.width, 80)-wide-digits-6)
	for i, s := range stats {
		plus, minus := s.Added, s.Removed
		if most > room {
			plus, minus = scaled(plus, most, room), scaled(minus, most, room)
		}
		count, marks := fmt.Sprintf("%*d", digits, s.Added+s.Removed), ""
		switch {
		case s.Binary:
			count, marks = fmt.Sprintf("%*s", digits, "Bin"), fmt.Sprintf("%d -> %d bytes", r.Changes[i].Before.Size, r.Changes[i].After.Size)
		default:
			marks = c.voice.out.paint(strings.Repeat("+", plus), color.FgGreen) + c.voice.out.paint(strings.Repeat("-", minus), color.FgRed)
		}
		pad := strings.Repeat(" ", wide-utf8.RuneCountInString(names[i]))
		c.voice.out.write(strings.TrimRight(" "+names[i]+pad+" | "+count+" "+marks, " ") + "\n")
	}
	c.voice.out.write(fmt.Sprintf(" %s changed, %s(+), %s(-)\n", counted(len(stats), "file", "files"),
		counted(added, "insertion", "insertions"), counted(removed, "deletion", "deletions")))
	return nil
}

// scaled keeps at least one mark for what is not nothing.
func scaled(n, most, room int) int {
	if n == 0 {
		return 0
	}
	return max(1, n*room/most)
}

func screenOr(width, otherwise int) int {
	if width > 0 {
		return width
	}
	return otherwise
}
