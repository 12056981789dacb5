package doctor

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
)

// outerContainer finds signs of a container or chroot around us. A sign is no verdict: whether boxes can be made in
// it is what the checks after this one try.
func outerContainer(h host) Check {
	kind, sign := h.container()
	if kind == "" {
		return ok("outer container", "none seen")
	}
	c := Check{Name: "outer container", State: Note, What: kind + " (" + sign + ")",
		Cost: "an outer container may forbid what a box needs; the checks below say whether this one does"}
	switch kind {
	case "docker":
		c.Remedy = "if namespaces are refused: docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
	case "podman":
		c.Remedy = "if namespaces are refused: podman run --security-opt seccomp=unconfined --security-opt unmask=ALL --user root"
	case "lxc", "lxc-libvirt":
		c.Remedy = "if namespaces are refused: lxc config set NAME security.nesting=true"
	case "chroot":
		c.State, c.Cost = Missing, "the kernel refuses user namespaces inside a chroot (clone(2), EPERM)"
		c.Remedy = "start outside the chroot, or in a container that uses pivot_root(2)"
		if h.try("user") == nil {
			c.State, c.Cost, c.Remedy = Note, "user namespaces work all the same", ""
		}
	case "user namespace":
		c.Remedy = "if namespaces are refused: start on the host itself"
	default:
		c.Remedy = "if namespaces are refused: let it allow nested user namespaces and an uncovered /proc"
	}
	return c
}

// container gives the kind of the container around us and the sign by which it was seen.
func (h host) container() (kind, sign string) {
	if kind := h.env("container"); kind != "" {
		return kind, "the variable container"
	}
	if kind, found := h.read("/run/systemd/container"); found && kind != "" {
		return kind, "/run/systemd/container"
	}
	if h.exists("/.dockerenv") {
		return "docker", "/.dockerenv"
	}
	if h.exists("/run/.containerenv") {
		return "podman", "/run/.containerenv"
	}
	if env, found := h.read("/proc/1/environ"); found { // readable by root alone
		for _, kv := range strings.Split(env, "\x00") {
			if kind, is := strings.CutPrefix(kv, "container="); is {
				return kind, "the environment of process 1"
			}
		}
	}
	if ids, found := h.read("/proc/self/uid_map"); found && strings.Join(strings.Fields(ids), " ") != "0 0 4294967295" {
		return "user namespace", "/proc/self/uid_map"
	}
	if !h.rootIsMount() {
		return "chroot", "/ is no mount point in /proc/self/mountinfo"
	}
	return "", ""
}

// rootIsMount is false in a chroot, whose root directory is an ordinary one; see proc(5), mountinfo.
func (h host) rootIsMount() bool {
	f, err := os.Open(filepath.Join(h.root, "/proc/self/mountinfo"))
	if err != nil {
		return true // nothing is known, and nothing is claimed
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && fields[4] == "/" {
			return true
		}
	}
	return false
}

// controlGroups describes what a later version's limits will find.
func controlGroups(h host) Check {
	c := Check{Name: "cgroups", State: Note, Cost: "nothing in this version: [limits] is not available yet"}
	if list, found := h.read("/sys/fs/cgroup/cgroup.controllers"); found {
		c.What = "version 2; controllers " + list
		if !h.privileged() {
			c.What += "; " + h.delegation()
			c.Remedy = "to limit boxes of this user later, as root: systemctl edit user@.service, and add [Service] Delegate=cpu cpuset io memory pids"
		}
		return c
	}
	switch {
	case h.exists("/sys/fs/cgroup/unified/cgroup.controllers"):
		c.What = "version 1, with an empty version 2 beside it"
	case h.exists("/sys/fs/cgroup"):
		c.What = "version 1"
	default:
		c.What = "none mounted"
	}
	return c
}

// delegation says which controllers this user's own cgroup may hand on.
func (h host) delegation() string {
	own, _ := h.read("/proc/self/cgroup")
	_, path, found := strings.Cut("\n"+own, "\n0::")
	path, _, _ = strings.Cut(path, "\n")
	if !found {
		return "the own cgroup is not known"
	}
	dir := filepath.Join("/sys/fs/cgroup", path)
	f, err := os.OpenFile(filepath.Join(h.root, dir, "cgroup.procs"), os.O_WRONLY, 0) // opened, never written
	if err != nil {
		return "none delegated to this user"
	}
	f.Close()
	list, _ := h.read(filepath.Join(dir, "cgroup.controllers"))
	return "delegated to this user: " + list
}
