package mounts

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Patterns are gitignore patterns, each with the profile key it stands at. See gitignore(5): a pattern without a
// slash matches at any depth, "**" matches any number of directories, a trailing slash only directories, and a later
// "!" takes out again what an earlier pattern matched.
type Patterns struct{ list []pattern }

type pattern struct {
	parts  []string // the components, in the words of path.Match; "**" is one
	negate bool
	dir    bool // only directories
	key    string
}

// ParsePatterns reads the lines of a profile's list; key is the list's. Lines that start with "~" are not patterns of
// a workspace and are left out.
func ParsePatterns(key string, lines []string) Patterns {
	var p Patterns
	for i, line := range lines {
		if !strings.HasPrefix(line, "~") {
			p.Add(fmt.Sprintf("%s[%d]", key, i), line)
		}
	}
	return p
}

// Add appends one pattern.
func (p *Patterns) Add(key, line string) {
	one := pattern{key: key}
	line, one.negate = cut(line, "!", strings.CutPrefix)
	line, one.dir = cut(line, "/", strings.CutSuffix)
	anchored := strings.Contains(line, "/")
	if !anchored {
		one.parts = []string{"**"}
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(line, "/"), "/") {
		one.parts = append(one.parts, component(part))
	}
	p.list = append(p.list, one)
}

func cut(s, mark string, f func(string, string) (string, bool)) (string, bool) { return f(s, mark) }

// Empty reports that nothing can match.
func (p Patterns) Empty() bool { return len(p.list) == 0 }

// Match gives the key of the pattern that decides about a path relative to the workspace.
func (p Patterns) Match(name string, dir bool) (key string, ok bool) {
	base := path.Base(name)
	if !slices.ContainsFunc(p.list, func(one pattern) bool { return !one.negate && one.mayEnd(base) }) {
		return "", false
	}
	parts := strings.Split(name, "/")
	for _, one := range slices.Backward(p.list) {
		if one.dir && !dir || !matchParts(one.parts, parts) {
			continue
		}
		return one.key, !one.negate
	}
	return "", false
}

// Leads gives the key of a pattern that needs this path to be a directory on the way to what it names, or "".
func (p Patterns) Leads(name string) string {
	depth := strings.Count(name, "/") + 1
	for _, one := range p.list {
		if one.negate || len(one.parts) <= depth || one.parts[0] == "**" {
			continue
		}
		if leads(one.parts, name) {
			return one.key
		}
	}
	return ""
}

// leads reports whether the first components of a pattern are those of a name. What "**" stands for leads nowhere.
func leads(pattern []string, name string) bool {
	for i := 0; name != ""; i++ {
		var first string
		first, name, _ = strings.Cut(name, "/")
		if pattern[i] == "**" || !matchPart(pattern[i], first) {
			return false
		}
	}
	return true
}

// mayEnd decides most names of a large workspace by their last component alone.
func (one pattern) mayEnd(base string) bool {
	last := one.parts[len(one.parts)-1]
	return last == "**" || matchPart(last, base)
}

// matchParts lets each "**" take as few components as it can; only the last one it came to ever has to take more. So
// a pattern of a project costs no more than the depth of a path, squared.
func matchParts(pattern, parts []string) bool {
	var behind, from []string // what follows the last "**", and where that was tried
	for len(parts) > 0 {
		switch {
		case len(pattern) > 0 && pattern[0] == "**":
			if len(pattern) == 1 {
				return true
			}
			behind, from = pattern[1:], parts
			pattern = behind
		case len(pattern) > 0 && matchPart(pattern[0], parts[0]):
			pattern, parts = pattern[1:], parts[1:]
		case behind != nil:
			from = from[1:]
			pattern, parts = behind, from
		default:
			return false
		}
	}
	return len(pattern) == 0
}

// matchPart matches one component. A pattern that path.Match cannot read matches nothing; profile refuses it before.
func matchPart(pattern, name string) bool {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return pattern == name
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}
