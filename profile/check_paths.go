package profile

import (
	"fmt"
	"slices"
	"strings"
)

// kernelDirs are views of the kernel, which no profile covers or hands in.
var kernelDirs = []string{"/proc", "/sys", "/dev"}

// socketDirs hold sockets of the host; connecting needs no write permission, so a
// read-only view of them is a way out.
var socketDirs = []string{"/run", "/var/run", "/tmp/.X11-unix", "/tmp/.ICE-unix"}

// pathProblem checks a path of the host that is to be seen in the box.
func pathProblem(p string) *complaint {
	clean := cleanPath(p)
	switch {
	case !fullPath(p):
		return &complaint{msg: fmt.Sprintf("%q is not a full path", p), hint: `write it from "/" or from "~/"`}
	case clean != strings.TrimSuffix(p, "/") && p != "/":
		return &complaint{msg: fmt.Sprintf("%q is not written plainly", p), hint: fmt.Sprintf("write %q", clean)}
	case strings.HasSuffix(p, "/") && p != "/":
		return &complaint{msg: fmt.Sprintf("%q ends in a slash", p), hint: fmt.Sprintf("write %q", clean)}
	case p == "/":
		return &complaint{msg: `"/" is the whole host`, hint: "name what the agent needs of it"}
	case coversHome(clean):
		return &complaint{msg: fmt.Sprintf("%q holds a whole home", p), hint: `name what the agent needs of it ("~/.nvm")`}
	case clean == "/tmp":
		return &complaint{msg: `"/tmp" holds the sockets and files of every program`, hint: "name the directory in it"}
	}
	if d, ok := withinAny(clean, kernelDirs...); ok {
		return &complaint{msg: fmt.Sprintf("%q is in %s, of which the box has its own", p, d), hint: "remove it"}
	}
	if d, ok := withinAny(clean, socketDirs...); ok {
		return &complaint{msg: fmt.Sprintf("%q is in %s, where the host's sockets are", p, d), hint: "remove it"}
	}
	return nil
}

func (c *checker) rootfs() {
	c.rootfsSource(c.p.Rootfs.Source)
	c.each("rootfs.expose", c.p.Rootfs.Expose, func(p string) *complaint {
		if strings.HasPrefix(p, "!") {
			return &complaint{msg: fmt.Sprintf("%q is an exception", p), hint: "put what should stay hidden into rootfs.mask"}
		}
		if msg, hint := patternProblem(p); msg != "" && msg != "matches nothing" {
			return &complaint{msg: fmt.Sprintf("%q %s", p, msg), hint: hint}
		}
		return pathProblem(p)
	})
	c.each("rootfs.mask", c.p.Rootfs.Mask, func(p string) *complaint {
		if msg, hint := patternProblem(p); msg != "" {
			return &complaint{msg: fmt.Sprintf("%q %s", p, msg), hint: hint}
		}
		if !fullPath(strings.TrimPrefix(p, "!")) {
			return &complaint{msg: fmt.Sprintf("%q is not a full path", p), hint: `write it from "/" or from "~/"; files of the project go into workspace.mask`}
		}
		return nil
	})
}

func (c *checker) rootfsSource(s string) {
	if s == "host" || strings.HasPrefix(s, "oci:") || strings.HasPrefix(s, "docker-archive:") {
		return
	}
	if !fullPath(s) {
		c.add("rootfs.source", fmt.Sprintf("%q is neither \"host\" nor a directory", s), `write "host", or a directory from "/" or from "~/"`)
		return
	}
	if s == "/" {
		c.add("rootfs.source", `"/" is the host itself, with everything in it`, `write "host", which shows the system directories only`)
		return
	}
	if w := pathProblem(s); w != nil {
		c.finding("rootfs.source", *w)
	}
}

func (c *checker) workspace() {
	c.workspacePath(c.p.Workspace.Path)
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"workspace.mask", c.p.Workspace.Mask}, {"workspace.protect", c.p.Workspace.Protect}} {
		c.each(list.key, list.patterns, func(p string) *complaint {
			if msg, hint := patternProblem(p); msg != "" {
				return &complaint{msg: fmt.Sprintf("%q %s", p, msg), hint: hint}
			}
			if strings.HasPrefix(strings.TrimPrefix(p, "!"), "~/") {
				return &complaint{msg: fmt.Sprintf("%q is not in the workspace", p), hint: "paths outside it go into rootfs.mask"}
			}
			if strings.Trim(p, "*/") == "" && list.key == "workspace.mask" {
				return &complaint{warning: true, msg: fmt.Sprintf("%q masks the whole workspace", p), hint: "the agent will see an empty project"}
			}
			return nil
		})
	}
	c.autoApply()
}

// autoApply refuses the wish to apply where nothing is kept apart, unless a later
// layer took the overlay away: that one leaves nothing to apply.
func (c *checker) autoApply() {
	w, apply, mode := c.p.Workspace, c.e.Origins["workspace.apply"], c.e.Origins["workspace.mode"]
	if w.Apply == "none" || w.Mode == "overlay" || slices.Index(c.e.Layers, apply.Layer) < slices.Index(c.e.Layers, mode.Layer) {
		return
	}
	c.add("workspace.apply", fmt.Sprintf("in mode %q there is nothing to apply", w.Mode), `only workspace.mode = "overlay" keeps the agent's writes apart`)
}

func (c *checker) workspacePath(p string) {
	clean := cleanPath(p)
	switch {
	case p == "":
		c.add("workspace.path", "is empty", `write "." for the directory agentbox is started in`)
	case clean == ".." || strings.HasPrefix(clean, "../") || fullPath(p) && strings.Contains(p+"/", "/../"):
		c.add("workspace.path", fmt.Sprintf("%q leads upwards", p), "write the full path")
	case coversHome(clean):
		c.add("workspace.path", fmt.Sprintf("%q holds a whole home", p), "name the project's directory")
	case strings.HasPrefix(p, "~") && !fullPath(p):
		c.add("workspace.path", fmt.Sprintf("%q names another user's home", p), "write the full path")
	default:
		system := append([]string{"/run", "/var/run", "/boot", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64"}, kernelDirs...)
		if d, ok := withinAny(clean, system...); ok {
			c.add("workspace.path", fmt.Sprintf("%q is in %s, which belongs to the system", p, d), "name the project's directory")
		} else if clean == "/tmp" || clean == "/var" || clean == "/var/tmp" || clean == "/opt" || clean == "/srv" || clean == "/mnt" {
			c.add("workspace.path", fmt.Sprintf("%q is shared by everything on this machine", p), "name the project's directory")
		}
	}
}

// latePatterns insists that somebody said yes to what a writable workspace
// cannot promise: a mount can cover what exists, not what appears later.
func (c *checker) latePatterns() {
	if c.p.Workspace.Mode != "rw" {
		return
	}
	key, mode, degrade := "workspace.mode", c.e.Origins["workspace.mode"], c.e.Origins["agent.degrade"]
	if slices.Index(c.e.Layers, degrade.Layer) > slices.Index(c.e.Layers, mode.Layer) {
		key = "agent.degrade" // the layer that said no came last
	}
	if slices.Contains(c.p.Agent.Degrade, DegradeLateMasks) {
		return
	}
	count, first := 0, ""
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"workspace.mask", c.p.Workspace.Mask}, {"workspace.protect", c.p.Workspace.Protect}} {
		for i, p := range list.patterns {
			if strings.HasPrefix(p, "!") || namesOne(p) {
				continue
			}
			if count++; count == 1 {
				first = fmt.Sprintf("%s %q", index(list.key, i), p)
			}
		}
	}
	if count > 0 {
		c.add(key, fmt.Sprintf(`a "rw" workspace cannot hold %d patterns for files made after the start; the first is %s`, count, first),
			fmt.Sprintf("add %q to agent.degrade to accept that, or set workspace.mode to \"overlay\"", DegradeLateMasks))
	}
}
