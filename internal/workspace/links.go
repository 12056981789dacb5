package workspace

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many links one resolution follows, as in the kernel.
const maxLinks = 40

// A view answers what lies at a path: a link's target, or that it is none.
type view func(name string) (target string, link bool)

// leaving says why a link leads out of the workspace, or nothing. It is asked in
// the tree that the agent saw and in the host's, because either may be in place
// when the link is used; what does not exist is followed by its name.
func (w *Workspace) leaving(name, target string) string {
	for _, v := range []view{w.merged, w.onHost} {
		if !w.inside(name, target, v) {
			return fmt.Sprintf("it is a link that leaves the workspace, to %s", quote(target))
		}
	}
	return ""
}

// inside resolves a target that stands in the directory of name.
func (w *Workspace) inside(name, target string, v view) bool {
	at := []string{}
	if up := path.Dir(name); up != "." {
		at = strings.Split(up, "/")
	}
	todo, links := []string{}, 0
	push := func(target string) bool {
		if strings.HasPrefix(target, "/") {
			rest, ok := strings.CutPrefix(target+"/", w.config.Lower+"/") // not cleaned: "x/.." is not nothing when x is a link
			if !ok {
				return false
			}
			at, target = at[:0], rest
		}
		todo = append(strings.Split(target, "/"), todo...)
		return true
	}
	if !push(target) {
		return false
	}
	for len(todo) > 0 {
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return false
			}
			at = at[:len(at)-1]
			continue
		}
		at = append(at, part)
		next, link := v(strings.Join(at, "/"))
		if !link {
			continue
		}
		at = at[:len(at)-1]
		if links++; links > maxLinks || !push(next) {
			return false
		}
	}
	return true
}

func (w *Workspace) onHost(name string) (string, bool) { return linkAt(w.lower, name) }

// merged looks in the upper directory first, and below it where nothing hides the
// host's. A path through an opaque directory may be answered by what that hides;
// this only adds links to follow.
func (w *Workspace) merged(name string) (string, bool) {
	up, base, err := w.upper.parent(name)
	if err != nil {
		return linkAt(w.lower, name)
	}
	defer up.close()
	st, found, err := up.stat(base)
	if err != nil || !found {
		return linkAt(w.lower, name)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", false
	}
	target, err := up.readlink(base)
	return target, err == nil
}

func linkAt(root dir, name string) (string, bool) {
	up, base, err := root.parent(name)
	if err != nil {
		return "", false
	}
	defer up.close()
	st, found, err := up.stat(base)
	if err != nil || !found || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", false
	}
	target, err := up.readlink(base)
	return target, err == nil
}
