// Package scrub finds byte strings in a stream and cuts them.
//
// What it promises. Every occurrence of every text of a Set is found, however the stream is divided into pieces, and
// overlapping ones are each found. What is cut is replaced by as many stars, so that lengths stay true. A Reader and a
// Writer pass on at once whatever cannot be part of an occurrence that has not ended yet, and lose nothing.
//
// What it does not. It knows a text only in the forms it was given (Encodings has the usual ones): not compressed,
// encrypted, reversed, or with something put between its letters. A piece that ends in one to three bytes with which a text begins
// is passed on whole, as the other side may have to answer it before more comes; if the text does follow, all the rest of
// it is cut.
package scrub

import (
	"encoding/binary"
	"slices"
	"strings"
)

// A Set holds the texts to look for, each under a name. It may be used by several goroutines at once; the zero value
// and nil find nothing.
type Set struct {
	names        []string // sorted
	exact, lower *index
}

// NewSet makes a Set of names and the texts that stand for each. Empty texts are left out.
func NewSet(needles map[string][]string) *Set {
	s := &Set{}
	for name := range needles {
		s.names = append(s.names, name)
	}
	slices.Sort(s.names)
	var exact, lower []needle
	for i, name := range s.names {
		texts := slices.Sorted(slices.Values(needles[name]))
		for _, text := range slices.Compact(texts) {
			if text != "" {
				exact = append(exact, needle{text, i})
				lower = append(lower, needle{lowered(text), i})
			}
		}
	}
	s.exact, s.lower = newIndex(exact), newIndex(lower)
	return s
}

func (s *Set) index() *index {
	if s == nil {
		return nil
	}
	return s.exact
}

// Find returns the names of what is in p, sorted, each once.
func (s *Set) Find(p []byte) []string {
	return s.named(s.index(), p)
}

// FindFold is Find for text in which the case of ASCII letters means nothing, as in host names.
func (s *Set) FindFold(p string) []string {
	if s == nil || s.lower == nil {
		return nil
	}
	return s.named(s.lower, []byte(lowered(p)))
}

func (s *Set) named(x *index, p []byte) []string {
	var found []int
	x.each(p, func(_, _, name int) { found = append(found, name) })
	return s.sorted(found)
}

func (s *Set) sorted(found []int) []string {
	if len(found) == 0 {
		return nil
	}
	slices.Sort(found)
	var out []string
	for _, name := range slices.Compact(found) {
		out = append(out, s.names[name])
	}
	return out
}

// Cut returns p with stars in place of what was found, and the names of that. p itself is not changed, and is what is
// returned when nothing was found.
func (s *Set) Cut(p []byte) ([]byte, []string) {
	var out []byte
	var found []int
	s.index().each(p, func(from, to, name int) {
		if out == nil {
			out = slices.Clone(p)
		}
		star(out[from:to])
		found = append(found, name)
	})
	if out == nil {
		return p, nil
	}
	return out, s.sorted(found)
}

func star(p []byte) {
	for i := range p {
		p[i] = '*'
	}
}

// lowered is s with ASCII letters in lower case; strings.ToLower would change the length of others.
func lowered(s string) string {
	out := []byte(s)
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return string(out)
}

type needle struct {
	text string
	name int
}

// An index finds needles by sampling. With m the length of the shortest, each holds one whole block of q bytes at one
// of any m-q+1 positions in a row; so only every (m-q+1)th position is looked at, and most of those end at a filter of
// 8 KiB. An automaton would look at every byte, and its table for a dozen secrets in their encodings fits no cache.
type index struct {
	needles []needle
	longest int
	width   int    // q
	stride  int    // how many positions to go from one block to the next
	mask    uint32 // the bytes of a block
	filter  [filterBits / 64]uint64
	blocks  map[uint32][]place
	first   [256]bool // the bytes with which a needle begins
	heads   map[uint32][]int
}

// A place is where in a needle a block is.
type place struct{ needle, offset int }

const (
	filterBits = 1 << 16
	maxWidth   = 4
	maxStride  = 8
)

// newIndex returns nil where there is nothing to look for.
func newIndex(needles []needle) *index {
	if len(needles) == 0 {
		return nil
	}
	x := &index{needles: needles, blocks: map[uint32][]place{}, heads: map[uint32][]int{}}
	shortest := len(needles[0].text)
	for _, n := range needles {
		shortest, x.longest = min(shortest, len(n.text)), max(x.longest, len(n.text))
	}
	x.width = min(shortest, maxWidth)
	x.stride = min(shortest-x.width+1, maxStride)
	x.mask = uint32(1<<(8*x.width) - 1)
	for i, n := range needles {
		for offset := range x.stride {
			block := x.block([]byte(n.text[offset : offset+x.width]))
			x.blocks[block] = append(x.blocks[block], place{i, offset})
			bit := slot(block)
			x.filter[bit/64] |= 1 << (bit % 64)
		}
		x.first[n.text[0]] = true
		head := x.block([]byte(n.text[:x.width]))
		x.heads[head] = append(x.heads[head], i)
	}
	return x
}

// block is the number of the first bytes of p, which has enough of them.
func (x *index) block(p []byte) (block uint32) {
	for i := range x.width {
		block |= uint32(p[i]) << (8 * i)
	}
	return block
}

func slot(block uint32) uint32 { return block * 0x9e3779b1 >> 16 } // Knuth's multiplicative hash

// next is the next position from i on, in strides, that may be that of a block, or a negative number.
func (x *index) next(p []byte, i int) int {
	stride, mask := x.stride, x.mask
	for ; i <= len(p)-4; i += stride {
		bit := slot(binary.LittleEndian.Uint32(p[i:]) & mask)
		if x.filter[bit/64]&(1<<(bit%64)) != 0 {
			return i
		}
	}
	if i <= len(p)-x.width {
		return i
	}
	return -1
}

// each calls f for every occurrence in p, in no particular order.
func (x *index) each(p []byte, f func(from, to, name int)) {
	if x == nil {
		return
	}
	for i := x.next(p, 0); i >= 0; i = x.next(p, i+x.stride) {
		for _, at := range x.blocks[x.block(p[i:])] {
			n := x.needles[at.needle]
			from := i - at.offset
			if to := from + len(n.text); from >= 0 && to <= len(p) && string(p[from:to]) == n.text {
				f(from, to, n.name)
			}
		}
	}
}

// tail is where in p the first text begins that p ends in the middle of; the length of p if there is none.
func (x *index) tail(p []byte) int {
	for from := max(0, len(p)-x.longest+1); from < len(p); from++ {
		rest := p[from:]
		if !x.first[rest[0]] {
			continue
		}
		if len(rest) < x.width {
			if slices.ContainsFunc(x.needles, func(n needle) bool { return strings.HasPrefix(n.text, string(rest)) }) {
				return from
			}
			continue
		}
		for _, i := range x.heads[x.block(rest)] {
			if text := x.needles[i].text; len(text) > len(rest) && text[:len(rest)] == string(rest) {
				return from
			}
		}
	}
	return len(p)
}
