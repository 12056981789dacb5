package doctor

import (
	"bufio"
	"fmt"
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
		c.Remedy = "if namespaces are refused:\n    docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
	case "podman":
		c.Remedy = "if namespaces are refused:\n    podman run --security-opt seccomp=unconfined --security-opt unmask=ALL --user root"
	case "lxc", "lxc-libvirt":
		c.Remedy = "if namespaces are refused:\n    lxc config set NAME security.nesting=true"
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

// controlGroups says whether the kernel can hold the limits of a box's memory and processors. That of its processes it
// holds anyway, by RLIMIT_NPROC.
func controlGroups(h host) Check {
	g := h.groups()
	c := ok("cgroups", fmt.Sprintf("version %d: the kernel holds limits of memory, processors and processes", g.Version))
	var missing, keys []string
	for _, need := range [][2]string{{"memory", "limits.memory"}, {"cpu", "limits.cpus"}} {
		if g.Parents[need[0]] == "" {
			missing, keys = append(missing, need[0]), append(keys, need[1])
		}
	}
	if missing == nil {
		if g.Scope {
			c.What += ", in a scope of systemd's"
		}
		return c
	}
	c.State, c.What = Degraded, "no controller for "+strings.Join(missing, " and ")
	if g.Why != "" {
		c.What = g.Why
	}
	c.Cost = strings.Join(keys, " and ") + " can only be watched: a profile that sets them needs limits.enforcement = \"watched\""
	switch {
	case h.privileged():
		c.Remedy = "let the outer container write below /sys/fs/cgroup"
	case h.exists("/sys/fs/cgroup/cgroup.controllers"):
		c.Remedy = "as root:\n    systemctl edit user@.service\nand write there, before the user's next login:\n    [Service]\n    Delegate=cpu cpuset io memory pids"
	default:
		c.Remedy = "start as root, or boot with systemd.unified_cgroup_hierarchy=1: version 1 gives an ordinary user no control group"
	}
	return c
}
