package textdiff

import (
	"slices"
	"strings"
)

// A Conflict is a place where both sides changed the same lines differently.
type Conflict struct {
	Line               int // of the merged text, from 1
	Base, Ours, Theirs []string
}

// Merge applies to ours what theirs changed since base. It gives no text where the
// two changed the same or touching lines in different ways: it says where, and the
// caller decides.
func Merge(base, ours, theirs []byte) ([]byte, []Conflict) {
	m := merger{base: Lines(base), ours: Lines(ours), theirs: Lines(theirs)}
	left := Edits(Matches(m.base, m.ours), len(m.base), len(m.ours))
	right := Edits(Matches(m.base, m.theirs), len(m.base), len(m.theirs))
	for len(left) > 0 || len(right) > 0 {
		left, right = m.next(left, right)
	}
	m.put(m.base[m.at:])
	if len(m.conflicts) > 0 {
		return nil, m.conflicts
	}
	return []byte(strings.Join(m.out, "")), nil
}

type merger struct {
	base, ours, theirs []string
	at                 int // how far base is used up
	out                []string
	conflicts          []Conflict
}

func (m *merger) put(lines []string) { m.out = append(m.out, lines...) }

// next takes the first edits of both sides that touch each other.
func (m *merger) next(left, right []Edit) ([]Edit, []Edit) {
	start := len(m.base) + 1
	if len(left) > 0 {
		start = left[0].A
	}
	if len(right) > 0 {
		start = min(start, right[0].A)
	}
	end := start
	nl, nr := 0, 0
	for grown := true; grown; {
		grown = false
		for nl < len(left) && left[nl].A <= end {
			end, nl, grown = max(end, left[nl].A+left[nl].ALen), nl+1, true
		}
		for nr < len(right) && right[nr].A <= end {
			end, nr, grown = max(end, right[nr].A+right[nr].ALen), nr+1, true
		}
	}
	m.put(m.base[m.at:start])
	old := m.base[start:end]
	ours, theirs := changed(m.base, m.ours, left[:nl], start, end), changed(m.base, m.theirs, right[:nr], start, end)
	switch {
	case nr == 0 || slices.Equal(ours, theirs):
		m.put(ours)
	case nl == 0:
		m.put(theirs)
	default:
		m.conflicts = append(m.conflicts, Conflict{Line: len(m.out) + 1, Base: old, Ours: ours, Theirs: theirs})
		m.put(ours)
	}
	m.at = end
	return left[nl:], right[nr:]
}

// changed is a part of base with one side's edits.
func changed(base, side []string, edits []Edit, start, end int) []string {
	var out []string
	at := start
	for _, e := range edits {
		out = append(out, base[at:e.A]...)
		out = append(out, side[e.B:e.B+e.BLen]...)
		at = e.A + e.ALen
	}
	return append(out, base[at:end]...)
}

// Similarity is how much of the larger text stands in the other one too, in
// percent, counted in the bytes of whole lines wherever they stand.
func Similarity(a, b []byte) int {
	if len(a) == 0 || len(b) == 0 {
		return 0
	}
	count := map[string]int{}
	for _, line := range Lines(a) {
		count[line]++
	}
	common := 0
	for _, line := range Lines(b) {
		if count[line] > 0 {
			count[line]--
			common += len(line)
		}
	}
	return common * 100 / max(len(a), len(b))
}
