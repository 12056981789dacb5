package textdiff

import "sort"

// middle finds a point on a shortest path through a box, from both ends at once
// (Myers 1986, section 4b). It fails when the budget is used up, or when the point
// is a corner, which would not make the box smaller.
func (s *search) middle(x box) (a, b int, ok bool) {
	n, m := x.a1-x.a0, x.b1-x.b0
	delta := n - m
	odd := delta&1 != 0
	off := m + 1 // so that diagonal -m has an index
	fw, bw := s.forward, s.back
	fw[off+1], bw[off+1] = 0, 0
	for d := 0; d <= (n+m+1)/2; d++ {
		if s.budget -= 2*d + 1; s.budget < 0 {
			return 0, 0, false
		}
		for k := lowest(d, m); k <= highest(d, n); k += 2 {
			p := step(fw, off, k, d, m, n)
			for p < n && p-k < m && s.a[x.a0+p] == s.b[x.b0+p-k] {
				p++
			}
			fw[off+k] = int32(p)
			if r := delta - k; odd && r > -d && r < d && inside(r, d-1, m, n) && p+int(bw[off+r]) >= n {
				return s.corner(x, p, p-k)
			}
		}
		for k := lowest(d, m); k <= highest(d, n); k += 2 {
			p := step(bw, off, k, d, m, n)
			for p < n && p-k < m && s.a[x.a1-1-p] == s.b[x.b1-1-(p-k)] {
				p++
			}
			bw[off+k] = int32(p)
			if r := delta - k; !odd && r >= -d && r <= d && inside(r, d, m, n) && p+int(fw[off+r]) >= n {
				return s.corner(x, n-p, m-(p-k))
			}
		}
	}
	return 0, 0, false
}

// lowest and highest keep a search on the diagonals that cross the box, with the
// parity of d.
func lowest(d, m int) int {
	if d <= m {
		return -d
	}
	return -m + (d-m)&1
}

func highest(d, n int) int {
	if d <= n {
		return d
	}
	return n - (d-n)&1
}

func inside(k, d, m, n int) bool { return k >= lowest(d, m) && k <= highest(d, n) }

// step is the furthest point on diagonal k that one more edit reaches.
func step(v []int32, off, k, d, m, n int) int {
	if d == 0 {
		return 0
	}
	down := k+1 <= highest(d-1, n) // there is a neighbour to come down from
	right := k-1 >= lowest(d-1, m)
	switch {
	case !right:
		return int(v[off+k+1])
	case !down:
		return int(v[off+k-1]) + 1
	}
	return int(max(v[off+k+1], v[off+k-1]+1))
}

func (s *search) corner(x box, p, q int) (a, b int, ok bool) {
	a, b = x.a0+p, x.b0+q
	start, end := a == x.a0 && b == x.b0, a == x.a1 && b == x.b1
	return a, b, !start && !end && p >= 0 && q >= 0 && a <= x.a1 && b <= x.b1
}

// anchors are the lines that occur once in each part, in the longest order that
// both texts share.
func (s *search) anchors(x box) []Match {
	type place struct{ a, b, na, nb int }
	seen := map[int32]*place{}
	at := func(id int32) *place {
		p := seen[id]
		if p == nil {
			p = &place{}
			seen[id] = p
		}
		return p
	}
	for i := x.a0; i < x.a1; i++ {
		p := at(s.a[i])
		p.a, p.na = i, p.na+1
	}
	for i := x.b0; i < x.b1; i++ {
		p := at(s.b[i])
		p.b, p.nb = i, p.nb+1
	}
	var once []Match
	for i := x.a0; i < x.a1; i++ {
		if p := seen[s.a[i]]; p.na == 1 && p.nb == 1 {
			once = append(once, Match{p.a, p.b, 1})
		}
	}
	return rising(once)
}

// rising is a longest subsequence in which B grows too.
func rising(list []Match) []Match {
	var tails []int // tails[n] ends the best subsequence of length n+1
	previous := make([]int, len(list))
	for i, m := range list {
		n := sort.Search(len(tails), func(n int) bool { return list[tails[n]].B >= m.B })
		previous[i] = -1
		if n > 0 {
			previous[i] = tails[n-1]
		}
		if n == len(tails) {
			tails = append(tails, i)
		} else {
			tails[n] = i
		}
	}
	if len(tails) == 0 {
		return nil
	}
	out := make([]Match, len(tails))
	for i, at := len(out)-1, tails[len(tails)-1]; i >= 0; i, at = i-1, previous[at] {
		out[i] = list[at]
	}
	return out
}
