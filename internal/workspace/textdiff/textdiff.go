// Package textdiff says how two texts differ, line by line, and merges three of them.
//
// It is pure, and made for texts that an adversary wrote: work and memory are
// bounded by the size of the input, because a search that has become too long
// gives up its optimum, never its correctness. A line is what ends in "\n", or the
// rest; nothing is said about encodings, so every byte comes back as it was.
package textdiff

import "strings"

// Lines cuts a text behind every line feed. The lines put together are the text.
func Lines(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	lines := strings.SplitAfter(string(text), "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// A Match is a run of lines that two texts have in common.
type Match struct {
	A, B int // where it begins
	N    int // how many lines
}

// budget bounds the steps of one search; what lies beyond counts as different.
const budget = 16 << 20

// Matches finds what two texts have in common, in order. Lines that occur once in
// each text hold the search together, as in patience diff; Myers' algorithm
// compares what lies between them.
func Matches(a, b []string) []Match {
	s := search{budget: budget}
	s.a, s.b = intern(a, b)
	size := len(a) + len(b) + 3
	s.forward, s.back = make([]int32, size), make([]int32, size)
	box := s.trim(box{0, len(a), 0, len(b)})
	for _, anchor := range s.anchors(box) {
		s.compare(box.before(anchor))
		s.match(anchor.A, anchor.B, 1)
		box.a0, box.b0 = anchor.A+1, anchor.B+1
	}
	s.compare(box)
	if n := len(a) - s.suffix; s.suffix > 0 {
		s.match(n, len(b)-s.suffix, s.suffix)
	}
	return s.found
}

// intern gives equal lines equal numbers.
func intern(a, b []string) ([]int32, []int32) {
	ids := make(map[string]int32, len(a))
	number := func(lines []string) []int32 {
		out := make([]int32, len(lines))
		for i, line := range lines {
			id, ok := ids[line]
			if !ok {
				id = int32(len(ids))
				ids[line] = id
			}
			out[i] = id
		}
		return out
	}
	return number(a), number(b)
}

// A box is a part of each text.
type box struct{ a0, a1, b0, b1 int }

func (x box) before(m Match) box { return box{x.a0, m.A, x.b0, m.B} }

func (x box) empty() bool { return x.a0 == x.a1 || x.b0 == x.b1 }

type search struct {
	a, b          []int32
	forward, back []int32 // furthest points on each diagonal
	found         []Match
	suffix        int // lines at the end that the first trim took
	budget        int
}

// match records common lines, and joins what touches.
func (s *search) match(a, b, n int) {
	if last := len(s.found) - 1; last >= 0 && s.found[last].A+s.found[last].N == a && s.found[last].B+s.found[last].N == b {
		s.found[last].N += n
		return
	}
	s.found = append(s.found, Match{a, b, n})
}

// trim takes the common beginning and end off the whole texts.
func (s *search) trim(x box) box {
	for !x.empty() && s.a[x.a0] == s.b[x.b0] {
		x.a0, x.b0 = x.a0+1, x.b0+1
	}
	for !x.empty() && s.a[x.a1-1] == s.b[x.b1-1] {
		x.a1, x.b1, s.suffix = x.a1-1, x.b1-1, s.suffix+1
	}
	if x.a0 > 0 {
		s.match(0, 0, x.a0)
	}
	return x
}

// compare finds the matches of a box.
func (s *search) compare(x box) {
	start := x
	for !x.empty() && s.a[x.a0] == s.b[x.b0] {
		x.a0, x.b0 = x.a0+1, x.b0+1
	}
	if n := x.a0 - start.a0; n > 0 {
		s.match(start.a0, start.b0, n)
	}
	tail := 0
	for !x.empty() && s.a[x.a1-1] == s.b[x.b1-1] {
		x.a1, x.b1, tail = x.a1-1, x.b1-1, tail+1
	}
	if !x.empty() {
		if a, b, ok := s.middle(x); ok {
			s.compare(box{x.a0, a, x.b0, b})
			s.compare(box{a, x.a1, b, x.b1})
		}
	}
	if tail > 0 {
		s.match(x.a1, x.b1, tail)
	}
}
