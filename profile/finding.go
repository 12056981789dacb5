package profile

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// A Finding is one thing wrong with a profile.
type Finding struct {
	File    string // the layer it stands in
	Key     string // key path in that file: mount[2].source
	Line    int    // from 1; 0 when the layer is not a file
	Col     int
	Message string
	Hint    string
	Warning bool // worth saying, but the profile may run
}

// String returns "file:line:col: key: message", without the parts that are unknown.
func (f Finding) String() string {
	var b strings.Builder
	if f.File != "" {
		b.WriteString(printable(f.File))
		if f.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", f.Line, max(f.Col, 1))
		}
		b.WriteString(": ")
	}
	if f.Key != "" {
		b.WriteString(printable(f.Key) + ": ")
	}
	b.WriteString(printable(f.Message))
	return b.String()
}

// printable escapes what a terminal would obey: names of files and keys come
// from places the agent may write.
func printable(s string) string {
	clean := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
	if clean {
		return s
	}
	q := strconv.QuoteToGraphic(s)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// Findings is everything wrong with a profile; as an error, one finding a line.
type Findings []Finding

// Error returns the findings, one a line.
func (fs Findings) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Fatal returns the findings that are not warnings.
func (fs Findings) Fatal() Findings {
	var out Findings
	for _, f := range fs {
		if !f.Warning {
			out = append(out, f)
		}
	}
	return out
}

// sorted orders the findings of one file as a reader meets them.
func (fs Findings) sorted() Findings {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return fs
}
