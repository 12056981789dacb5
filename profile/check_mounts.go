package profile

import (
	"fmt"
	"slices"
	"strings"
)

func (c *checker) mounts() {
	for i, m := range c.p.Mounts {
		at := index("mount", i)
		c.mountTarget(at+".target", m.Target)
		switch m.Type {
		case "bind":
			c.bind(at, m)
		case "tmpfs":
			c.tmpfs(at, m)
		}
		for _, pair := range [][2]string{{"ro", "rw"}, {"exec", "noexec"}} {
			if slices.Contains(m.Options, pair[0]) && slices.Contains(m.Options, pair[1]) {
				c.add(at+".options", fmt.Sprintf("%q and %q contradict each other", pair[0], pair[1]), "keep one of the two")
			}
		}
	}
}

func (c *checker) bind(at string, m Mount) {
	if m.Size != 0 {
		c.add(at+".size", "only a tmpfs has a size", "remove it")
	}
	switch {
	case m.Source == "":
		c.add(at+".source", "is missing", `a bind needs the path on the host`)
		return
	case !fullPath(m.Source):
		c.add(at+".source", fmt.Sprintf("%q is not a full path", m.Source), `write it from "/" or from "~/"`)
		return
	}
	if w := pathProblem(m.Source); w != nil {
		c.finding(at+".source", *w)
		return
	}
	c.uncovers(at+".source", m.Source)
	if mask, ok := maskedName(m.Source, c.p.Workspace.Mask); ok {
		c.warn(at+".source", fmt.Sprintf("%q is named like what the mask %q hides", m.Source, mask), "the agent will read it")
	}
}

func (c *checker) tmpfs(at string, m Mount) {
	if m.Source != "" {
		c.add(at+".source", "a tmpfs has no source", "remove it")
	}
	if m.Size <= 0 {
		c.add(at+".size", "is missing", `a tmpfs needs a size ("100MiB")`)
	}
}

func (c *checker) mountTarget(at, p string) {
	switch {
	case !strings.HasPrefix(p, "/"):
		c.add(at, fmt.Sprintf("%q is not an absolute path", p), "write the path as the agent sees it, from /")
		return
	case strings.Contains(p+"/", "/../"):
		c.add(at, fmt.Sprintf("%q has a \"..\" in it", p), fmt.Sprintf("write %q", cleanPath(p)))
		return
	case p == "/":
		c.add(at, `"/" is the root of the box`, "rootfs.source says what that is")
		return
	case cleanPath(p) != p:
		c.add(at, fmt.Sprintf("%q is not written plainly", p), fmt.Sprintf("write %q", cleanPath(p)))
		return
	}
	if coversHome(p) {
		c.add(at, fmt.Sprintf("%q would lie over a home, which the box makes itself", p), "name a directory in it")
		return
	}
	if d, ok := withinAny(p, kernelDirs...); ok && !within(p, "/dev/shm") {
		c.add(at, fmt.Sprintf("%q is in %s, which the box makes itself", p, d), "choose another target")
		return
	}
	c.uncovers(at, p)
}

// uncovers finds the mask that a mount would undo: the masked file would be seen
// at another path, or the mount would lie over the mask.
func (c *checker) uncovers(at, p string) {
	for _, m := range c.p.Rootfs.Mask {
		if msg, _ := patternProblem(m); msg != "" || strings.HasPrefix(m, "!") {
			continue
		}
		if Overlaps(p, m) || Overlaps(tilde(p), m) {
			c.add(at, fmt.Sprintf("%q would uncover what the mask %q hides", p, m), "name a path that is apart from every mask")
			return
		}
	}
}
