// Package scaffold looks at a project and writes a commented agentbox.toml for it.
//
// [Look] reads names, and a few small files of known form, of the top levels of a directory. The project is not
// trusted: nothing in it is executed, no symbolic link is followed, nothing that is not a regular file is opened, and
// both the number of names and the size of a file are bounded. [Write] is pure. Whatever a name holds, the profile is
// valid TOML in which profile.Check finds nothing; what comes from the project stands in comments, escaped, save paths
// that print plainly, which become patterns of a mask or a protection: these only ever tighten.
//
// What it does not: it knows no registry by name (network.allow has "@npm" and its kin), repeats no address of a git
// remote but the host, and does not judge whether a file that is named like a secret holds one.
package scaffold

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"agentbox/internal/workspace"
	"agentbox/mounts"
	"agentbox/profile"
)

// A Project is what was found. Every string that names a path or a remote is the project's own, and untrusted.
type Project struct {
	Languages  []string  // "Go", in the order of a table
	Registries []string  // "@go", as network.allow has them
	Tools      []string  // "pnpm", "make"
	LockFiles  []string  // paths, relative to the project
	CI         []string  // paths of what a CI system obeys
	Remotes    []Remote  // hosts of git remotes
	Secrets    []string  // paths that are named like a secret and that no preset masks
	Handoffs   []Handoff // files that something outside the box obeys, and that no preset protects
	Cut        bool      // there is more in the project than was looked at
}

// A Remote is a git remote: its name, and the host as network.allow has it.
type Remote struct{ Name, Host string }

// A Handoff is a path and the kind of program that obeys it.
type Handoff struct{ Path, Class string }

// An entry is one name of the project.
type entry struct {
	path string
	kind workspace.Type
}

// Look reads a project. An error means that the directory itself cannot be listed; what cannot be read below it counts
// as not being there.
func Look(root *os.Root) (Project, error) {
	entries, cut, err := walk(root)
	if err != nil {
		return Project{}, fmt.Errorf("the project: %w", err)
	}
	p := Project{Cut: cut}
	covered, err := presetLists()
	if err != nil {
		return Project{}, err
	}
	files := reader{root: root, left: maxReads}
	for _, e := range entries {
		p.note(e, &files)
		switch {
		case e.kind == workspace.File && covered.masked(e.path):
		case e.kind == workspace.File && secretName(e.path):
			p.Secrets = append(p.Secrets, e.path)
		default:
			p.handoff(e, covered)
		}
	}
	p.Remotes = remotes(files.read(".git/config"))
	p.settle()
	return p, nil
}

// note recognises languages, tools, lock files and CI.
func (p *Project) note(e entry, files *reader) {
	base := path.Base(e.path)
	for _, l := range languages {
		if e.kind == workspace.File && matchesAny(l.files, base) {
			p.Languages = append(p.Languages, l.name)
			if l.registry != "" {
				p.Registries = append(p.Registries, l.registry)
			}
		}
	}
	if tool, ok := lockFiles[base]; ok && e.kind == workspace.File {
		p.LockFiles, p.Tools = append(p.LockFiles, e.path), append(p.Tools, tool)
	}
	for _, t := range toolFiles {
		if e.kind == workspace.File && matchesAny(t.files, base) {
			p.Tools = append(p.Tools, t.name)
		}
	}
	if _, ok := ciSystems[e.path]; ok {
		p.CI = append(p.CI, e.path)
	}
	if e.kind == workspace.File && readable[base] != nil {
		p.Tools = append(p.Tools, readable[base](files.read(e.path))...)
	}
}

// handoff notes what something outside the box obeys, as the directory of its kind where there is one.
func (p *Project) handoff(e entry, covered presets) {
	found := workspace.Classify(e.path, e.kind)
	if len(found) == 0 || covered.protected(e.path) {
		return
	}
	for at := range ciSystems {
		if e.path == at || strings.HasPrefix(e.path, at+"/") {
			return
		}
	}
	p.Handoffs = append(p.Handoffs, Handoff{ofKind(e.path), found[0].Class})
}

// ofKind cuts a path behind its first hidden directory, because all of it is the same program's. What a code host keeps
// in one is for several.
func ofKind(p string) string {
	parts := strings.Split(p, "/")
	for i, part := range parts[:len(parts)-1] {
		if strings.HasPrefix(part, ".") && !slices.Contains([]string{".github", ".gitlab", ".config"}, part) {
			return path.Join(parts[:i+1]...)
		}
	}
	return p
}

// settle sorts and removes what was found twice.
func (p *Project) settle() {
	order := func(name string) int {
		return slices.IndexFunc(languages, func(l language) bool { return l.name == name })
	}
	slices.SortFunc(p.Languages, func(a, b string) int { return order(a) - order(b) })
	p.Languages = slices.Compact(p.Languages)
	all := slices.Clone(p.Tools)
	p.Tools = slices.DeleteFunc(p.Tools, func(t string) bool { // what is known more closely
		return slices.ContainsFunc(all, func(more string) bool { return strings.HasPrefix(more, t+" ") })
	})
	for _, list := range []*[]string{&p.Registries, &p.Tools, &p.LockFiles, &p.CI, &p.Secrets} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	slices.SortFunc(p.Handoffs, func(a, b Handoff) int { return strings.Compare(a.Path, b.Path) })
	p.Handoffs = slices.CompactFunc(p.Handoffs, func(a, b Handoff) bool { return a.Path == b.Path })
}

// presets are what every preset masks and protects in a workspace.
type presets struct{ mask, protect mounts.Patterns }

func presetLists() (presets, error) {
	layer, ok := profile.Preset("default")
	e, found := profile.Merge([]profile.Layer{layer}, nil)
	if !ok || len(found) > 0 {
		return presets{}, fmt.Errorf("the preset default: %w", error(found))
	}
	w := e.Profile.Workspace
	return presets{mounts.ParsePatterns("workspace.mask", w.Mask), mounts.ParsePatterns("workspace.protect", w.Protect)}, nil
}

func (c presets) masked(p string) bool    { return covers(c.mask, p) }
func (c presets) protected(p string) bool { return covers(c.protect, p) }

// covers reports whether a list names a path or a directory above it.
func covers(list mounts.Patterns, p string) bool {
	for i, c := range p + "/" {
		if c != '/' {
			continue
		}
		if _, ok := list.Match(p[:i], i < len(p)); ok {
			return true
		}
	}
	return false
}

// kindOf is what the rest of agentbox calls the type of a name; "" is for what no program edits.
func kindOf(t fs.FileMode) workspace.Type {
	switch t.Type() {
	case 0:
		return workspace.File
	case fs.ModeDir:
		return workspace.Dir
	case fs.ModeSymlink:
		return workspace.Symlink
	}
	return ""
}
