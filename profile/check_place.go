package profile

import (
	"fmt"
	"strings"
)

// CheckAt says what is wrong with a profile once it is known where it will run:
// workspace and home are absolute, clean paths. [Check] can compare paths only as
// they are written; this compares them as they are.
func CheckAt(e *Effective, workspace, home string) Findings {
	c := &checker{e: e, p: &e.Profile}
	p := placed{workspace: workspace, home: home}
	if within(home, workspace) {
		c.add("workspace.path", fmt.Sprintf("%q holds your whole home", workspace), "name the project's directory")
	}
	if within(p.expand(c.p.Audit.Dir), workspace) {
		c.add("audit.dir", fmt.Sprintf("%q lies in the workspace, where the agent could write", c.p.Audit.Dir), "name a directory outside")
	}
	c.archiveAt(p)
	for i, path := range c.p.Rootfs.Expose {
		if within(home, p.expand(path)) {
			c.add(index("rootfs.expose", i), fmt.Sprintf("%q holds your whole home", path), `name what the agent needs of it ("~/.nvm")`)
		}
	}
	for i, m := range c.p.Mounts {
		at := index("mount", i)
		if m.Type == "tmpfs" && m.Target != p.workspace && within(p.workspace, m.Target) {
			continue // it is empty, and what it lies above is mounted after it
		}
		if m.Type == "bind" {
			c.place(at+".source", p.source(p.expand(m.Source)))
			c.place(at+".source", p.masked(p.expand(m.Source), c.p.Rootfs.Mask))
		}
		c.place(at+".target", p.target(m.Target, c.p.Workspace.Mask))
		if m.Type != "tmpfs" || !within(p.home, m.Target) {
			c.place(at+".target", p.masked(m.Target, c.p.Rootfs.Mask))
		}
	}
	return c.inOrder()
}

func (c *checker) place(key string, w *complaint) {
	if w != nil {
		c.finding(key, *w)
	}
}

// placed knows the two directories that profiles write relatively.
type placed struct{ workspace, home string }

// expand writes a path from "~" in full.
func (p placed) expand(path string) string {
	if path == "~" {
		return p.home
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return cleanPath(p.home + "/" + rest)
	}
	return cleanPath(path)
}

// source checks a bind's source: masks hold in the workspace, not where else a
// part of it is shown.
func (p placed) source(path string) *complaint {
	if within(p.home, path) {
		return &complaint{msg: fmt.Sprintf("%q holds your whole home", path), hint: "name what the agent needs of it"}
	}
	if within(path, p.workspace) || within(p.workspace, path) {
		return &complaint{msg: fmt.Sprintf("%q shows the workspace a second time, where its masks do not hold", path), hint: "use it where it is"}
	}
	return nil
}

func (p placed) target(path string, masks []string) *complaint {
	rel, inside := strings.CutPrefix(path, p.workspace+"/")
	if !inside {
		if within(p.workspace, path) {
			return &complaint{msg: fmt.Sprintf("%q would lie over the workspace", path), hint: "choose another target"}
		}
		return nil
	}
	if m, ok := maskedName(rel, masks); ok {
		return &complaint{msg: fmt.Sprintf("%q would uncover what the mask %q hides", path, m), hint: "name a path that is apart from every mask"}
	}
	for _, m := range masks {
		anchored := strings.Contains(strings.TrimSuffix(m, "/"), "/")
		if anchored && !strings.HasPrefix(m, "!") && Overlaps(rel, m) {
			return &complaint{msg: fmt.Sprintf("%q would uncover what the mask %q hides", path, m), hint: "name a path that is apart from every mask"}
		}
	}
	return nil
}

func (p placed) masked(path string, masks []string) *complaint {
	for _, m := range masks {
		if msg, _ := patternProblem(m); msg != "" || strings.HasPrefix(m, "!") {
			continue
		}
		if Overlaps(path, p.expand(m)) {
			return &complaint{msg: fmt.Sprintf("%q would uncover what the mask %q hides", path, m), hint: "name a path that is apart from every mask"}
		}
	}
	return nil
}
