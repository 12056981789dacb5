package doctor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"agentbox/launch"
)

// idMapping tries the way in which this user's boxes get their ids.
func idMapping(h host) Check {
	name := "uid mapping"
	switch h.IDs {
	case launch.IDRange:
		err := h.withHeldUserNamespace([]syscall.SysProcIDMap{{ContainerID: 0, HostID: rangeExample, Size: 65536}}, func(int) error { return nil })
		if err != nil {
			return Check{Name: name, State: Missing, What: "a range of host ids was refused: " + err.Error(), Cost: "no box can be made",
				Remedy: "let the outer container map more ids, or start as an ordinary user"}
		}
		return ok(name, "mapped a range of 65536 host ids that nobody else has")
	case launch.IDMapped:
		err := h.withHeldUserNamespace(nil, h.newidmap)
		if err == nil {
			err = secondNamespace()
		}
		if err == nil {
			return ok(name, fmt.Sprintf("newuidmap and newgidmap mapped subordinate ids %d and %d", h.SubUID, h.SubGID))
		}
		return Check{Name: name, State: Missing, What: err.Error(), Cost: "no box can be made",
			Remedy: "make newuidmap and newgidmap setuid root again, as root:\n    apt-get install --reinstall uidmap\nand check the lines of this user in /etc/subuid and /etc/subgid"}
	}
	return nestedMapping(h)
}

// rangeExample lies in what systemd leaves to nobody; see its UIDS-GIDS document.
const rangeExample = 1879048192

// nestedMapping is the way of a user without subordinate ids.
func nestedMapping(h host) Check {
	c := Check{Name: "uid mapping", State: Degraded, What: "no subordinate ids: " + h.lacking(),
		Cost:   "supplementary groups stay with the agent, and no id but the agent's own exists in the box",
		Remedy: "as root (shadow-utils instead of uidmap on Fedora):\n    apt-get install uidmap\n    usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + h.userName()}
	if h.privileged() {
		c.What = "root here is the root of an outer user namespace, which maps too few ids"
		c.Remedy = "give the outer container a whole range of ids of its own, or start on the host itself"
	}
	if err := secondNamespace(); err != nil {
		c.State, c.What = Missing, err.Error()
	}
	return c
}

// secondNamespace makes a user namespace below another one: the box of an ordinary user has the caller as its root,
// and the agent, who must not be root, is the caller's ordinary id in a second one.
func secondNamespace() error {
	err := inside(0, "unshare", "--user", "true")
	if err == nil || isAbsent(err) {
		return nil
	}
	return fmt.Errorf("a second user namespace below the first: %w", err)
}

func (h host) lacking() string {
	for _, program := range []string{"newuidmap", "newgidmap"} {
		if _, err := launch.SystemProgram(program); err != nil {
			return program + " is not installed"
		}
	}
	return "/etc/subuid or /etc/subgid has no range for " + h.userName()
}

func (h host) userName() string {
	if u, err := user.LookupId(strconv.Itoa(h.EUID)); err == nil {
		return u.Username
	}
	return strconv.Itoa(h.EUID)
}

// newidmap maps the ids of a box into a process's user namespace.
func (h host) newidmap(pid int) error {
	for _, m := range []struct {
		program  string
		sub, own int
	}{{"newuidmap", int(h.SubUID), h.EUID}, {"newgidmap", int(h.SubGID), h.EGID}} {
		path, err := launch.SystemProgram(m.program)
		if err != nil {
			return err
		}
		cmd := exec.Command(path, strconv.Itoa(pid), "0", strconv.Itoa(m.own), "1", "1", strconv.Itoa(m.sub), "1")
		if err := output(cmd); err != nil {
			return err
		}
	}
	return nil
}

// withHeldUserNamespace starts a process in a new user namespace that stops before its first instruction, and ends
// it after f.
func (h host) withHeldUserNamespace(ids []syscall.SysProcIDMap, f func(pid int) error) error {
	runtime.LockOSThread() // ptrace(2) knows its tracer by the thread
	defer runtime.UnlockOSThread()
	attr := &os.ProcAttr{Sys: &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, Ptrace: true, Pdeathsig: syscall.SIGKILL,
		UidMappings: ids, GidMappings: ids,
	}}
	p, err := os.StartProcess("/proc/self/exe", []string{"agentbox", "version"}, attr)
	if err != nil {
		return err
	}
	defer func() {
		_ = p.Kill()
		_, _ = p.Wait()
	}()
	var status unix.WaitStatus
	if _, err := unix.Wait4(p.Pid, &status, unix.WALL, nil); err != nil {
		return err
	}
	if !status.Stopped() {
		return errors.New("a process in a new user namespace ended at once")
	}
	return f(p.Pid)
}

// noNewPrivileges finds the switch under which setuid programs such as newuidmap are ordinary ones.
func noNewPrivileges(h host) Check {
	status, _ := h.read("/proc/self/status")
	_, rest, found := strings.Cut(status, "\nNoNewPrivs:")
	line, _, _ := strings.Cut(rest, "\n")
	c := Check{Name: "no_new_privs"}
	switch {
	case !found:
		c.State, c.What = Note, "/proc/self/status does not tell"
	case strings.TrimSpace(line) == "0":
		return ok(c.Name, "not set on the caller")
	case h.IDs == launch.IDMapped:
		c.State, c.What, c.Cost = Missing, "set on the caller", "newuidmap has no rights, so the box's ids cannot be mapped"
		c.Remedy = "start outside of the sandbox or service that set it (NoNewPrivileges= of systemd, --security-opt no-new-privileges of docker)"
	default:
		c.State, c.What, c.Cost = Note, "set on the caller", "none: boxes of this user need no setuid program"
	}
	return c
}

// supplementaryGroups names what a user namespace without newgidmap cannot drop (user_namespaces(7), setgroups).
func supplementaryGroups(h host) Check {
	name := "supplementary groups"
	if !h.nested() {
		return ok(name, "dropped before the agent's first instruction")
	}
	groups, err := os.Getgroups()
	if err != nil {
		return Check{Name: name, State: Degraded, What: "getgroups: " + err.Error()}
	}
	groups = slices.DeleteFunc(groups, func(g int) bool { return g == h.EGID })
	if len(groups) == 0 {
		return ok(name, "the caller has none beyond its own")
	}
	var names []string
	for _, g := range groups {
		names = append(names, groupName(g))
	}
	slices.Sort(names)
	return Check{Name: name, State: Degraded, What: "kept by the agent: " + strings.Join(names, ", "),
		Cost:   "what the box shows and these groups may read, the agent may read; a group with a daemon behind it (docker, lxd, libvirt) opens nothing, because the daemon's socket is not in the box",
		Remedy: "give this user subordinate ids (see uid mapping); then they are dropped"}
}

func groupName(gid int) string {
	id := strconv.Itoa(gid)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}
