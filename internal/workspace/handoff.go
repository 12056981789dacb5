package workspace

import (
	"bytes"
	"encoding/json"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Classify says which programs outside the box would act on a path, by its name
// alone: what depends on the content counts.
func Classify(name string, t Type) []Handoff {
	return classify(name, t, func(rule) bool { return true })
}

// handoffs classifies a change. Removing a hand-off file is one too: what runs
// changes.
func (w *Workspace) handoffs(name string, c *Change) []Handoff {
	return classify(name, c.what(), func(r rule) bool {
		before, after, ok := w.smallTexts(c)
		return !ok || r.only(before, after)
	})
}

func classify(name string, t Type, consult func(rule) bool) []Handoff {
	parts := strings.Split(strings.ToLower(name), "/")
	out := gitHandoffs(parts, t == Dir)
	for _, n := range handoffIndex().find(parts, t) {
		// What was installed brings its own files of these names; no tool acts on them there.
		installed := slices.Contains(parts[:len(parts)-1], "node_modules") && !strings.HasPrefix(rules[n].patterns[0], "node_modules")
		if r := rules[n]; !installed && (r.only == nil || consult(r)) {
			out = append(out, Handoff{r.class, r.when})
		}
	}
	return out
}

// A pattern is one of a rule's, taken apart.
type pattern struct {
	rule       int
	parts      []string
	head, tail string // what a glob's last component begins and ends with
}

// An index finds patterns by the last component that they name.
type index struct {
	files map[string][]pattern
	globs []pattern
	below map[string][]pattern
	above map[string][]pattern // a directory on the way, which a link may stand for
}

var handoffIndex = sync.OnceValue(func() *index {
	x := index{files: map[string][]pattern{}, below: map[string][]pattern{}, above: map[string][]pattern{}}
	for n, r := range rules {
		for _, text := range r.patterns {
			below := strings.HasSuffix(text, "/")
			p := pattern{rule: n, parts: strings.Split(strings.TrimSuffix(text, "/"), "/")}
			last := p.parts[len(p.parts)-1]
			for i := range len(p.parts) - 1 {
				x.above[p.parts[i]] = append(x.above[p.parts[i]], pattern{rule: n, parts: p.parts[:i+1]})
			}
			switch {
			case below:
				x.below[last] = append(x.below[last], p)
			case strings.ContainsAny(last, "*?["):
				p.head, p.tail = last[:strings.IndexAny(last, "*?[")], last[strings.LastIndexAny(last, "*?]")+1:]
				x.globs = append(x.globs, p)
			default:
				x.files[last] = append(x.files[last], p)
			}
		}
	}
	return &x
})

// find gives the rules that name a path. A directory by itself runs nowhere, but a
// link or a file in the place of one that a rule names does.
func (x *index) find(parts []string, t Type) []int {
	var out []int
	try := func(list []pattern, parts []string) {
		for _, p := range list {
			base := parts[len(parts)-1]
			if len(parts) >= len(p.parts) && strings.HasPrefix(base, p.head) && strings.HasSuffix(base, p.tail) && sameParts(p.parts, parts[len(parts)-len(p.parts):]) && !slices.Contains(out, p.rule) {
				out = append(out, p.rule)
			}
		}
	}
	for i := range parts {
		if i < len(parts)-1 || t != Dir {
			try(x.below[parts[i]], parts[:i+1])
		}
	}
	if t == Symlink {
		try(x.above[parts[len(parts)-1]], parts)
	}
	if t != Dir {
		try(x.files[parts[len(parts)-1]], parts)
		try(x.globs, parts)
	}
	slices.Sort(out)
	return out
}

func sameParts(want, parts []string) bool {
	for i := range want {
		if want[i] == parts[i] {
			continue
		}
		if ok, err := path.Match(want[i], parts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

var (
	gitHook   = Handoff{"git hooks", "runs when you next run git here: commit, checkout, merge or push"}
	gitConfig = Handoff{"git", "git reads it at every command here, and may run the programs that it names"}
	gitTodo   = Handoff{"git", "git carries its steps out when you continue the rebase"}
)

// gitHandoffs knows the inside of git directories, those of submodules and
// worktrees below them too. Objects, references and the index run nothing.
func gitHandoffs(parts []string, isDir bool) []Handoff {
	at := slices.Index(parts, ".git")
	if at < 0 {
		return nil
	}
	inside := parts[at+1:]
	if len(inside) == 0 {
		if isDir {
			return nil
		}
		return []Handoff{gitConfig} // a file or link that says where the git directory is
	}
	base := inside[len(inside)-1]
	switch {
	case slices.Contains([]string{"objects", "refs", "logs", "lfs"}, inside[0]):
		return nil
	case slices.Contains(inside[:len(inside)-1], "hooks") || base == "hooks" && !isDir:
		return []Handoff{gitHook}
	case isDir:
		return nil
	case slices.Contains([]string{"config", "config.worktree", "commondir", "gitdir"}, base):
		return []Handoff{gitConfig}
	case base == "attributes" && len(inside) > 1 && inside[len(inside)-2] == "info" || base == "info" || base == "modules" || base == "worktrees":
		return []Handoff{gitConfig}
	case slices.Contains(inside, "rebase-merge") || slices.Contains(inside, "rebase-apply"):
		return []Handoff{gitTodo}
	}
	return nil
}

// bareRepositories marks the configuration and the hooks of any directory that git
// would take for a repository, whatever its name: "cp -r .git x" makes one.
func (w *Workspace) bareRepositories(changes []Change) {
	for i := range changes {
		c := &changes[i]
		up, base := path.Dir(c.Path), strings.ToLower(path.Base(c.Path))
		mark := gitConfig
		if strings.ToLower(path.Base(up)) == "hooks" {
			up, mark = path.Dir(up), gitHook
		} else if c.what() == Dir || !slices.Contains([]string{"config", "config.worktree", "commondir", "hooks"}, base) {
			continue
		}
		if w.exists(path.Join(up, "HEAD")) && w.exists(path.Join(up, "objects")) && !slices.Contains(c.Handoffs, mark) {
			c.Handoffs = append(c.Handoffs, mark)
		}
	}
}

// exists asks both layers; what is hidden counts, because apply may leave it.
func (w *Workspace) exists(name string) bool {
	for _, root := range []dir{w.upper, w.lower} {
		up, base, err := root.parent(name)
		if err != nil {
			continue
		}
		_, found, err := up.stat(base)
		up.close()
		if found && err == nil {
			return true
		}
	}
	return false
}

// smallTexts reads both sides of a changed file that is small enough to be
// understood. What cannot be read cannot be cleared.
func (w *Workspace) smallTexts(c *Change) (before, after []byte, ok bool) {
	const most = 1 << 20
	if c.After.Type != File || c.Refused != "" || c.After.Size > most || c.Before.Size > most || c.Before.Type != None && c.Before.Type != File {
		return nil, nil, false
	}
	after, err := content(w.upper, c.Path, c.After)
	if err == nil && c.Before.Type == File {
		before, err = content(w.lower, cmpOr(c.From, c.Path), c.Before)
	}
	return before, after, err == nil
}

// scriptKeys are the parts of a package.json or composer.json that something runs.
var scriptKeys = []string{"scripts", "bin", "gypfile", "config", "husky", "lint-staged", "pre-commit", "simple-git-hooks", "gitHooks", "workspaces", "packageManager", "pnpm", "overrides", "resolutions", "repositories", "eslintConfig", "prettier", "babel", "jest", "mocha", "ava", "nyc"}

func packageScriptsChanged(before, after []byte) bool {
	old, new := map[string]any{}, map[string]any{}
	if len(before) > 0 && json.Unmarshal(before, &old) != nil || json.Unmarshal(after, &new) != nil {
		return true
	}
	return slices.ContainsFunc(scriptKeys, func(key string) bool { return !reflect.DeepEqual(old[key], new[key]) })
}

// linesChanged watches the lines that begin with one of the words.
func linesChanged(words ...string) func(before, after []byte) bool {
	watched := func(text []byte) []string {
		var out []string
		for line := range bytes.Lines(text) {
			line := strings.TrimLeft(strings.TrimSpace(string(line)), `"'`)
			if slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(line, w) }) {
				out = append(out, line)
			}
		}
		return out
	}
	return func(before, after []byte) bool { return !slices.Equal(watched(before), watched(after)) }
}

// attributesChanged watches the attributes that make git run a program.
func attributesChanged(before, after []byte) bool {
	watched := func(text []byte) []string {
		var out []string
		for line := range bytes.Lines(text) {
			if bytes.Contains(line, []byte("filter=")) || bytes.Contains(line, []byte("diff=")) || bytes.Contains(line, []byte("merge=")) || bytes.Contains(line, []byte("[attr]")) {
				out = append(out, string(line))
			}
		}
		return out
	}
	return !slices.Equal(watched(before), watched(after))
}
