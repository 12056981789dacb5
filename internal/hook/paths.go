package hook

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"agentbox/internal/permission"
)

// A pattern is one of gitignore's about absolute paths, as components. It names what is below, too.
type pattern struct {
	parts []string
	fold  []string // in small letters
}

// places are the patterns of one list of the profile, of which the last that matches decides.
type places struct {
	key  string
	list []pattern
	not  []bool // takes out again what an earlier one named
}

func (p *Policy) places(key string, lines []string) places {
	out := places{key: key}
	for _, line := range lines {
		body, not := strings.CutPrefix(line, "!")
		if key == "rootfs.mask" && strings.HasPrefix(body, "/") {
			body = "/" + body
		}
		out.list, out.not = append(out.list, p.pattern(body)), append(out.not, not)
	}
	return out
}

// holds gives the key of the pattern that names a path.
func (l places) holds(name []string) string {
	for i := len(l.list) - 1; i >= 0; i-- {
		if l.list[i].names(name, false) {
			if l.not[i] {
				return ""
			}
			return fmt.Sprintf("%s[%d]", l.key, i)
		}
	}
	return ""
}

// pattern reads the path of a rule: from "//" it is absolute, from "~/" of the home, and otherwise of the workspace, at
// any depth if there is no slash in it.
func (p *Policy) pattern(spec string) pattern {
	for strings.HasPrefix(spec, "./") {
		spec = "/" + strings.TrimLeft(spec[2:], "/")
	}
	spec = strings.TrimSuffix(spec, "/")
	var full []string
	switch {
	case strings.HasPrefix(spec, "//"):
		full = components(spec)
	case spec == "~" || strings.HasPrefix(spec, "~/"):
		full = append(quoted(p.o.Home), components(spec[1:])...)
	case strings.Contains(spec, "/"):
		full = append(quoted(p.o.Workspace), components(spec)...)
	default:
		full = append(quoted(p.o.Workspace), "**", spec)
	}
	for len(full) > 1 && full[len(full)-1] == "**" { // it names all that is in a directory
		full = full[:len(full)-1]
	}
	return pattern{full, components(strings.ToLower(strings.Join(full, "/")))}
}

func components(p string) []string {
	return slices.DeleteFunc(strings.Split(p, "/"), func(s string) bool { return s == "" || s == "." })
}

// quoted are the components of a path that is no pattern.
func quoted(p string) []string {
	return components(strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(p))
}

// names reports that the pattern names a path, or what it is in, or may do so where the path is a pattern of a shell
// itself. In other letters is the same: not every disk knows the difference.
func (p pattern) names(name []string, isPattern bool) bool {
	lower := components(strings.ToLower(strings.Join(name, "/")))
	if !isPattern {
		return exactly(p.parts, name) || exactly(p.fold, lower)
	}
	return meets(p.parts, name) || meets(p.fold, lower)
}

// meets reports that two patterns may name the same.
func meets(rule, name []string) bool {
	switch {
	case len(rule) == 0:
		return true
	case rule[0] == "**":
		for i := range len(name) + 1 {
			if meets(rule[1:], name[i:]) {
				return true
			}
		}
		return false
	case len(name) == 0:
		return false
	case name[0] == "**":
		return true
	}
	return component(rule[0], name[0]) && meets(rule[1:], name[1:])
}

// component reports that a component of a rule and one of a path, or of a pattern of the shell, may be the same name.
func component(rule, name string) bool {
	if ok, err := path.Match(rule, name); ok || err != nil {
		return true
	}
	if !strings.ContainsAny(name, "*?[{(") {
		return false
	}
	if strings.ContainsAny(name, "{(") {
		return true
	}
	if strings.HasPrefix(rule, ".") && !strings.HasPrefix(name, ".") {
		return false // no pattern names what begins with a dot, unless it does
	}
	if !strings.ContainsAny(rule, `*?[\`) {
		ok, err := path.Match(name, rule)
		return ok || err != nil
	}
	a, _, _ := strings.Cut(rule, firstOf(rule))
	b, _, _ := strings.Cut(name, firstOf(name))
	if !strings.HasPrefix(a, b) && !strings.HasPrefix(b, a) {
		return false
	}
	a, b = rule[strings.LastIndexAny(rule, "*?[]")+1:], name[strings.LastIndexAny(name, "*?[]{}")+1:]
	return strings.HasSuffix(a, b) || strings.HasSuffix(b, a)
}

// firstOf is the first special character, or one that is in no name.
func firstOf(s string) string {
	if at := strings.IndexAny(s, `*?[{\`); at >= 0 {
		return s[at : at+1]
	}
	return "/"
}

// full writes a path from the root. What it means twice is given twice: "$HOME/x" is a name and a place.
func (c call) full(name string) []string {
	if rest, ok := strings.CutPrefix(name, "file:"); ok {
		if u, err := url.PathUnescape(strings.TrimPrefix(rest, "//")); err == nil {
			name = u
		}
	}
	for _, v := range []string{"$HOME", "${HOME}"} {
		if rest, ok := strings.CutPrefix(name, v); ok {
			name = "~" + rest
		}
	}
	for _, v := range []string{"$PWD", "${PWD}", "$CLAUDE_PROJECT_DIR", "${CLAUDE_PROJECT_DIR}"} {
		if rest, ok := strings.CutPrefix(name, v); ok {
			name = c.Dir + rest
		}
	}
	switch user, rest, _ := strings.Cut(name, "/"); {
	case user == "~" || user == "~"+path.Base(c.p.o.Home):
		return []string{proc(path.Join(c.p.o.Home, rest), c.Dir), proc(path.Join(c.Dir, name), c.Dir)}
	case path.IsAbs(name):
		return []string{proc(path.Clean(name), c.Dir)}
	}
	return []string{proc(path.Join(c.Dir, name), c.Dir)}
}

// proc follows the links of /proc that lead to a directory of the process itself.
func proc(name, dir string) string {
	for range 8 {
		parts := strings.SplitN(name, "/", 5)
		if len(parts) < 4 || parts[1] != "proc" {
			return name
		}
		rest := ""
		if len(parts) == 5 {
			rest = parts[4]
		}
		switch parts[3] {
		case "root":
			name = path.Join("/", rest)
		case "cwd":
			name = path.Join(dir, rest)
		case "task":
			_, rest, _ = strings.Cut(rest, "/")
			name = path.Join("/proc/self", rest)
		default:
			return name
		}
	}
	return name
}

// A reach is one path that a call touches.
type reach struct {
	name    string
	reading bool
	writing bool
	sure    bool // it is a path, and not a word that may be one
	pattern bool // it may name several
}

// isDenied finds what keeps a path from being touched, as it is written and as it is.
func (c call) isDenied(r reach) (Answer, bool) {
	if strings.ContainsFunc(r.name, func(x rune) bool { return x < ' ' || x == 0x7f }) && r.sure {
		return Answer{Rule: "default: strange-path", Reason: "the path has a control character in it."}, true
	}
	if strings.HasPrefix(r.name, "~") && r.sure && !strings.HasPrefix(r.name, "~/") && r.name != "~" {
		return Answer{Rule: "default: strange-path", Reason: "the path names the home of another user: write it from the root."}, true
	}
	for _, name := range c.full(r.name) {
		names := []string{name}
		real, err := c.resolver.Resolve(name)
		switch {
		case err != nil && r.sure:
			return Answer{Rule: "default: strange-path", Reason: "the path could not be followed, so it was refused: " + err.Error()}, true
		case err == nil && real != name:
			names = append(names, real)
		}
		for _, n := range names {
			if a, denied := c.deniedAt(n, r); denied {
				return a, true
			}
		}
	}
	return Answer{}, false
}

func (c call) deniedAt(name string, r reach) (Answer, bool) {
	parts := components(name)
	for _, d := range c.p.deny {
		if d.where == nil || d.All() {
			continue
		}
		if (r.reading || r.writing) && !permission.Edits(d.Tool) && d.where.names(parts, r.pattern) || r.writing && permission.Edits(d.Tool) && d.where.names(parts, r.pattern) {
			return c.refused(d), true
		}
	}
	for _, l := range c.p.hidden {
		if key := l.holds(parts); key != "" {
			return Answer{Rule: key, Reason: "the profile hides this file (" + key + "): its content is not in the box. Go on without it, or ask the person."}, true
		}
	}
	for _, l := range c.p.held {
		if key := l.holds(parts); key != "" && r.writing {
			return Answer{Rule: key, Reason: "the profile keeps this file as it is (" + key + "). Tell the person what you would change in it."}, true
		}
	}
	return Answer{}, false
}

// pathKeys are names of fields that hold a path, in tools that are not known.
var pathKeys = []string{"path", "filepath", "filename", "notebookpath", "dir", "directory", "cwd", "folder", "uri", "source", "destination", "target", "from", "to"}

// reached are the paths in the input of a tool.
func (c call) reached() []reach {
	var list []reach
	known, own := inputs[c.Tool]
	for _, key := range sortedKeys(c.fields) {
		switch {
		case c.Tool == "Bash" || c.Tool == "WebFetch":
		case own && slices.Contains(known, key) && !(key == "pattern" && c.Tool == "Grep"):
			name := textOf(c.fields[key])
			if dir := textOf(c.fields["path"]); (key == "glob" || key == "pattern") && dir != "" && !path.IsAbs(name) {
				name = dir + "/" + name
			}
			isPattern := key == "glob" || key == "pattern"
			list = append(list, reach{name: name, reading: !permission.Edits(c.Tool), writing: permission.Edits(c.Tool), sure: !isPattern, pattern: isPattern})
		case !own:
			list = append(list, inside(key, c.fields[key], 0)...)
		}
	}
	return list
}

// inside finds what may be paths in a field of an unknown tool, which may do anything with them.
func inside(key string, raw json.RawMessage, depth int) (list []reach) {
	if len(raw) == 0 || depth > maxDepth {
		return nil
	}
	switch raw[0] {
	case '"':
		s := textOf(raw)
		if slices.Contains(pathKeys, plain(key)) || slices.ContainsFunc([]string{"/", "~", "./", "../", "file:"}, func(p string) bool { return strings.HasPrefix(s, p) }) {
			list = append(list, reach{name: s, reading: true, writing: true})
		}
	case '[':
		var items []json.RawMessage
		_ = json.Unmarshal(raw, &items) // it was read before
		for _, item := range items {
			list = append(list, inside(key, item, depth+1)...)
		}
	case '{':
		var fields map[string]json.RawMessage
		_ = json.Unmarshal(raw, &fields)
		for _, k := range sortedKeys(fields) {
			list = append(list, inside(k, fields[k], depth+1)...)
		}
	}
	return list
}

// paths refuses a call for a path in it.
func (c call) paths() (Answer, bool) {
	for _, r := range c.reached() {
		if a, denied := c.isDenied(r); denied {
			return a, true
		}
	}
	return Answer{}, false
}

// within reports that every path of a call is one that a rule names, as it is written and as it is.
func (c call) within(where pattern) bool {
	list := c.reached()
	if len(list) == 0 {
		list = []reach{{name: c.Dir}}
	}
	if reads(c.Tool) && len(c.fields["path"]) == 0 && (c.Tool == "Grep" || c.Tool == "LS") {
		list = append(list, reach{name: c.Dir})
	}
	return !slices.ContainsFunc(list, func(r reach) bool { return !c.lies(r.name, where) })
}

func (c call) lies(name string, where pattern) bool {
	for _, full := range c.full(name) {
		real, err := c.resolver.Resolve(full)
		if err != nil || !exactly(where.parts, components(full)) || !exactly(where.parts, components(real)) {
			return false
		}
		if !strings.HasPrefix(name, "~") {
			continue
		}
		return true // a directory that is called "~" is nobody's home
	}
	return true
}

// exactly matches an allow, which never means more than it says.
func exactly(rule, name []string) bool {
	switch {
	case len(rule) == 0:
		return true
	case rule[0] == "**":
		for i := range len(name) + 1 {
			if exactly(rule[1:], name[i:]) {
				return true
			}
		}
		return false
	case len(name) == 0:
		return false
	}
	ok, err := path.Match(rule[0], name[0])
	return ok && err == nil && exactly(rule[1:], name[1:])
}
