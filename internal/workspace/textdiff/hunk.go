package textdiff

import (
	"fmt"
	"strings"
)

// A Hunk is one change with the unchanged lines around it.
type Hunk struct {
	A, ALen int // its lines in the old text, from 0
	B, BLen int // its lines in the new text
	Edits   []Edit
}

// An Edit replaces lines of the old text by lines of the new one.
type Edit struct {
	A, ALen int
	B, BLen int
}

// Hunks groups the changes between two texts, as diff(1) does: changes that are no
// more than twice the context apart share a hunk.
func Hunks(a, b []string, context int) []Hunk {
	var out []Hunk
	for _, e := range Edits(Matches(a, b), len(a), len(b)) {
		if n := len(out); n > 0 {
			last := &out[n-1].Edits[len(out[n-1].Edits)-1]
			if e.A-(last.A+last.ALen) <= 2*context {
				out[n-1].Edits = append(out[n-1].Edits, e)
				continue
			}
		}
		out = append(out, Hunk{Edits: []Edit{e}})
	}
	for i := range out {
		out[i].surround(len(a), len(b), context)
	}
	return out
}

// Edits turns what two texts have in common into what they have not.
func Edits(matches []Match, lenA, lenB int) []Edit {
	var out []Edit
	a, b := 0, 0
	for _, m := range append(matches[:len(matches):len(matches)], Match{lenA, lenB, 0}) {
		if m.A > a || m.B > b {
			out = append(out, Edit{A: a, ALen: m.A - a, B: b, BLen: m.B - b})
		}
		a, b = m.A+m.N, m.B+m.N
	}
	return out
}

func (h *Hunk) surround(lenA, lenB, context int) {
	first, last := h.Edits[0], h.Edits[len(h.Edits)-1]
	before := min(context, first.A)
	after := min(context, lenA-last.A-last.ALen)
	h.A, h.B = first.A-before, first.B-before
	h.ALen = last.A + last.ALen + after - h.A
	h.BLen = last.B + last.BLen + after - h.B
}

// Header is the hunk's "@@" line without its line feed. Behind it stands the last
// line above the hunk that looks like the head of a function, as git shows it.
func (h Hunk) Header(a []string) string {
	head := fmt.Sprintf("@@ -%s +%s @@", span(h.A, h.ALen), span(h.B, h.BLen))
	for i := h.A - 1; i >= 0 && i >= h.A-1000; i-- {
		if heading(a[i]) {
			line := strings.TrimRight(a[i], " \t\r\n")
			return head + " " + line[:min(len(line), 80)]
		}
	}
	return head
}

func span(start, n int) string {
	switch n {
	case 0:
		return fmt.Sprintf("%d,0", start)
	case 1:
		return fmt.Sprint(start + 1)
	}
	return fmt.Sprintf("%d,%d", start+1, n)
}

func heading(line string) bool {
	c := line[0]
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$'
}

// NoNewline is what unified diffs say below a last line that does not end.
const NoNewline = "\\ No newline at end of file\n"

// Write calls line for every line of the hunk's body: its kind, which is ' ', '-'
// or '+', and its text. A text without a line feed is the last of its file.
func (h Hunk) Write(a, b []string, line func(kind byte, text string)) {
	at := h.A
	emit := func(kind byte, lines []string) {
		for _, l := range lines {
			line(kind, l)
		}
	}
	for _, e := range h.Edits {
		emit(' ', a[at:e.A])
		emit('-', a[e.A:e.A+e.ALen])
		emit('+', b[e.B:e.B+e.BLen])
		at = e.A + e.ALen
	}
	emit(' ', a[at:h.A+h.ALen])
}

// Choose gives the old text with only the chosen hunks applied. Numbers that are
// no hunk's are an error, so that a stale choice is not taken for none.
func Choose(a, b []string, hunks []Hunk, chosen []int) ([]byte, error) {
	want := map[int]bool{}
	for _, n := range chosen {
		if n < 0 || n >= len(hunks) {
			return nil, fmt.Errorf("there is no hunk %d of %d", n+1, len(hunks))
		}
		want[n] = true
	}
	var out strings.Builder
	at := 0
	put := func(lines []string) {
		for _, l := range lines {
			out.WriteString(l)
		}
	}
	for i, h := range hunks {
		if !want[i] {
			continue
		}
		for _, e := range h.Edits {
			put(a[at:e.A])
			put(b[e.B : e.B+e.BLen])
			at = e.A + e.ALen
		}
	}
	put(a[at:])
	return []byte(out.String()), nil
}

// Count is the number of lines that the hunks add and remove.
func Count(hunks []Hunk) (added, removed int) {
	for _, h := range hunks {
		for _, e := range h.Edits {
			added, removed = added+e.BLen, removed+e.ALen
		}
	}
	return added, removed
}
