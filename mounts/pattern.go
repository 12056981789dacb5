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
	parts  []string // the components; "**" is one
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
	one.parts = strings.Split(strings.TrimPrefix(line, "/"), "/")
	if !anchored {
		one.parts = append([]string{"**"}, one.parts...)
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

// mayEnd decides most names of a large workspace by their last component alone.
func (one pattern) mayEnd(base string) bool {
	last := one.parts[len(one.parts)-1]
	return last == "**" || matchPart(last, base)
}

func matchParts(pattern, parts []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			rest := pattern[1:]
			if len(rest) == 0 {
				return len(parts) > 0
			}
			for i := range parts {
				if matchParts(rest, parts[i:]) {
					return true
				}
			}
			return false
		}
		if len(parts) == 0 || !matchPart(pattern[0], parts[0]) {
			return false
		}
		pattern, parts = pattern[1:], parts[1:]
	}
	return len(parts) == 0
}

// matchPart matches one component. A pattern that path.Match cannot read matches nothing; profile refuses it before.
func matchPart(pattern, name string) bool {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return pattern == name
	}
	ok, err := path.Match(strings.ReplaceAll(pattern, "[!", "[^"), name)
	return err == nil && ok
}
