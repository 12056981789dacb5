package profile

import (
	"fmt"
	"strings"
)

// unknownKey says what a key that is not in the schema was probably meant to be.
func unknownKey(parent, name string) (msg, hint string) {
	msg = "there is no such key"
	siblings := namesUnder(parent)
	for _, s := range siblings {
		if strings.EqualFold(s, name) {
			return "there is no such key; keys are written in lower case", fmt.Sprintf("write %q", s)
		}
	}
	best, limit := "", max(1, min(3, len(name)/3))
	for _, s := range siblings {
		if d := distance(s, strings.ToLower(name)); d <= limit {
			best, limit = s, d-1
		}
	}
	if best != "" {
		return msg, fmt.Sprintf("did you mean %q?", best)
	}
	for _, k := range schemaTable {
		if k.name() == name {
			return msg, fmt.Sprintf("did you mean %q?", k.Path)
		}
	}
	if parent == "" {
		return msg, ""
	}
	return msg, fmt.Sprintf("the keys here are %s", strings.Join(siblings, ", "))
}

func namesUnder(parent string) []string {
	var out []string
	for _, k := range children(parent) {
		out = append(out, k.name())
	}
	if parent == "" {
		for _, s := range sectionTable {
			out = append(out, s.Path)
		}
	}
	return out
}

// distance is the number of edits, a swap of neighbours counting as one.
func distance(a, b string) int {
	if len(b) > 64 {
		return len(b)
	}
	prev2, prev := []int(nil), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev = prev, row
	}
	return prev[len(b)]
}
