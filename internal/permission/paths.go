package permission

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"agentbox/profile"
)

// A target is what the path of a Rule names, in the words of the profile.
type target struct {
	workspace string // a pattern of workspace.mask or workspace.protect, "" for none
	rootfs    string // a pattern of rootfs.mask, "" for none
}

// locate reads the path of a Rule: from "//" it is absolute, from "~/" of the home, and otherwise of the workspace,
// from "/" as much as without. problem says why it names nothing that can be held.
func (c *compiler) locate(spec string) (t target, problem, hint string) {
	const full = `write it from the workspace, from "~/" or, for a full path, from "//"`
	switch {
	case strings.HasPrefix(spec, "!"):
		return t, "makes an exception, and a Rule only says what it names", "put exceptions into workspace.mask of a trusted profile"
	case slices.Contains(strings.Split(spec, "/"), ".."):
		return t, "leads upwards", full
	case strings.HasPrefix(spec, "~") && spec != "~" && !strings.HasPrefix(spec, "~/"):
		return t, "names another user's home", full
	case strings.HasPrefix(spec, "~"), strings.HasPrefix(spec, "//"):
		return c.outside(strings.TrimPrefix(spec, "/"))
	}
	for strings.HasPrefix(spec, "./") {
		spec = strings.TrimLeft(spec[2:], "/")
	}
	if spec == "." || spec == "" {
		return t, "names the workspace itself", `write "**" for everything in it`
	}
	return target{workspace: anchored(spec)}, "", ""
}

// outside reads a path from "/" or from the home. What of it lies in the workspace is a pattern of the workspace,
// because only those hold what appears after the start.
func (c *compiler) outside(p string) (t target, problem, hint string) {
	if first, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/"); strings.HasPrefix(p, "/") && (first == "" || strings.ContainsAny(first, `*?[\`)) {
		return t, "would be looked for on the whole host", "begin with a directory"
	}
	full := p
	if strings.HasPrefix(p, "~") {
		full = c.o.Home + p[1:]
	}
	t.rootfs, _ = collapse(p)
	if c.o.Workspace == "" || !path.IsAbs(full) {
		return t, "", ""
	}
	in, only := inside(full, c.o.Workspace)
	if t.workspace = in; only {
		t.rootfs = ""
	}
	return t, "", ""
}

// inside gives the part of an absolute pattern that lies in a directory, as a pattern of that directory; only reports
// that no other part does.
func inside(pattern, dir string) (in string, only bool) {
	parts := strings.Split(strings.Trim(pattern, "/"), "/")
	only = true
	for _, d := range strings.Split(strings.Trim(dir, "/"), "/") {
		if len(parts) == 0 {
			return "/**", false // it names a directory above
		}
		if parts[0] == "**" {
			return "/" + strings.Join(parts, "/"), false
		}
		if parts[0] != d {
			if ok, err := path.Match(parts[0], d); err == nil && !ok {
				return "", false
			}
			only = false
		}
		parts = parts[1:]
	}
	if len(parts) == 0 {
		return "/**", only
	}
	return anchored("/" + strings.Join(parts, "/")), only
}

// collapse names a directory where a pattern names all that is in it: one mount then holds it, also what comes later.
func collapse(pattern string) (dir string, ok bool) {
	dir, ok = strings.CutSuffix(pattern, "/**")
	if last := dir[strings.LastIndexByte(dir, '/')+1:]; !ok || last == "" || last == "~" || strings.ContainsAny(last, `*?[\!`) {
		return pattern, false
	}
	return dir, true
}

// anchored collapses a pattern of the workspace, in which a name without a slash would mean any depth.
func anchored(pattern string) string {
	dir, ok := collapse(pattern)
	if !ok || strings.HasPrefix(dir, "/") {
		return dir
	}
	return "/" + dir
}

// hide makes masks of a denial of reading. A mask cannot be written either.
func (c *compiler) hide(r Rule) {
	t, ok := c.target(r)
	if !ok {
		return
	}
	if t.workspace != "" && c.valid("workspace.mask", t.workspace) {
		c.note("workspace.mask", t.workspace)
		c.effect(Mask, "workspace.mask "+t.workspace)
		c.late(t.workspace)
	}
	if t.rootfs != "" && c.valid("rootfs.mask", t.rootfs) {
		c.note("rootfs.mask", t.rootfs)
		c.effect(Mask, "rootfs.mask "+t.rootfs)
	}
}

// protect makes protected paths of a denial of editing. Outside the workspace there is nothing to write, save what the
// box has of its own and what the profile hands in.
func (c *compiler) protect(r Rule) {
	t, ok := c.target(r)
	if !ok {
		return
	}
	if t.workspace != "" && c.valid("workspace.protect", t.workspace) {
		c.note("workspace.protect", t.workspace)
		c.effect(Protect, "workspace.protect "+t.workspace)
		c.late(t.workspace)
	}
	if t.rootfs == "" || !c.valid("rootfs.mask", t.rootfs) {
		return
	}
	if place := c.writable(t.rootfs); place != "" {
		c.why(fmt.Sprintf("the agent can write %s, which is the box's own or a mount of the profile; the host's files are not there", place))
		return
	}
	c.effect(Protect, "the root of the box is read-only")
}

// target is locate for the rule at hand, whose problem is a finding.
func (c *compiler) target(r Rule) (target, bool) {
	t, problem, hint := c.locate(r.Spec)
	if problem != "" {
		c.refuse(fmt.Sprintf("%q %s", r, problem), hint)
	}
	return t, problem == ""
}

// writable names a place outside the workspace that a pattern may lie in and the agent can write.
func (c *compiler) writable(pattern string) string {
	places := []string{"~", "/tmp", "/var/tmp", "/run", "/dev"}
	if c.o.Home != "" {
		places = append(places, c.o.Home)
	}
	for _, m := range c.p.Mounts {
		if m.Type == "tmpfs" || slices.Contains(m.Options, "rw") {
			places = append(places, m.Target, m.Source)
		}
	}
	for _, p := range places {
		if p != "" && profile.Overlaps(p, pattern) {
			return p
		}
	}
	return ""
}

// late says what a writable workspace cannot promise: a mount covers what exists. See profile.Check, which says it of
// the profile's own lists.
func (c *compiler) late(pattern string) {
	one := strings.Contains(strings.TrimSuffix(pattern, "/"), "/") && !strings.ContainsAny(pattern, `*?[\`)
	if c.p.Workspace.Mode != "rw" || one {
		return
	}
	if slices.Contains(c.p.Agent.Degrade, profile.DegradeLateMasks) {
		c.why("files that are made after the start are not covered, which agent.degrade accepts")
		return
	}
	c.refuse(fmt.Sprintf(`a "rw" workspace cannot hold %q for files made after the start`, pattern),
		fmt.Sprintf("add %q to agent.degrade to accept that, or set workspace.mode to \"overlay\"", profile.DegradeLateMasks))
}

// valid asks profile.Check about an item of a list, and makes its findings the rule's.
func (c *compiler) valid(list, item string) bool {
	e := &profile.Effective{}
	switch list {
	case "workspace.mask":
		e.Profile.Workspace.Mask = []string{item}
	case "workspace.protect":
		e.Profile.Workspace.Protect = []string{item}
	case "rootfs.mask":
		e.Profile.Rootfs.Mask = []string{item}
	case "network.allow":
		e.Profile.Network.Allow = []string{item}
	case "network.deny":
		e.Profile.Network.Deny = []string{item}
	}
	for _, f := range profile.Check(e) {
		if f.Key != list+"[0]" {
			continue
		}
		f.Key = c.row.Key
		c.found = append(c.found, f)
		if !f.Warning {
			c.refused = true
			return false
		}
	}
	return true
}
