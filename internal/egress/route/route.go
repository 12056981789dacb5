// Package route tells which requests a row of methods and paths is about. The path of a request is made one thing once,
// and what servers could read in more than one way is called so: who decides by paths refuses it.
package route

import (
	"net/url"
	"path"
	"slices"
	"strings"
)

// A Match is about requests with one of the methods and one of the paths; none of either means all.
type Match struct{ Methods, Paths []string }

// Permits reports whether it is about a request. The path is the one that is sent on, see Path.
func (m Match) Permits(method, urlPath string) bool {
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, method) {
		return false
	}
	return len(m.Paths) == 0 || slices.ContainsFunc(m.Paths, func(p string) bool { return match(p, urlPath) })
}

// Narrow reports whether there are requests that it is not about.
func (m Match) Narrow() bool { return len(m.Methods) > 0 || len(m.Paths) > 0 }

// Path is the path that rules are about. It is exact if every server reads it so: no part is "." or "..", none is
// empty, and nothing that separates parts is escaped.
func Path(u *url.URL) (clean string, exact bool) {
	p := u.Path
	if p == "" {
		p = "/"
	}
	escaped := strings.ToLower(u.EscapedPath())
	odd := strings.Contains(escaped, "%2f") || strings.Contains(escaped, "%5c") || strings.Contains(escaped, "%25") || strings.ContainsAny(p, "\\;\x00")
	want := path.Clean(p)
	if strings.HasSuffix(p, "/") && want != "/" {
		want += "/"
	}
	return p, !odd && want == p && p[0] == '/'
}

// match matches a path part by part: "*" stands for any text within one, "**" for any number of parts. The path is
// the one that is sent on: with its escapes resolved and no "." or ".." left.
func match(pattern, name string) bool {
	return matchParts(strings.Split(pattern, "/"), strings.Split(name, "/"))
}

func matchParts(pattern, name []string) bool {
	star, from := -1, 0 // the last "**", and how far the parts it stands for reach
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			star, from = p, n
			p++
		case p < len(pattern) && matchPart(pattern[p], name[n]):
			p++
			n++
		case star >= 0:
			from++
			p, n = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}

func matchPart(pattern, part string) bool {
	ok, err := path.Match(pattern, part)
	return err == nil && ok
}
