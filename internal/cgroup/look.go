package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"agentbox/limits"
)

// Files of version 2.
const (
	procsFile       = "cgroup.procs"
	subtreeFile     = "cgroup.subtree_control"
	controllersFile = "cgroup.controllers"
)

// wanted are the controllers that limits know; counting are further ones of version 1.
var (
	wanted   = []string{"memory", "cpu", "pids"}
	counting = []string{"cpuacct", "freezer"}
)

// A caller is who looks, and where from.
type caller struct {
	self     string // its directory in /proc
	pid      int
	writable func(path string) error
	systemd  func() bool // it can be asked for a scope
	manager  string      // of the units that systemd would make for the caller, below the hierarchy's root
}

// Look finds where this caller may make control groups. It changes nothing.
func Look() limits.Groups {
	c := caller{self: "/proc/self", pid: os.Getpid(), systemd: hasSystemd, manager: managerGroup(os.Geteuid()),
		writable: func(path string) error { return unix.Access(path, unix.W_OK) }}
	return c.look()
}

func (c caller) look() limits.Groups {
	mounts, own, err := c.read()
	if err != nil {
		return limits.Groups{Why: err.Error()}
	}
	v1 := c.lookV1(mounts, own)
	if slices.ContainsFunc(wanted, v1.Has) {
		return v1
	}
	if v2 := c.lookV2(mounts, own); v1.Version == 0 || len(v2.Parents) > 0 {
		return v2
	}
	return v1
}

func (c caller) read() (mounts []hierarchy, own map[string]string, err error) {
	data, err := os.ReadFile(filepath.Join(c.self, "mountinfo"))
	if err != nil {
		return nil, nil, err
	}
	groups, err := os.ReadFile(filepath.Join(c.self, "cgroup"))
	if err != nil {
		return nil, nil, err
	}
	return parseMounts(string(data)), parseOwn(string(groups)), nil
}

// lookV1 takes the caller's own group in each hierarchy, so that what limits the caller limits the box as well.
func (c caller) lookV1(mounts []hierarchy, own map[string]string) limits.Groups {
	g := limits.Groups{Parents: map[string]string{}}
	for _, m := range mounts {
		for _, name := range m.controllers {
			if !slices.Contains(wanted, name) && !slices.Contains(counting, name) {
				continue
			}
			if slices.Contains(wanted, name) {
				g.Version = 1
			}
			dir, ok := m.dir(own[name])
			if !ok {
				continue
			}
			if err := c.writable(dir); err != nil {
				g.Why = fmt.Sprintf("no group can be made in %s (%v)", dir, err)
				continue
			}
			g.Parents[name] = dir
		}
	}
	return g
}

// lookV2 looks, in this order, for a group above the caller that may hand controllers down to another; for a systemd
// that makes one; and at the caller's own group, if the caller can step aside in it.
func (c caller) lookV2(mounts []hierarchy, own map[string]string) limits.Groups {
	i := slices.IndexFunc(mounts, func(m hierarchy) bool { return m.version == 2 })
	if i < 0 {
		return limits.Groups{Why: "no control groups are mounted"}
	}
	m := mounts[i]
	dir, ok := m.dir(own[""])
	if !ok {
		return limits.Groups{Why: "its control group is not visible below " + m.point}
	}
	above := c.above(m, dir)
	if len(above.Parents) == len(wanted) {
		return above
	}
	best := above
	for _, other := range []limits.Groups{c.lookScope(m), c.lookAside(dir)} {
		if len(other.Parents) > len(best.Parents) {
			best = other
		}
	}
	if len(best.Parents) == 0 && best.Why == "" {
		best.Why = "no control group above it is delegated to this user"
		if c.delegated(dir) {
			best.Why = "its own control group has other processes in it"
		}
	}
	return best
}

// above takes the nearest group above the caller that has the controllers for its children, or may hand them down. It
// does not enter systemd's slices: systemd takes controllers away there that none of its own units needs.
func (c caller) above(m hierarchy, dir string) limits.Groups {
	g := limits.Groups{Version: 2, Parents: map[string]string{}}
	for !strings.HasSuffix(dir, ".slice") {
		if usable := c.usable(dir); len(usable) > len(g.Parents) {
			g.Parents = parents(dir, usable)
		}
		if len(g.Parents) == len(wanted) || dir == m.point {
			break
		}
		dir = filepath.Dir(dir)
	}
	return g
}

// usable are the controllers that a child of the group would have. A group with processes of its own may not hand
// more down, unless it is the root.
func (c caller) usable(dir string) []string {
	if c.writable(dir) != nil || c.writable(filepath.Join(dir, procsFile)) != nil {
		return nil
	}
	_, err := os.Stat(filepath.Join(dir, "cgroup.type"))
	isRoot := err != nil
	if isRoot && c.systemd() {
		return nil // it is systemd's, too
	}
	given := subtreeFile
	if c.delegated(dir) && (isRoot || read(dir, procsFile) == "") {
		given = controllersFile
	}
	return known(read(dir, given))
}

// lookAside reports whether the caller can make room: a group of which it is the only process, and which is delegated.
func (c caller) lookAside(dir string) limits.Groups {
	g := limits.Groups{Version: 2, Aside: true}
	if c.delegated(dir) && read(dir, procsFile) == strconv.Itoa(c.pid) && read(dir, subtreeFile) == "" {
		g.Parents = parents(dir, known(read(dir, controllersFile)))
	}
	return g
}

// delegated reports whether the caller may do in a group of version 2 what its owner may; see cgroups(7).
func (c caller) delegated(dir string) bool {
	for _, file := range []string{"", procsFile, subtreeFile} {
		if c.writable(filepath.Join(dir, file)) != nil {
			return false
		}
	}
	return true
}

func known(controllers string) []string {
	given := strings.Fields(controllers)
	return slices.DeleteFunc(slices.Clone(wanted), func(c string) bool { return !slices.Contains(given, c) })
}

func parents(dir string, controllers []string) map[string]string {
	p := map[string]string{}
	for _, c := range controllers {
		p[c] = dir
	}
	return p
}
