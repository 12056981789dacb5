package profile

import (
	"path"
	"strings"
)

// cleanPath is path.Clean that keeps a leading "~".
func cleanPath(p string) string {
	if p == "" {
		return ""
	}
	return path.Clean(p)
}

// fullPath reports whether p starts at the root or at the home.
func fullPath(p string) bool {
	return strings.HasPrefix(p, "/") || p == "~" || strings.HasPrefix(p, "~/")
}

// within reports whether p is dir or below it; both are clean.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

func withinAny(p string, dirs ...string) (string, bool) {
	for _, d := range dirs {
		if within(p, d) {
			return d, true
		}
	}
	return "", false
}

// coversHome reports whether p is the caller's home or above it. Without the
// host's facts a directory right below /home is taken for somebody's home.
func coversHome(p string) bool {
	switch p {
	case "/", "~", "/home", "/root":
		return true
	}
	return strings.HasPrefix(p, "/home/") && strings.Count(p, "/") == 2
}

// tilde writes a path below somebody's home from "~", so that it can be compared
// with masks that are written so.
func tilde(p string) string {
	if rest, ok := strings.CutPrefix(p, "/root/"); ok {
		return "~/" + rest
	}
	if rest, ok := strings.CutPrefix(p, "/home/"); ok {
		if _, below, ok := strings.Cut(rest, "/"); ok {
			return "~/" + below
		}
	}
	return p
}

// Overlaps reports whether a path is at, above or below something that a mask of
// [Rootfs] names. Both must be written the same way, from "/" or from "~"; a
// caller that knows the home asks again with the expanded paths.
func Overlaps(p, mask string) bool {
	ps, ms := split(cleanPath(p)), split(mask)
	for i := range min(len(ps), len(ms)) {
		if ms[i] == "**" {
			return true
		}
		// A pattern that cannot be read is taken to match.
		if ok, err := path.Match(ms[i], ps[i]); err == nil && !ok {
			return false
		}
	}
	return true
}

func split(p string) []string {
	p = strings.Trim(p, "/")
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

// patternProblem says what is wrong with a gitignore pattern, "" if nothing is.
func patternProblem(p string) (msg, hint string) {
	body := strings.TrimPrefix(p, "!")
	switch {
	case strings.HasPrefix(p, "#"):
		return "is a comment, so it matches nothing", `write "\#" for a name that begins with #`
	case strings.Trim(body, "/") == "":
		return "matches nothing", ""
	case strings.HasSuffix(body, " ") && !strings.HasSuffix(body, `\ `):
		return "ends in a space, which gitignore drops", ""
	case endsInBackslash(body):
		return "ends in a backslash, so it matches nothing", ""
	case strings.Contains(body, "//"):
		return "has two slashes in a row, so it matches nothing", ""
	}
	for _, part := range split(body) {
		if part == ".." || part == "." {
			return "has a \"" + part + "\" in it, so it matches nothing", "write the path without it"
		}
		if _, err := path.Match(part, ""); err != nil {
			return "has a bracket that is not closed", `write "\[" for a name with a bracket in it`
		}
	}
	return "", ""
}

func endsInBackslash(s string) bool {
	n := 0
	for strings.HasSuffix(s, `\`) {
		s, n = s[:len(s)-1], n+1
	}
	return n%2 == 1
}

// namesOne reports whether a workspace pattern can only mean one path, which can
// be held in place before it exists. Without a slash it means any depth.
func namesOne(pattern string) bool {
	body := strings.TrimSuffix(pattern, "/")
	return strings.Contains(body, "/") && !strings.ContainsAny(body, `*?[\`)
}

// maskedName returns the workspace mask that a part of p falls under, trying
// only masks without a slash, which hold at any depth.
func maskedName(p string, masks []string) (string, bool) {
	for _, part := range split(p) {
		found := ""
		for _, m := range masks {
			body, except := strings.CutPrefix(m, "!")
			body = strings.TrimSuffix(body, "/")
			if strings.Contains(body, "/") {
				continue
			}
			if ok, err := path.Match(body, part); ok || err != nil {
				found = m
				if except {
					found = ""
				}
			}
		}
		if found != "" {
			return found, true
		}
	}
	return "", false
}
