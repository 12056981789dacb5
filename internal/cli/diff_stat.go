package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"

	"agentbox/internal/workspace"
)

// A statRow is one line of --stat.
type statRow struct {
	name, marks    string
	added, removed int
	sizes          string // instead of lines, for what is not text or not shown
}

// writeStat counts the lines of each file, as git does.
func (c *caller) writeStat(ch *changes, r *workspace.Review) error {
	rows := make([]statRow, len(r.Changes))
	for i := range r.Changes {
		one := &r.Changes[i]
		d, err := ch.FileDiff(one)
		if err != nil {
			return fmt.Errorf("%s: %w", one.Path, err)
		}
		rows[i] = statRow{name: visible(statName(one)), marks: marksOf(one), added: d.Stat.Added, removed: d.Stat.Removed}
		switch {
		case d.Stat.Binary && one.Masked != "":
			rows[i].sizes = "not shown"
		case d.Stat.Binary:
			rows[i].sizes = fmt.Sprintf("%d -> %d bytes", one.Before.Size, one.After.Size)
		}
	}
	name, digits, graph := statWidths(rows, c.voice.out.width)
	added, removed, most := 0, 0, mostLines(rows)
	for _, row := range rows {
		count, tail := fmt.Sprintf("%*d", digits, row.added+row.removed), ""
		if row.sizes != "" {
			count, tail = fmt.Sprintf("%*s", digits, "Bin"), " "+row.sizes
		} else if plus, minus := bar(row.added, row.removed, most, graph); plus+minus > 0 {
			tail = " " + c.voice.out.paint(strings.Repeat("+", plus), color.FgGreen) + c.voice.out.paint(strings.Repeat("-", minus), color.FgRed)
		}
		if row.marks != "" {
			tail += "  " + c.voice.out.paint(row.marks, color.FgYellow)
		}
		short := shortName(row.name, name)
		c.voice.out.write(" " + short + strings.Repeat(" ", name-utf8.RuneCountInString(short)) + " | " + count + tail + "\n")
		added, removed = added+row.added, removed+row.removed
	}
	c.voice.out.write(" " + statTotal(len(rows), added, removed) + "\n")
	return nil
}

func statName(one *workspace.Change) string {
	if one.From != "" {
		return one.From + " => " + one.Path
	}
	return one.Path
}

func mostLines(rows []statRow) int {
	most := 0
	for _, row := range rows {
		most = max(most, row.added+row.removed)
	}
	return most
}

// statWidths shares a line among the name, the number and the bar by git's rule (diff.c, show_stats), after the marks
// have had their part. A program, which has no screen, gets names whole.
func statWidths(rows []statRow, screen int) (name, digits, graph int) {
	sizes, marks := 0, 0
	for _, row := range rows {
		name, sizes = max(name, utf8.RuneCountInString(row.name)), max(sizes, len(row.sizes))
		if row.marks != "" {
			marks = max(marks, len(row.marks)+2)
		}
		if row.sizes != "" {
			digits = len("Bin")
		}
	}
	most := mostLines(rows)
	digits = max(digits, len(fmt.Sprint(most)))
	graph = max(most, sizes)
	if screen <= 0 {
		return name, digits, min(graph, max(10, 80-name-digits-6))
	}
	width := max(screen-marks, 16+6+digits)
	if name+digits+6+graph <= width {
		return name, digits, graph
	}
	graph = min(graph, max(6, width*3/8-digits-6))
	if most := width - digits - 6 - graph; name > most {
		return most, digits, graph
	}
	return name, digits, width - digits - 6 - name
}

// bar scales the marks to the room that there is, as git does: what is not nothing keeps one.
func bar(added, removed, most, room int) (plus, minus int) {
	if most <= room {
		return added, removed
	}
	scaled := func(n int) int {
		if n == 0 {
			return 0
		}
		return 1 + n*(room-1)/most
	}
	all := scaled(added + removed)
	if all < 2 && added > 0 && removed > 0 {
		all = 2
	}
	if added < removed {
		plus = scaled(added)
		return plus, all - plus
	}
	minus = scaled(removed)
	return all - minus, minus
}

// shortName leaves the end of a name that is too long, from a slash on where there is one.
func shortName(name string, width int) string {
	runes := []rune(name)
	if len(runes) <= width {
		return name
	}
	end := string(runes[len(runes)-max(0, width-3):])
	if i := strings.IndexByte(end, '/'); i >= 0 {
		end = end[i:]
	}
	return "..." + end
}

// statTotal leaves out what is none, unless both are.
func statTotal(files, added, removed int) string {
	text := counted(files, "file", "files") + " changed"
	if added > 0 || removed == 0 {
		text += ", " + counted(added, "insertion", "insertions") + "(+)"
	}
	if removed > 0 || added == 0 {
		text += ", " + counted(removed, "deletion", "deletions") + "(-)"
	}
	return text
}
